"""Which pseudo-labels to look at first: runs of labelled slices, the most doubtful first."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.pseudo_quality.figures import POSITIVE
from cspine.studies import UID, VERTEBRAE

COLUMNS = [UID, "vertebra", "first", "last", "peak", "slices", "mean", "highest", "doubt"]


def doubtful_runs(labels: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Every run of neighbouring slices labelled fractured, the most doubtful first.

    The doubt is 1 less the model's mean probability over the run: how much more the label says than the model does.
    A run that stands there only because the study has to have one is therefore among the first.

    Args:
        labels: pseudo_labels.parquet, soft or hard: labelled fractured from ``POSITIVE`` on.
        predictions: predictions.parquet that they were made from.

    Returns:
        StudyInstanceUID, vertebra, first, last and peak (z_index), slices, mean and highest probability, doubt.
    """
    own = predictions.loc[predictions["cohort"] == "train", [UID, "z_index", *VERTEBRAE]]
    joined = labels.merge(own, on=[UID, "z_index"], suffixes=("", "_predicted"), validate="1:1")
    rows = [
        row
        for uid, slices in joined.sort_values([UID, "z_index"]).groupby(UID)
        for vertebra in VERTEBRAE
        for row in _runs(str(uid), vertebra, slices)
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    order = ["doubt", UID, "vertebra", "first"]
    return table.sort_values(order, ascending=[False, True, True, True], ignore_index=True)


def studies_to_show(runs: pd.DataFrame, most: int, typical: int) -> list[tuple[str, str]]:
    """(StudyInstanceUID, why): the ``most`` doubtful studies, then the ``typical`` ones around the median doubt.

    A study is as doubtful as its most doubtful run.
    """
    ranked = list(dict.fromkeys(runs[UID]))
    chosen = [(uid, "most doubtful") for uid in ranked[:most]]
    rest = ranked[most:]
    start = max(0, (len(rest) - typical + 1) // 2)
    return chosen + [(uid, "typical: of median doubt") for uid in rest[start : start + typical]]


def _runs(uid: str, vertebra: str, slices: pd.DataFrame) -> list[dict[str, object]]:
    z = slices["z_index"].to_numpy()
    probability = slices[f"{vertebra}_predicted"].to_numpy(dtype=np.float64)
    marked = np.flatnonzero(slices[vertebra].to_numpy(dtype=np.float64) >= POSITIVE)  # NaN, left out, is not
    return [_row(uid, vertebra, z[run], probability[run]) for run in _neighbours(z, marked)]


def _neighbours(z: NDArray[np.int64], marked: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """``marked`` split where a slice in between is not."""
    if not len(marked):
        return []
    return np.split(marked, np.flatnonzero(np.diff(z[marked]) != 1) + 1)


def _row(uid: str, vertebra: str, z: NDArray[np.int64], probability: NDArray[np.float64]) -> dict[str, object]:
    mean = float(probability.mean())
    return {
        UID: uid,
        "vertebra": vertebra,
        "first": int(z[0]),
        "last": int(z[-1]),
        "peak": int(z[probability.argmax()]),
        "slices": len(z),
        "mean": mean,
        "highest": float(probability.max()),
        "doubt": 1 - mean,
    }

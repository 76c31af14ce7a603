"""How good slice labels are, where the truth is known: precision, recall, F1 of each vertebra over boxed studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.bootstrap import Floats, interval, multiplicities, resamples
from cspine.errors import CspineError
from cspine.labels import SLICE_KEY
from cspine.studies import UID, UNKNOWN, VERTEBRAE

CALLED = 0.5  # a soft label says fractured from here on
OF_BOXED = ("box", "unboxed")  # sources of slices of boxed studies, also of one whose boxes are all left out
STUDIES = ("boxed", "several")  #: which studies: all with a box, or those of several fractured vertebrae
MEASURES = ("precision", "recall", "f1")
COLUMNS = [
    "of", "vertebra", "studies", "labelled", "fractured", "hits", "left_out",
    *(f"{measure}{end}" for measure in MEASURES for end in ("", "_low", "_high")), "brier",
]  # fmt: skip


def label_quality(labels: pd.DataFrame, truth: pd.DataFrame, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Slice labels against the truth, over the slice x vertebra cells of the boxed studies.

    A cell counts where its label is known; what is fractured and has no known label (a slice left out) is ``left_out``
    and no miss. Intervals (95 %) are over studies drawn with replacement.

    Args:
        labels: StudyInstanceUID, slice_number, source (OF_BOXED: of a boxed study), C1..C7 (NaN, UNKNOWN = unknown).
        truth: StudyInstanceUID, slice_number, fractured_C1..fractured_C7, of every slice of ``labels``.
        draws: resamples of the studies.
        seed: of the resamples.

    Returns:
        COLUMNS: a row for each of STUDIES and of C1..C7 and "all" of them. ``labelled`` and ``fractured`` count cells.

    Raises:
        CspineError: the truth lacks a slice of a boxed study.
    """
    boxed = labels.loc[labels["source"].isin(OF_BOXED), UID].unique()
    known = truth[truth[UID].isin(boxed)]
    joined = known.merge(labels, on=SLICE_KEY, how="left", validate="1:1", suffixes=("_truth", ""))
    _check_truth(labels[labels[UID].isin(boxed)], known)
    fractured = joined[[f"fractured_{v}" for v in VERTEBRAE]].to_numpy(np.float64)
    label = joined[list(VERTEBRAE)].mask(joined[list(VERTEBRAE)] == UNKNOWN).to_numpy(np.float64)
    study, uids = pd.factorize(joined[UID])
    several = pd.DataFrame(fractured).groupby(study).max().sum(axis=1).to_numpy() > 1
    chosen = {"boxed": np.ones(len(uids), dtype=bool), "several": several}
    rows = []
    for of in STUDIES:
        of_study = {name: _by_study(values, study)[chosen[of]] for name, values in _cells(label, fractured).items()}
        counts = multiplicities(resamples(int(chosen[of].sum()), draws, seed)) if chosen[of].any() else np.ones((1, 0))
        for column, vertebra in enumerate((*VERTEBRAE, "all")):
            cells = {name: v[:, column] if vertebra != "all" else v.sum(axis=1) for name, v in of_study.items()}
            rows.append({"of": of, "vertebra": vertebra, "studies": int(chosen[of].sum()), **_row(cells, counts)})
    return pd.DataFrame(rows, columns=COLUMNS)


def _cells(label: Floats, fractured: Floats) -> dict[str, Floats]:
    """What is counted, in each cell: (slices, 7)."""
    known = ~np.isnan(label)
    called = known & (np.nan_to_num(label) >= CALLED)
    return {
        "known": known.astype(np.float64),
        "labelled": called.astype(np.float64),
        "fractured": known * fractured,
        "hits": called * fractured,
        "left_out": ~known * fractured,
        "errors": np.where(known, np.nan_to_num(label) - fractured, 0.0) ** 2,
    }


def _by_study(values: Floats, study: NDArray[np.intp]) -> Floats:
    """(slices, 7) -> (studies, 7)."""
    return pd.DataFrame(values).groupby(study).sum().to_numpy()


def _row(cells: dict[str, Floats], counts: Floats) -> dict[str, float]:
    row: dict[str, float] = {n: int(cells[n].sum()) for n in ("labelled", "fractured", "hits", "left_out")}
    for measure, value, drawn in zip(MEASURES, _measures(cells, np.ones((1, counts.shape[1]))),
                                     _measures(cells, counts), strict=True):  # fmt: skip
        low, high = interval(drawn)
        row |= {measure: float(value[0]), f"{measure}_low": low, f"{measure}_high": high}
    known = cells["known"].sum()
    return row | {"brier": float(cells["errors"].sum() / known) if known else float("nan")}


def _measures(cells: dict[str, Floats], counts: Floats) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each resample, (draws,) each; NaN where nothing is labelled, or fractured."""
    hits, labelled, fractured = (counts @ cells[name] for name in ("hits", "labelled", "fractured"))
    return _ratio(hits, labelled), _ratio(hits, fractured), _ratio(2 * hits, labelled + fractured)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0))


def _check_truth(labels: pd.DataFrame, truth: pd.DataFrame) -> None:
    keys = pd.MultiIndex.from_frame(truth[SLICE_KEY])
    unknown = labels[~pd.MultiIndex.from_frame(labels[SLICE_KEY]).isin(keys)]
    if len(unknown):
        raise CspineError(
            f"the phantom's truth has no slice {unknown['slice_number'].iloc[0]} of study {unknown[UID].iloc[0]}; "
            "expected the truth of the phantom that was read"
        )

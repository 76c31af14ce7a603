"""Small made-up tables in the columns of the index, for the tests of everything after it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cspine.folds import FoldConfig, deal_folds
from cspine.metric import Floats
from cspine.studies import LABELS, UID, VERTEBRAE


def study(uid: str, fractured: str = "", cohort: str = "train", **columns: object) -> dict[str, object]:
    """One row of index/studies.parquet; ``fractured`` names vertebrae, e.g. "C2 C5"."""
    vertebrae = {v: int(v in fractured.split()) for v in VERTEBRAE}
    labels = {"patient_overall": int(any(vertebrae.values())), **vertebrae}
    if cohort == "test":
        labels = dict.fromkeys(LABELS, -1)
    row: dict[str, object] = {
        UID: uid,
        "cohort": cohort,
        "in_csv": True,
        "has_folder": True,
        "readable": True,
    }
    row |= {"slices": 4, "thickness": 1.0, "reversed": False, "boxed": False, "segmented": False}
    return row | labels | {"reason": ""} | columns


def studies_table(*rows: dict[str, object]) -> pd.DataFrame:
    """index/studies.parquet of these rows."""
    kinds = {"slices": np.int32, "thickness": np.float32} | dict.fromkeys(LABELS, np.int8)
    return pd.DataFrame(list(rows)).astype(kinds)


def slices_table(studies: pd.DataFrame) -> pd.DataFrame:
    """index/slices.parquet of every readable study: file numbers from 10 on, head to feet unless reversed."""
    parts = []
    for row in studies[studies["readable"]].to_dict("records"):
        position = np.arange(row["slices"])
        numbers = 10 + (position[::-1] if row["reversed"] else position)
        columns = {"cohort": row["cohort"], UID: row[UID], "slice_number": numbers, "z_index": position}
        parts.append(pd.DataFrame(columns))
    table = pd.concat(parts, ignore_index=True)
    return table.astype({"slice_number": np.int32, "z_index": np.int32})


def boxes_table(*boxes: tuple[str, int]) -> pd.DataFrame:
    """train_bounding_boxes.csv with one box for each (study, slice_number)."""
    columns = [UID, "x", "y", "width", "height", "slice_number"]
    return pd.DataFrame([(uid, 5.0, 6.0, 20.0, 10.0, number) for uid, number in boxes], columns=columns)


def many_studies(count: int, seed: int = 0, test: int = 0, boxed_share: float = 0.5) -> pd.DataFrame:
    """``count`` training studies, half of them fractured, and ``test`` test studies."""
    draw = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        fractured = " ".join(draw.choice(VERTEBRAE, size=draw.integers(1, 4), replace=False)) if i % 2 else ""
        boxed = bool(fractured) and bool(draw.random() < boxed_share)
        rows.append(study(f"train-{i:04d}", fractured, boxed=boxed, segmented=bool(draw.random() < 0.15)))
    rows += [study(f"test-{i:04d}", cohort="test") for i in range(test)]
    return studies_table(*rows)


def folds_of(studies: pd.DataFrame, count: int = 4, select: float = 0.25, seed: int = 0) -> pd.DataFrame:
    """folds.parquet of ``studies``."""
    return deal_folds(studies, FoldConfig(count=count, select=select, seed=seed))


def predictions_table(studies: pd.DataFrame, seed: int = 0, skill: float = 2.0) -> pd.DataFrame:
    """predictions.parquet: noise, higher in the middle of a fractured vertebra; of test studies noise."""
    draw = np.random.default_rng(seed)
    table = slices_table(studies)
    labels = studies.set_index([UID, "cohort"])[list(VERTEBRAE)].clip(lower=0)
    keys = pd.MultiIndex.from_frame(table[[UID, "cohort"]])
    truth = labels.loc[keys].to_numpy()
    middle = table["z_index"].isin([1, 2]).to_numpy()[:, None]
    logit = draw.normal(-2.0, 1.0, size=truth.shape) + skill * truth * middle
    table[list(VERTEBRAE)] = (1 / (1 + np.exp(-logit))).astype(np.float32)
    return table


def random_exams(count: int, seed: int) -> tuple[Floats, Floats]:
    """Labels and probabilities (count, 8) of random exams, with both classes in every label."""
    draw = np.random.default_rng(seed)
    vertebrae = (draw.random((count, 7)) < 0.25).astype(float)
    vertebrae[0], vertebrae[1] = 1.0, 0.0
    truth = np.column_stack([vertebrae.max(axis=1), vertebrae])
    return truth, draw.uniform(0.02, 0.98, size=truth.shape)

"""Small tables as a run leaves them, made by the functions that make the real ones."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cspine.analysis.cells import study_levels
from cspine.analysis.confusion import confusion_rows, threshold_table
from cspine.analysis.curves import curve_table
from cspine.analysis.reliability import calibration_row, reliability_table
from cspine.bootstrap import resample_counts
from cspine.pseudo_quality.table import COLUMNS
from cspine.scores import Scored, measure
from cspine.studies import CONFIDENCE, UID, VERTEBRAE

DRAWS = 40  # resamples


def error_tables(cohorts: tuple[str, ...] = ("heldout", "test"), studies: int = 30) -> dict[str, pd.DataFrame]:
    """points, areas, curves, confusion, thresholds, reliability and calibration, as of ``analyse_errors``."""
    found: dict[str, list[pd.DataFrame]] = {}
    for place, cohort in enumerate(cohorts):
        truth, probability = answers(studies, seed=place)
        levels = study_levels(truth, probability, np.full(studies, 0.4), np.full(studies, 0.2))
        counts = resample_counts(studies, DRAWS, seed=0)
        curves = [curve_table(cells, counts) for cells in levels]
        tables = {
            "confusion": pd.DataFrame([row for cells in levels for row in confusion_rows(cells, counts)]),
            "thresholds": pd.concat([threshold_table(cells, counts) for cells in levels[:2]]),
            "curves": pd.concat([table for table, _ in curves], ignore_index=True),
            "areas": pd.DataFrame([row for _, row in curves]),
            "reliability": pd.concat([reliability_table(cells, counts) for cells in levels]),
            "calibration": pd.DataFrame([calibration_row(cells, counts) for cells in levels]),
        }
        for name, table in tables.items():
            found.setdefault(name, []).append(table.assign(cohort=cohort))
    points = pd.DataFrame({"fold": [0, 0], "kind": ["patient", "vertebra"], "threshold": [0.4, 0.2]})
    return {name: pd.concat(tables, ignore_index=True) for name, tables in found.items()} | {"points": points}


def answers(studies: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probability, (studies, 8) each; C1 is fractured in one study: too few to measure."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((studies, 8)) < 0.25).astype(np.float64)
    truth[:, 1] = np.arange(studies) == 0
    truth[:, 0] = truth[:, 1:].max(axis=1)
    return truth, np.clip(0.6 * rng.random((studies, 8)) + 0.35 * truth, 0, 1)


def score_table() -> pd.DataFrame:
    """scores.parquet of a teacher and a student, with the column round."""
    rounds = []
    for round_ in (0, 1):
        truth, probability = answers(30, seed=round_)
        constants = {form: np.full(truth.shape, 0.25) for form in ("per_exam", "pooled")}
        for cohort in ("heldout", "test"):
            scored = Scored(cohort, truth, probability, constants)
            rounds.append(measure(scored, "semi_supervised", DRAWS, 0).assign(round=round_))
    return pd.concat(rounds, ignore_index=True)


def history(folds: tuple[int, ...] = (0,), members: int = 2) -> pd.DataFrame:
    """history.parquet of two rounds, the second in two parts."""
    rows = [
        {"fold": fold, "round": round_, "member": member, "part": float(round_ and epoch > 2), "epoch": float(epoch),
         "train_loss": 1.0 / (epoch + 1), "select_loss": 0.5 + 0.1 * abs(epoch - 1) + 0.01 * member,
         "select_sensitivity": 0.1 * epoch, "select_specificity": 0.9}
        for fold in folds for round_ in (0, 1) for member in range(members) for epoch in range(5)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def training_sets() -> pd.DataFrame:
    """training_set.parquet of a teacher and a student: 6 boxed slices of 2 studies, 4 pseudo-labelled of another."""
    rows = []
    for round_, sources in ((0, ("box", "unboxed", "negative")), (1, ("box", "unboxed", "negative", "pseudo"))):
        for source in sources:
            for z in range(6 if source == "box" else 4):
                row: dict[str, object] = {UID: f"{source}-{z % 2 if source == 'box' else 0}", "z_index": z}
                row |= {"fold": 0, "round": round_, "source": source, "weight": 1.0, "role": "train"}
                row |= {v: float(v == "C5" and source in ("box", "pseudo")) for v in VERTEBRAE}
                rows.append(row | dict.fromkeys(CONFIDENCE, 0.5 if source == "pseudo" else 1.0))
    table = pd.DataFrame(rows)
    return pd.concat([table, table.assign(role="select")], ignore_index=True)


def quality(folds: tuple[int, ...] = (0,)) -> pd.DataFrame:
    """pseudo_quality.parquet of two rounds."""
    rows = [
        {"fold": fold, "round": round_, "arm": arm, "than": "", "compared": compared, "vertebra": "all",
         "measure": measure, "value": 0.5 + 0.1 * round_, "low": 0.4, "high": 0.8, "studies": 7, "fractured": 7,
         "measurable": arm == "unboxed"}
        for fold in folds for round_ in (0, 1) for arm in ("boxes", "truth", "unboxed")
        for compared in ("slice", "study") for measure in ("precision", "recall", "found", "brier")
    ]  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=["fold", "round", *COLUMNS])


def compared_methods() -> pd.DataFrame:
    """What the forest reads of comparison.csv."""
    name = "minus_constant_per_exam"
    rows = [
        {"cohort": cohort, "method": method, "studies": studies, "claim": "demo: too small to rank methods",
         name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}
        for cohort, studies in (("heldout", 28), ("test", 59))
        for method, value in (("semi_supervised", -0.02), ("vertebra_sequence_2stage", 0.03))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def costs(stages: int = 20) -> pd.DataFrame:
    """Two results of each stage; of one no memory is known."""
    rows = [
        {"stage": f"stage_{place}", "at": f"fold={fold}", "seconds": 2.0 ** (place / 2), "cpu_seconds": 1.0,
         "peak_mb": float("nan") if place == 3 else 100.0 + place, "device": "cpu"}
        for place in range(stages) for fold in (0, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)

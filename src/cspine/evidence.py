"""Which way of teaching is better? Arms on the same test studies, in paired intervals.

Only a data set whose every fracture is known can answer: the phantom. Every measure is computed on each resample of
the studies, so that any difference of two arms has a paired interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.bootstrap import Measured, average, divided, mean, measured_auc, ratio
from cspine.metric import Floats, exam_losses
from cspine.slice_aucs import slice_aucs
from cspine.studies import CONFIDENCE, LABELS, UID, VERTEBRAE

SLICE = [UID, "slice_number"]
FRACTURED = [f"fractured_{vertebra}" for vertebra in VERTEBRAE]
CALLED = 0.5  #: from this probability on a cell (a slice and a vertebra) is called fractured
LEAST_POSITIVES = 5  #: fractured studies a vertebra needs to have a slice AUC


@dataclass(frozen=True)
class TestSet:
    """The test studies and what is really in their slices.

    Attributes:
        labels: (studies, 8) in the order of LABELS.
        study: (slices,) the row of ``labels`` each slice belongs to.
        present: (slices, 7) whether the slice shows C1..C7.
        fractured: (slices, 7) whether a fracture of C1..C7 is visible in it.
    """

    __test__ = False  # not a test, whatever pytest thinks of its name
    labels: Floats
    study: NDArray[np.int64]
    present: NDArray[np.bool_]
    fractured: NDArray[np.bool_]


@dataclass(frozen=True)
class Arm:
    """What one way of teaching says about the test studies, in the test set's order."""

    probability: Floats  # (studies, 8)
    slices: Floats  # (slices, 7)


Measure = Callable[[TestSet, Arm, Floats], Measured]


def weighted_loss(test: TestSet, arm: Arm, counts: Floats) -> Measured:
    """The competition's loss, per exam (see ``metric``)."""
    return mean(exam_losses(test.labels, arm.probability), counts)


def patient_auc(test: TestSet, arm: Arm, counts: Floats) -> Measured:
    """AUC of patient_overall over the studies."""
    return measured_auc(test.labels[:, 0], arm.probability[:, 0], counts)


def vertebra_auc(test: TestSet, arm: Arm, counts: Floats) -> Measured:
    """Mean over C1..C7 of the AUC over the studies."""
    columns = [c for c in range(1, len(LABELS)) if _enough(test.labels[:, c])]
    found = [measured_auc(test.labels[:, c], arm.probability[:, c], counts) for c in columns]
    return average(found, len(counts))


def slice_auc(test: TestSet, arm: Arm, counts: Floats) -> Measured:
    """Mean over C1..C7 of the AUC over the slices that show the vertebra; the resamples draw studies, not slices.

    Over all slices most of an AUC comes from knowing which vertebra is in view; here that is worth nothing.
    """
    return _slice_auc(test, arm, counts, test.present)


def slice_auc_all(test: TestSet, arm: Arm, counts: Floats) -> Measured:
    """The same over all slices, to be seen beside it."""
    return _slice_auc(test, arm, counts, np.ones_like(test.present))


def accuracy(test: TestSet, arm: Arm, counts: Floats) -> Measured:
    """The share of cells (a slice and a vertebra) that are called right from CALLED on: S3's "fracture accuracy"."""
    right = (arm.slices >= CALLED) == test.fractured
    return _share_of_cells(test, right, np.ones_like(right), counts)


def sensitivity(test: TestSet, arm: Arm, counts: Floats) -> Measured:
    """The share of the fractured cells that are called fractured."""
    return _share_of_cells(test, arm.slices >= CALLED, test.fractured, counts)


def specificity(test: TestSet, arm: Arm, counts: Floats) -> Measured:
    """The share of the other cells that are not."""
    return _share_of_cells(test, arm.slices < CALLED, ~test.fractured, counts)


#: column name -> how it is measured of decisions; the best constant, which calls nothing fractured, has values too
DECISIONS: dict[str, Measure] = {"accuracy": accuracy, "sensitivity": sensitivity, "specificity": specificity}
#: column name -> how it is measured of probabilities
MEASURES: dict[str, Measure] = {
    "loss": weighted_loss,
    "patient_auc": patient_auc,
    "vertebra_auc": vertebra_auc,
    "slice_auc": slice_auc,
    "slice_auc_all": slice_auc_all,
}


def measure_arms(test: TestSet, arms: Mapping[str, Arm], counts: Floats) -> dict[str, dict[str, Measured]]:
    """Every measure of every arm: ``result[arm][measure]``.

    Args:
        test: the test studies.
        arms: by name.
        counts: (draws, studies) from ``bootstrap.resample_counts``, the same for all arms.
    """
    every = {**MEASURES, **DECISIONS}
    return {name: {key: measure(test, arm, counts) for key, measure in every.items()} for name, arm in arms.items()}


@dataclass(frozen=True)
class Taught:
    """How true the labels are that an arm was taught: over slice x vertebra cells, weighed by what they count."""

    precision: float
    recall: float


def taught_of(training_sets: Sequence[pd.DataFrame], truth: pd.DataFrame) -> Taught:
    """What the training sets of an arm's folds say about the slices they hold, against the phantom's truth.

    A soft label counts by its probability, an unknown one nowhere.
    """
    hits = called = positive = 0.0
    known = truth.loc[truth["cohort"] == "train", [*SLICE, *FRACTURED]]
    for table in training_sets:
        rows = table[table["role"] == "train"].merge(known, on=SLICE, how="left", validate="1:1")
        target, real = rows[list(VERTEBRAE)].to_numpy(np.float64), rows[FRACTURED].to_numpy(np.float64)
        counts = rows.reindex(columns=list(CONFIDENCE)).fillna(1.0).to_numpy() * ~np.isnan(target)
        target = np.nan_to_num(target)
        hits += float((counts * target * real).sum())
        called += float((counts * target).sum())
        positive += float((counts * real).sum())
    nothing = float("nan")
    return Taught(hits / called if called else nothing, hits / positive if positive else nothing)


def gap_closed(student: Measured, teacher: Measured, truth: Measured) -> Measured:
    """Which share of the way from the teacher to the truth the student goes; NaN where there is no way to go."""
    gain, gap = student.minus(teacher), truth.minus(teacher)
    return Measured(float(divided(gain.value, gap.value)), divided(gain.draws, gap.draws))


def evidence_table(
    measured: Mapping[str, Mapping[str, Measured]], differences: Sequence[Sequence[str]]
) -> pd.DataFrame:
    """One row per arm and measure, then per difference (``arm`` minus ``than``) and measure, with intervals."""
    rows = [_row(arm, "", key, found) for arm, keys in measured.items() for key, found in keys.items()]
    rows += [
        _row(arm, than, key, measured[arm][key].minus(measured[than][key]))
        for arm, than in differences
        for key in (*MEASURES, *DECISIONS)
    ]
    return pd.DataFrame(rows)


def _row(arm: str, than: str, measure: str, found: Measured) -> dict[str, object]:
    estimate = found.estimate()
    return {
        "arm": arm,
        "than": than,
        "measure": measure,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
    }


def _share_of_cells(test: TestSet, those: NDArray[np.bool_], of: NDArray[np.bool_], counts: Floats) -> Measured:
    """The share of the cells ``of`` that are ``those``; the resamples draw studies with all their cells."""
    studies = len(test.labels)
    parts, wholes = (
        np.bincount(test.study, cells.sum(axis=1), minlength=studies).astype(np.float64) for cells in (those & of, of)
    )
    return ratio(parts, wholes, counts)


def _slice_auc(test: TestSet, arm: Arm, counts: Floats, shown: NDArray[np.bool_]) -> Measured:
    found = slice_aucs(test.fractured.astype(np.float64), arm.slices, shown, test.study, counts)
    enough = [m for m, labels in zip(found, test.labels[:, 1:].T, strict=True) if _enough(labels)]
    return average(enough, len(counts))


def _enough(labels: Floats) -> bool:
    return min(int((labels == value).sum()) for value in (0, 1)) >= LEAST_POSITIVES

"""Right and wrong answers at a threshold: counts, the rates made of them, and the same along all thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cspine.analysis.cells import Cells
from cspine.bootstrap import Floats, Measured, MeasuredCurve, ratio, ratio_curve
from cspine.scores import LEAST_OF_A_CLASS, LEAST_STUDIES

FIXED = 0.5  # ASSUME: the sources name no threshold
THRESHOLDS = np.linspace(0, 1, 101)
FIGURES = (
    "recall",
    "specificity",
    "precision",
    "f1",
    "accuracy",
    "accuracy_all_negative",
    "false_positive_rate",
    "false_negative_rate",
)
Parts = tuple[Floats, Floats]  # above and below the line


def parts_of(tn: Floats, fp: Floats, fn: Floats, tp: Floats) -> dict[str, Parts]:
    """Each of FIGURES as what stands above and below the line; recall is the clinic's sensitivity.

    Accuracy of fractures is worth nothing by itself: whoever calls nothing fractured has ``accuracy_all_negative``.
    """
    cells = tn + fp + fn + tp
    return {
        "recall": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "precision": (tp, tp + fp),
        "f1": (2 * tp, 2 * tp + fp + fn),
        "accuracy": (tp + tn, cells),
        "accuracy_all_negative": (tn + fp, cells),
        "false_positive_rate": (fp, tn + fp),
        "false_negative_rate": (fn, tp + fn),
    }


def tallies(cells: Cells, threshold: Floats | float) -> tuple[Floats, Floats, Floats, Floats]:
    """tn, fp, fn, tp of each study, (studies,) each; a probability of the threshold, or more, is called fractured."""
    called, positive = cells.probability >= threshold, cells.truth == 1
    kinds = (~called & ~positive, called & ~positive, ~called & positive, called & positive)
    tn, fp, fn, tp = (cells.per_study(kind.astype(np.float64)) for kind in kinds)
    return tn, fp, fn, tp


def figures_at(cells: Cells, threshold: Floats | float, counts: Floats) -> dict[str, Measured]:
    """FIGURES of one level; NaN where nothing stands below the line."""
    return {name: ratio(*parts, counts) for name, parts in parts_of(*tallies(cells, threshold)).items()}


def confusion_rows(cells: Cells, counts: Floats) -> list[dict[str, Any]]:
    """A level at 0.5 and at the threshold chosen on select: rule, threshold, counts, then FIGURES with intervals.

    ``threshold`` is the mean over the cells, where several folds chose their own.
    """
    rows = []
    for rule, threshold in (("fixed", np.full(len(cells.truth), FIXED)), ("select", cells.chosen)):
        sums = [int(tally.sum()) for tally in tallies(cells, threshold)]
        row: dict[str, Any] = {"level": cells.level, "rule": rule}
        row["threshold"] = float(threshold.mean()) if len(threshold) else float("nan")
        row |= dict(zip(("tn", "fp", "fn", "tp"), map(np.int64, sums), strict=True))
        row["studies"] = np.int32(len(np.unique(cells.study)))
        row["measurable"] = measurable(cells)
        for name, found in figures_at(cells, threshold, counts).items():
            row |= columns_of(name, found)
        rows.append(row)
    return rows


def threshold_table(cells: Cells, counts: Floats) -> pd.DataFrame:
    """Accuracy and F1 at every hundredth: level, threshold, both with intervals, accuracy_all_negative."""
    places = len(THRESHOLDS) + 1
    reached = np.searchsorted(THRESHOLDS, cells.probability, side="right")  # so many thresholds it reaches
    positives, negatives = (
        cells.per_study_and(reached, (cells.truth == value).astype(np.float64), places) for value in (1, 0)
    )
    tp, fp = (np.cumsum(some[:, ::-1], axis=1)[:, ::-1][:, 1:] for some in (positives, negatives))
    fn, tn = positives.sum(axis=1, keepdims=True) - tp, negatives.sum(axis=1, keepdims=True) - fp
    parts = parts_of(tn, fp, fn, tp)
    table = pd.DataFrame({"level": cells.level, "threshold": THRESHOLDS})
    for name in ("accuracy", "f1"):
        table = table.assign(**curve_columns(name, ratio_curve(*parts[name], counts)))
    table["accuracy_all_negative"] = ratio_curve(*parts["accuracy_all_negative"], counts).values
    return table


def measurable(cells: Cells) -> bool:
    """Whether there are enough studies, and enough of them with and without a fracture at this level."""
    of_class = [len(np.unique(cells.study[cells.truth == value])) for value in (0, 1)]
    return len(np.unique(cells.study)) >= LEAST_STUDIES and min(of_class) >= LEAST_OF_A_CLASS


def columns_of(name: str, found: Measured) -> dict[str, Any]:
    """``name``, ``name_low`` and ``name_high`` of a figure."""
    estimate = found.estimate()
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def curve_columns(name: str, found: MeasuredCurve) -> dict[str, Floats]:
    """The same of a figure at several places."""
    low, high = found.bounds()
    return {name: found.values, f"{name}_low": low, f"{name}_high": high}

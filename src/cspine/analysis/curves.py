"""ROC and precision-recall curves with pointwise bands, and the areas below them.

The curves are the ones of scikit-learn (a test compares), computed for all resamples of the studies at once: a sum, in
the order of the probabilities, over how often each study was drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cspine.analysis.cells import Cells
from cspine.analysis.confusion import columns_of, curve_columns, measurable
from cspine.bootstrap import Floats, Measured, MeasuredCurve, divided, drawn_in_order, measured_auc, ratio

PLACES = np.linspace(0, 1, 101)  #: false positive rates, and recalls, at which the curves are given


def curve_table(cells: Cells, counts: Floats) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Both curves of a level, and the areas below them.

    Returns:
        level, curve (roc: x = false positive rate, y = recall | precision_recall: x = recall, y = precision), x, y with
        the ends of its interval; and a row: level, auc and average_precision with intervals, prevalence (the average
        precision of whoever knows nothing), positives, negatives, measurable.
    """
    roc, precision, area = _curves(cells, counts)
    tables = [
        pd.DataFrame({"level": cells.level, "curve": name, "x": PLACES}).assign(**curve_columns("y", found))
        for name, found in (("roc", roc), ("precision_recall", precision))
    ]
    positive = (cells.truth == 1).astype(np.float64)
    prevalence = ratio(cells.per_study(positive), cells.per_study(np.ones(len(positive))), counts)
    row: dict[str, Any] = {"level": cells.level}
    row |= columns_of("auc", measured_auc(cells.truth, cells.probability, counts, cells.study))
    row |= columns_of("average_precision", area) | {"prevalence": prevalence.value}
    row |= {"positives": np.int64(positive.sum()), "negatives": np.int64((1 - positive).sum())}
    return pd.concat(tables, ignore_index=True), row | {"measurable": measurable(cells)}


def _curves(cells: Cells, counts: Floats) -> tuple[MeasuredCurve, MeasuredCurve, Measured]:
    """ROC and precision at PLACES, and average precision: on all studies, and on every resample."""
    order = np.argsort(-cells.probability, kind="stable")
    falling, positive = cells.probability[order], cells.truth[order] == 1
    last = np.append(falling[1:] != falling[:-1], True) if len(order) else np.zeros(0, dtype=bool)
    everything = np.vstack([np.ones(counts.shape[1]), counts])  # the first row is the figure itself
    recalls, precisions, areas = [], [], []
    for drawn in drawn_in_order(everything, cells.study[order]):
        found = np.cumsum(np.where(positive, drawn, 0.0), axis=1)[:, last]
        wrong = np.cumsum(np.where(positive, 0.0, drawn), axis=1)[:, last]
        recall = divided(found, np.broadcast_to(found[:, -1:], found.shape))
        missed = divided(wrong, np.broadcast_to(wrong[:, -1:], wrong.shape))
        precision = divided(found, found + wrong)
        recalls.append(_recall_at(missed, recall))
        precisions.append(_precision_at(recall, precision))
        steps = np.diff(recall, axis=1, prepend=0.0) if recall.size else np.full((len(drawn), 1), np.nan)
        areas.append(np.where(steps == 0, 0.0, steps * precision).sum(axis=1) if recall.size else steps[:, 0])
    roc, precise, area = np.concatenate(recalls), np.concatenate(precisions), np.concatenate(areas)
    return MeasuredCurve(roc[0], roc[1:]), MeasuredCurve(precise[0], precise[1:]), Measured(float(area[0]), area[1:])


def _recall_at(missed: Floats, recall: Floats) -> Floats:
    """Recall at false positive rates PLACES, on the straight lines between the points, from (0, 0) on."""
    found = np.full((len(missed), len(PLACES)), np.nan)
    for row, (x, y) in enumerate(zip(missed, recall, strict=True)):
        if x.size and not np.isnan(x[-1] + y[-1]):
            found[row] = np.interp(PLACES, np.append(0.0, x), np.append(0.0, y))
    return found


def _precision_at(recall: Floats, precision: Floats) -> Floats:
    """Precision at the highest threshold that reaches each recall of PLACES: no line is drawn between the points."""
    found = np.full((len(recall), len(PLACES)), np.nan)
    for row, (x, y) in enumerate(zip(recall, precision, strict=True)):
        if x.size and not np.isnan(x[-1]):
            place = np.searchsorted(x, PLACES - 1e-12, side="left")
            first = int(np.argmax(~np.isnan(y)))  # before it nothing of the resample is called
            found[row] = y[np.maximum(np.minimum(place, len(x) - 1), first)]
    return found

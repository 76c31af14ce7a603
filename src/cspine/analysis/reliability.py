"""Calibration: are of those with a probability of 0.3 three in ten fractured?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cspine.analysis.cells import Cells, Whole
from cspine.analysis.confusion import columns_of, curve_columns, measurable
from cspine.bootstrap import Floats, Measured, divided, ratio, ratio_curve
from cspine.studies import LABELS

MOST_BINS, LEAST_CELLS = 10, 10  #: equal-count bins: so many, of so many cells at least


def bins_of(probability: Floats) -> Whole:
    """The equal-count bin of each cell; equal probabilities share one."""
    count = max(1, min(MOST_BINS, len(probability) // LEAST_CELLS))
    if count == 1:
        return np.zeros(len(probability), dtype=np.int64)
    starts = np.sort(probability)[[round(len(probability) * bin / count) for bin in range(1, count)]]
    used = np.searchsorted(np.unique(starts), probability, side="right")
    return np.unique(used, return_inverse=True)[1].astype(np.int64)


def reliability_table(cells: Cells, counts: Floats) -> pd.DataFrame:
    """A row for each bin: level, bin, cells, least, most, probability (its mean), fractured (the share) with interval.

    The bins are those of all studies, also on the resamples.
    """
    bins = bins_of(cells.probability)
    places = int(bins.max()) + 1 if len(bins) else 0
    number, said, true = _sums(cells, bins, places)
    grouped = pd.Series(cells.probability).groupby(bins)
    table = pd.DataFrame({"level": cells.level, "bin": np.arange(places, dtype=np.int32)})
    table["cells"] = number.sum(axis=0).astype(np.int64)
    table["least"], table["most"] = grouped.min().to_numpy(), grouped.max().to_numpy()
    table["probability"] = ratio_curve(said, number, counts).values
    return table.assign(**curve_columns("fractured", ratio_curve(true, number, counts)))


def calibration_row(cells: Cells, counts: Floats) -> dict[str, Any]:
    """A level's Brier score beside the best constant's, their paired difference, and the expected calibration error.

    The constant is the share of fractured of each label, of the very cells it is scored by: no constant could do
    better. The calibration error is the mean distance, over the cells, of a bin's mean probability from its share of
    fractured; small samples make it larger than it is.
    """
    brier = ratio(
        cells.per_study((cells.probability - cells.truth) ** 2), cells.per_study(np.ones(len(cells.truth))), counts
    )
    constant = _best_constant(cells, counts)
    row: dict[str, Any] = {"level": cells.level, "cells": np.int64(len(cells.truth))}
    row |= {"positives": np.int64(cells.truth.sum())}
    row |= columns_of("brier", brier) | {"constant": constant.value}
    row |= columns_of("difference", brier.minus(constant)) | columns_of("error", _error(cells, counts))
    return row | {"measurable": measurable(cells)}


def _best_constant(cells: Cells, counts: Floats) -> Measured:
    """The Brier score of the best constant of each label: with a share f of fractured it is f (1 - f)."""
    known, true = (
        cells.per_study_and(cells.column, values, len(LABELS)) for values in (np.ones(len(cells.truth)), cells.truth)
    )

    def score(number: Floats, fractured: Floats) -> Floats:
        spread = fractured - np.nan_to_num(divided(fractured**2, number))
        return divided(spread.sum(axis=-1), number.sum(axis=-1))

    return Measured(float(score(known.sum(axis=0), true.sum(axis=0))), score(counts @ known, counts @ true))


def _error(cells: Cells, counts: Floats) -> Measured:
    bins = bins_of(cells.probability)
    number, said, true = _sums(cells, bins, int(bins.max()) + 1 if len(bins) else 1)

    def error(number: Floats, distance: Floats) -> Floats:
        return divided(np.abs(distance).sum(axis=-1), number.sum(axis=-1))

    distance = said - true
    return Measured(float(error(number.sum(axis=0), distance.sum(axis=0))), error(counts @ number, counts @ distance))


def _sums(cells: Cells, bins: Whole, places: int) -> tuple[Floats, Floats, Floats]:
    """Cells, their probabilities and their fractures in each study and bin: (studies, bins) each."""
    ones = np.ones(len(cells.truth))
    number, said, true = (cells.per_study_and(bins, v, places) for v in (ones, cells.probability, cells.truth))
    return number, said, true

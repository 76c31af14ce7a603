"""How good pseudo-labels are beside a reference for the same slices; everything from sums per study.

A soft label counts as much as it says: 0.6 on a fractured slice is 0.6 of a slice found. A label that is left out (NaN)
and a study that got none mark nothing, so what they miss lowers the recall; they are never counted as right.
Every measure is computed on each resample of the studies, so that any two of them have an interval of their difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cspine.bootstrap import Measured
from cspine.metric import Floats

POSITIVE = 0.5  #: from here on a label says "fractured" (for the share found; the other measures take it as it is)
BINS = 10  #: of the predicted probability, equally wide
ALL = "all"  #: the column that is the sum of the others

#: measure -> (what is divided, by what), see ``Sums``
RATIOS = {
    "precision": ("agreed", "labelled"),  # share of what is labelled that the reference confirms
    "weighted": ("agreed_weighted", "labelled_weighted"),  # the precision, each label weighted as the loss weights it
    "recall": ("agreed", "due"),  # share of what the reference demands that is labelled
    "f1": ("agreed_twice", "labelled_and_due"),
    "overlap": ("overlap", "runs"),  # mean over studies and vertebrae: common slices / slices of either
    "found": ("found", "runs"),  # share of the fractured vertebrae with at least one slice in the right place
    "left_out": ("left_out", "cells"),  # share of the cells without a label
    "brier": ("squared", "judged"),  # mean squared distance of the probability, where the study's label leaves it open
}
MEASURES = (*RATIOS, "ece")


@dataclass(frozen=True)
class Cells:
    """Slices x columns of some studies: the label of each, the probability behind it, and what a reference says.

    Attributes:
        columns: their names: the vertebrae, or the one column ``all``.
        studies: how many; the slices of one are in z-order.
        study: (slices,) which of them a slice belongs to.
        label: (slices, columns) pseudo-label 0..1; NaN where it is left out.
        probability: (slices, columns) behind the label: of the model, or what neighbours and localizer made of it.
        reference: (slices, columns) 1 or 0; NaN where the reference says nothing: such a cell counts nowhere.
        open: (slices, columns) False where the study's label alone settles it; calibration is over the others.
        confidence: (slices, columns) what the label counts in the loss; None: all alike.
    """

    columns: tuple[str, ...]
    studies: int
    study: NDArray[np.int64]
    label: Floats
    probability: Floats
    reference: Floats
    open: NDArray[np.bool_]
    confidence: Floats | None = None


@dataclass(frozen=True)
class Sums:
    """What each study adds to every measure.

    Attributes:
        names: of the columns, with ``all`` where there are several.
        parts: each (studies, columns), by the names of ``RATIOS``.
        bins: (studies, columns, BINS, 3): cells, sum of probabilities, sum of the reference.
    """

    names: tuple[str, ...]
    parts: Mapping[str, Floats]
    bins: Floats

    def studies(self) -> NDArray[np.int64]:
        """(columns,) how many studies the reference says anything about."""
        return np.asarray((self.parts["cells"] > 0).sum(axis=0))

    def fractured(self) -> NDArray[np.int64]:
        """(columns,) in how many of them the reference shows a fracture."""
        return np.asarray((self.parts["runs"] > 0).sum(axis=0))


def sums_of(cells: Cells) -> Sums:
    """The sums of every study."""
    known = ~np.isnan(cells.reference)
    reference = np.where(known, cells.reference, 0.0)
    label = np.where(known, np.nan_to_num(cells.label), 0.0)
    judged = known & cells.open
    probability = np.where(judged, cells.probability, 0.0)

    def add(values: Floats | NDArray[np.bool_]) -> Floats:
        return _by_study(values, cells.study, cells.studies)

    due, agreed, labelled = add(reference), add(label * reference), add(label)
    confidence = np.ones_like(label) if cells.confidence is None else np.nan_to_num(cells.confidence)
    runs = due > 0  # one for each study and column in which there is anything to find
    common, either = add(np.minimum(label, reference)), add(np.maximum(label, reference))
    parts = {
        "cells": add(known),
        "due": due,
        "labelled": labelled,
        "agreed": agreed,
        "agreed_weighted": add(confidence * label * reference),
        "labelled_weighted": add(confidence * label),
        "agreed_twice": 2 * agreed,
        "labelled_and_due": labelled + due,
        "left_out": add(known & np.isnan(cells.label)),
        "runs": runs.astype(np.float64),
        "overlap": np.divide(common, either, out=np.zeros_like(due), where=runs),
        "found": (add((label >= POSITIVE) & (reference == 1)) > 0).astype(np.float64),
        "judged": add(judged),
        "squared": add(np.where(judged, (probability - reference) ** 2, 0.0)),
    }
    bins = _bins(judged, probability, reference, cells)
    if len(cells.columns) == 1:
        return Sums(cells.columns, parts, bins)
    whole = {name: np.column_stack([part, part.sum(axis=1)]) for name, part in parts.items()}
    return Sums((*cells.columns, ALL), whole, np.concatenate([bins, bins.sum(axis=1, keepdims=True)], axis=1))


def measures_of(sums: Sums, counts: Floats) -> dict[tuple[str, str], Measured]:
    """Every measure of every column, by (column, measure); NaN where there is nothing to divide by.

    Args:
        sums: from ``sums_of``.
        counts: (draws, studies) from ``bootstrap.multiplicities``.
    """
    found: dict[tuple[str, str], Measured] = {}
    for measure, (above, below) in RATIOS.items():
        values = _ratio(sums.parts[above].sum(axis=0), sums.parts[below].sum(axis=0))
        draws = _ratio(counts @ sums.parts[above], counts @ sums.parts[below])
        found |= {(name, measure): Measured(float(values[i]), draws[:, i]) for i, name in enumerate(sums.names)}
    for i, name in enumerate(sums.names):
        of_column = sums.bins[:, i]
        drawn = np.tensordot(counts, of_column, axes=1)
        found[name, "ece"] = Measured(float(_ece(of_column.sum(axis=0)[None])[0]), _ece(drawn))
    return found


def reliability(sums: Sums, column: str, counts: Floats) -> list[tuple[int, int, float, Measured]]:
    """(bin, cells, mean probability, share the reference calls fractured) of every bin that holds a cell."""
    of_column = sums.bins[:, sums.names.index(column)]
    cells, predicted, positive = of_column.sum(axis=0).T
    rows = []
    for i in np.flatnonzero(cells):
        draws = _ratio(counts @ of_column[:, i, 2], counts @ of_column[:, i, 0])
        share = Measured(float(positive[i] / cells[i]), draws)
        rows.append((int(i), int(cells[i]), float(predicted[i] / cells[i]), share))
    return rows


def _bins(judged: NDArray[np.bool_], probability: Floats, reference: Floats, cells: Cells) -> Floats:
    place = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    of_bin = [judged & (place == number) for number in range(BINS)]
    sums = [
        np.stack([_by_study(chosen * values, cells.study, cells.studies) for values in (1.0, probability, reference)])
        for chosen in of_bin
    ]
    return np.asarray(np.moveaxis(np.stack(sums), (0, 1), (2, 3)))


def _ece(bins: Floats) -> Floats:
    """(draws, BINS, 3) -> (draws,): the bins' distance between predicted and found, weighted by their cells."""
    return _ratio(np.abs(bins[..., 1] - bins[..., 2]).sum(axis=-1), bins[..., 0].sum(axis=-1))


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0))


def _by_study(values: Floats | NDArray[np.bool_], study: NDArray[np.int64], studies: int) -> Floats:
    sums = np.zeros((studies, values.shape[1]))
    np.add.at(sums, study, values)
    return sums

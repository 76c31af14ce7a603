"""The answers of a cohort as cells: what was said and what is true, at each level at which errors are counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cspine.bootstrap import Floats
from cspine.studies import LABELS, VERTEBRAE

PATIENT, VERTEBRA, SLICE, SLICE_IN_VIEW = "patient", "vertebra", "slice", "slice in view"
KINDS = (PATIENT, VERTEBRA, SLICE)  #: each has a threshold of its own, chosen on select
NAMES = {LABELS[0]: PATIENT, **{v: v for v in VERTEBRAE}}  #: label -> level

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """The known cells of one level; what nobody knows is not among them.

    Attributes:
        level: patient | vertebra (all seven pooled) | C1..C7 | slice (slices x vertebrae) | slice in view.
        truth: (cells,) 0 or 1.
        probability: (cells,) 0..1.
        study: (cells,) the study of each, 0 .. studies - 1.
        column: (cells,) the label of each, as a place in LABELS.
        chosen: (cells,) the threshold that was chosen on the select studies of the fold whose model said it.
        studies: of the cohort, known here or not.
    """

    level: str
    truth: Floats
    probability: Floats
    study: Whole
    column: Whole
    chosen: Floats
    studies: int

    def per_study(self, values: Floats) -> Floats:
        """The sum over each study's cells: (cells,) -> (studies,)."""
        return np.asarray(np.bincount(self.study, weights=values, minlength=self.studies), dtype=np.float64)

    def per_study_and(self, place: Whole, values: Floats, places: int) -> Floats:
        """The sum over each study's cells at each place (bin, threshold): (cells,) -> (studies, places)."""
        flat = np.bincount(self.study * places + place, weights=values, minlength=self.studies * places)
        return np.asarray(flat, dtype=np.float64).reshape(self.studies, places)


@dataclass(frozen=True)
class SliceSet:
    """The predicted slices of a cohort of which something is known.

    Attributes:
        study: (slices,) the study of each, as a row of the cohort.
        fractured: (slices, 7) 1 where a fracture of C1..C7 is in it, 0 where none, NaN = unknown.
        shown: (slices, 7) 1 where it shows C1..C7, 0 where not, NaN = unknown.
        probability: (slices, 7).
    """

    study: Whole
    fractured: Floats
    shown: Floats
    probability: Floats


def study_levels(truth: Floats, probability: Floats, patient: Floats, vertebra: Floats) -> list[Cells]:
    """The levels of a study: patient, all vertebrae pooled, then each of C1..C7.

    Args:
        truth: (studies, 8) in the order of LABELS, NaN = unknown.
        probability: (studies, 8).
        patient: (studies,) the chosen threshold of patients.
        vertebra: (studies,) that of vertebrae; one for all seven, a single level has too few fractures to choose by.
    """
    studies, columns = (np.asarray(place, dtype=np.int64) for place in np.indices(truth.shape))
    chosen = np.column_stack([patient, *[vertebra] * len(VERTEBRAE)])

    def level(name: str, wanted: NDArray[np.bool_]) -> Cells:
        some = wanted & ~np.isnan(truth)
        return Cells(name, truth[some], probability[some], studies[some], columns[some], chosen[some], len(truth))

    patients, *vertebrae = [level(NAMES[label], columns == column) for column, label in enumerate(LABELS)]
    return [patients, level(VERTEBRA, columns > 0), *vertebrae]


def slice_levels(slices: SliceSet, chosen: Floats) -> list[Cells]:
    """The cells slices x vertebrae: all that are known, and those whose slice shows the vertebra.

    Args:
        slices: of a cohort.
        chosen: (studies,) the chosen threshold of slices.
    """
    columns = np.broadcast_to(np.arange(1, len(LABELS)), slices.fractured.shape)
    study = np.broadcast_to(slices.study[:, None], slices.fractured.shape)

    def level(name: str, wanted: NDArray[np.bool_]) -> Cells:
        some = wanted & ~np.isnan(slices.fractured)
        rows = study[some]
        return Cells(
            name, slices.fractured[some], slices.probability[some], rows, columns[some], chosen[rows], len(chosen)
        )

    everything = np.ones(slices.fractured.shape, dtype=bool)
    return [level(SLICE, everything), level(SLICE_IN_VIEW, slices.shown == 1)]

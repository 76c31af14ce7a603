"""Fracture AUC over slices: whether a network sees the fracture, and not only which vertebra is in view.

Over all slices most of an AUC comes from knowing the level; over the slices that show the vertebra that is worth
nothing. Both are computed here, by which slices are handed in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cspine.bootstrap import Floats, Measured, measured_auc
from cspine.studies import VERTEBRAE


def slice_aucs(
    fractured: Floats, probability: Floats, counted: NDArray[np.bool_], study: NDArray[np.int64], counts: Floats
) -> list[Measured]:
    """The AUC of each of C1..C7 over the slices that count for it; the resamples draw studies, not slices.

    Args:
        fractured: (slices, 7) 1 where a fracture of it is visible, 0 where none, NaN = unknown.
        probability: (slices, 7).
        counted: (slices, 7) the slices of each vertebra: those that show it, or all.
        study: (slices,) the study of each, as a column of ``counts``.
        counts: (draws, studies) from ``bootstrap.resample_counts``.
    """
    found = []
    for column in range(len(VERTEBRAE)):
        rows = counted[:, column]
        found.append(measured_auc(fractured[rows, column], probability[rows, column], counts, study[rows]))
    return found

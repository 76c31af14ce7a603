"""Members of a method: several models that judge together, each with its own differences to the method's block.

An ensemble (S4) has members that all judge the same; where each vertebra has a model of its own (S2), a member leaves
what it does not judge open (NaN), and the mean is of those that do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]


def mean_of_members(found: Sequence[Values]) -> Values:
    """The mean of arrays of one shape, cell by cell, of those that judge it; NaN where none does.

    Of a single member its own bytes; the mean is taken in float64, so that the members' order is in no bit of it.
    """
    if len(found) == 1:
        return found[0]
    stacked = np.stack(found).astype(np.float64)
    judged = ~np.isnan(stacked)
    counts = judged.sum(axis=0)
    total = np.where(judged, stacked, 0.0).sum(axis=0)
    return np.divide(total, counts, out=np.full(total.shape, np.nan), where=counts > 0).astype(np.float32)

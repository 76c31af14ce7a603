"""Which slices stand for a vertebra: some of those that show much of it, evenly spaced (S1d)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def chosen_slices(ratios: NDArray[np.float64], least: float, count: int) -> tuple[NDArray[np.int64], int]:
    """``count`` slices that show more than the share ``least`` of a vertebra's largest extent, from head to feet.

    Where no slice shows so much of it (a vertebra that the scan leaves out, or that nobody found), they are those that
    show most.

    Args:
        ratios: (slices,) of one study, the most cranial first: a vertebra's voxels here / their largest number in a
            slice of the study; NaN counts as 0.
        least: a slice shows the vertebra from here on (exclusive).
        count: how many slices are wanted.

    Returns:
        their places in ``ratios`` (count,), rising, repeated where there are fewer; and how many there were above
        ``least`` (0: none).
    """
    known = np.nan_to_num(ratios, nan=0.0)
    showing = np.flatnonzero(known > least)
    if len(showing):
        return evenly(showing, count), len(showing)
    most = np.argsort(-known, kind="stable")[:count]
    return evenly(np.sort(most), count), 0


def evenly(values: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """``count`` of ``values`` in their order: the middles of ``count`` equal parts, so that fewer repeat evenly."""
    return values[((2 * np.arange(count) + 1) * len(values)) // (2 * count)]

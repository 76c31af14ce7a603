"""Places in a slice as it is stored, and in its view: the square, or the middle of it, that ``resize_slice`` makes.

Both are shares of a side: x of the columns, y of the rows. A view may pad a slice and may show only its middle, so a
place in the slice can lie outside 0..1 of the view.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine.views.windows import kept_middle, square_margin

Floats = NDArray[np.float64]


def in_view(places: NDArray[Any], sizes: NDArray[Any], centre: float) -> Floats:
    """Places of slices in their view.

    Args:
        places: (slices, n, 2) as x, y in shares of the stored slice; NaN stays.
        sizes: (slices, 2) rows and columns of the stored slices.
        centre: share of the square's side that the view shows, around its middle.
    """
    scale, offset = _map(sizes, centre)
    return np.asarray(places * scale[:, None] + offset[:, None], np.float64)


def in_slice(places: NDArray[Any], sizes: NDArray[Any], centre: float) -> Floats:
    """The way back: ``in_slice(in_view(p, s, c), s, c)`` is ``p``."""
    scale, offset = _map(sizes, centre)
    return np.asarray((places - offset[:, None]) / scale[:, None], np.float64)


def _map(sizes: NDArray[Any], centre: float) -> tuple[Floats, Floats]:
    """(slices, 2) factor and summand, of x and y, from shares of a slice to those of its view."""
    kinds, of_slice = np.unique(sizes, axis=0, return_inverse=True)
    scale, offset = np.empty((len(kinds), 2)), np.empty((len(kinds), 2))
    for kind, (rows, columns) in enumerate(kinds.tolist()):
        top, left = square_margin(rows, columns)
        first, kept = kept_middle(max(rows, columns), centre)
        scale[kind] = columns / kept, rows / kept
        offset[kind] = (left - first) / kept, (top - first) / kept
    return scale[of_slice.ravel()], offset[of_slice.ravel()]

"""The part of each chosen slice that a vertebra's example shows: a square around the localizer's box, in the crop view.

Boxes are (n, 4) as x0, y0, x1, y1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cspine.views.fields import Place

Floats = NDArray[np.float64]
WHOLE = (0.0, 0.0, 1.0, 1.0)  #: the whole square of the view


def boxes_in_crop(boxes: Floats, sizes: NDArray[np.int64], place: Place) -> Floats:
    """Boxes of slices in shares of the crop view's square; they may reach beyond 0..1, and NaN stays.

    Args:
        boxes: (n, 4) in shares of the stored slice: x of its columns, y of its rows.
        sizes: (n, 2) rows and columns of the stored slices.
        place: of the square in them.
    """
    return place.in_crop(boxes.reshape(-1, 2, 2), sizes).reshape(-1, 4)


def squared(boxes: Floats, margin: float) -> Floats:
    """The squares around ``boxes``, with a margin: a vertebra keeps its shape at whatever size the network reads.

    ASSUME: the source crops to the box and resizes; a box that is wider than high would be stretched differently in
    every slice.

    Args:
        boxes: (n, 4).
        margin: on each side, as a share of the longer side.
    """
    middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    half = size.max(axis=1, keepdims=True) * (0.5 + margin)
    return np.concatenate([middle - half, middle + half], axis=1)


def nearest_known(boxes: Floats, chosen: NDArray[np.int64]) -> Floats:
    """The box of each of the slices ``chosen``, where it has none that of the nearest slice with one.

    Args:
        boxes: (slices, 4) of a study, the most cranial slice first; NaN = none.
        chosen: (n,) places in it.

    Returns:
        (n, 4), NaN where no slice of the study has a box. Of two as near the more cranial one counts.
    """
    known = np.flatnonzero(~np.isnan(boxes).any(axis=1))
    if not len(known):
        return np.full((len(chosen), 4), np.nan)
    return boxes[known[np.abs(known[None] - chosen[:, None]).argmin(axis=1)]]

"""From a map of evidence over what a network saw to a region of the slice as it is stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cspine.views.windows import kept_middle, square_margin

SHARE_OF_PEAK = 0.5  # ASSUME: cells with at least so much of the highest one's evidence belong to its region


@dataclass(frozen=True)
class Region:
    """A box in the pixels of an upright slice, as the competition's boxes: the smallest-index corner and a size."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Field:
    """The part of a slice that the networks see, in its pixels; it may reach beyond the slice, which then is padded."""

    left: float
    top: float
    side: float

    @classmethod
    def of(cls, rows: int, columns: int, centre: float) -> Field:
        """The field in a slice of this size, of a view that keeps this share of the slice's side."""
        top, left = square_margin(rows, columns)
        first, kept = kept_middle(max(rows, columns), centre)
        return cls(first - left, first - top, kept)


def region_of(evidence: NDArray[np.float32], rows: int, columns: int, centre: float) -> Region | None:
    """The connected cells with the most evidence together, as a box; None where there is none.

    Args:
        evidence: (cells, cells) over the field, 0..1.
        rows: of the slice.
        columns: of the slice.
        centre: share of the slice's side that the field keeps.
    """
    if not evidence.max() > 0:
        return None
    groups, count = ndimage.label(evidence >= SHARE_OF_PEAK * evidence.max())
    sums = ndimage.sum(evidence, groups, np.arange(1, count + 1))
    inside = np.argwhere(groups == 1 + int(np.argmax(sums)))
    (top, left), (bottom, right) = inside.min(axis=0), inside.max(axis=0) + 1
    field, cell = Field.of(rows, columns, centre), np.array(evidence.shape)[::-1]
    size = field.side / cell
    x0, x1 = (int(np.clip(round(field.left + edge * size[0]), 0, columns)) for edge in (left, right))
    y0, y1 = (int(np.clip(round(field.top + edge * size[1]), 0, rows)) for edge in (top, bottom))
    return Region(x0, y0, x1 - x0, y1 - y0) if x1 > x0 and y1 > y0 else None

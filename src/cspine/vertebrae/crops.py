"""The pixels of a vertebra: squares cut out of the slices of a crop view's cache, in the size that a network reads."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def cut(image: Image, box: NDArray[np.float32], pixels: int) -> Image:
    """The part of ``image`` in ``box`` as (pixels, pixels); beyond the image it is 0, the window's floor.

    On whole pixels of the image, one at least. Area means when shrinking, linear when growing.

    Args:
        image: (side, side), a slice of the cache.
        box: (4,) x0, y0, x1, y1 in shares of the side; may reach beyond 0..1.
        pixels: side of the result.
    """
    first = np.rint(box[:2].astype(np.float64) * len(image)).astype(np.int64)
    last = np.maximum(np.rint(box[2:].astype(np.float64) * len(image)).astype(np.int64), first + 1)
    inside = _part(image, first, last)
    if inside.shape == (pixels, pixels):
        return inside
    shrinks = min(inside.shape) >= pixels
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(inside, (pixels, pixels), interpolation=method), np.uint8)


def _part(image: Image, first: NDArray[np.int64], last: NDArray[np.int64]) -> Image:
    """``image`` from ``first`` to ``last`` (x, y; exclusive), padded with 0."""
    (left, top), (right, bottom) = first, last
    part = np.zeros((bottom - top, right - left), np.uint8)
    low, high = np.maximum(first, 0), np.minimum(last, len(image))
    if (high > low).all():
        part[low[1] - top : high[1] - top, low[0] - left : high[0] - left] = image[low[1] : high[1], low[0] : high[0]]
    return part

"""The view ``slice``: Hounsfield units through a window to 8 bits, then to a square of fixed size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Window:
    """A window by its center and width in Hounsfield units; called with Hounsfield values, it is ``apply_window``."""

    center: float
    width: float

    def __call__(self, hounsfield: NDArray[Any]) -> NDArray[np.uint8]:
        """Grey levels 0..255, same shape."""
        return apply_window(hounsfield, self.center, self.width)


def apply_window(hounsfield: NDArray[Any], center: float, width: float) -> NDArray[np.uint8]:
    """Grey levels 0..255 of the window [center - width/2, center + width/2], rounded to nearest (ties to even).

    C400 W2000 maps -600 HU and below to 0 and 1400 HU and above to 255. Same shape as ``hounsfield`` (int16 or float).
    """
    if hounsfield.dtype == np.int16:
        levels = np.empty(hounsfield.shape, np.uint8)
        np.take(_levels(center, width), hounsfield.view(np.uint16), mode="clip", out=levels)
        return levels
    return _exact_levels(hounsfield.astype(np.float64), center, width)


def resize_slice(image: NDArray[np.uint8], pixels: int, centre: float = 1.0) -> NDArray[np.uint8]:
    """A (pixels, pixels) version of ``image`` (rows, columns), its aspect kept.

    What is not square is first padded evenly with the window's floor. Area means when shrinking, linear when growing.

    Args:
        image: windowed slice.
        pixels: side of the result.
        centre: share of the square's side that is kept, around its middle; 1 = the whole slice. The neck lies in the
            middle of a neck CT, so a part of the slice shows the spine in finer pixels at the same cost.
    """
    image = _field(image, centre)
    if image.shape[0] == pixels:
        return np.ascontiguousarray(image)
    method = cv2.INTER_AREA if image.shape[0] > pixels else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (pixels, pixels), interpolation=method), np.uint8)


def resize_labels(labels: NDArray[np.uint8], pixels: int, centre: float = 1.0) -> NDArray[np.uint8]:
    """Labels (rows, columns) at the pixels of ``resize_slice``: those of the nearest pixel, 0 where it pads."""
    field = _field(labels, centre)
    at = ((2 * np.arange(pixels) + 1) * field.shape[0]) // (2 * pixels)  # the stored pixel at each one's middle
    return np.ascontiguousarray(field[np.ix_(at, at)])


def square_margin(rows: int, columns: int) -> tuple[int, int]:
    """(top, left) margin in pixels that makes an image square; a cached pixel is (stored + margin) * pixels / side."""
    side = max(rows, columns)
    return (side - rows) // 2, (side - columns) // 2


def kept_middle(side: int, share: float) -> tuple[int, int]:
    """(first pixel, pixels) of the middle ``share`` of a side; 1 = all of it."""
    kept = max(1, round(share * side))
    return (side - kept) // 2, kept


def _field(image: NDArray[np.uint8], centre: float) -> NDArray[np.uint8]:
    """What a view keeps of an image: padded with 0 to a square, the middle ``centre`` of its side."""
    rows, columns = image.shape
    top, left = square_margin(rows, columns)
    if top or left or rows != columns:
        side = max(rows, columns)
        square = np.zeros((side, side), np.uint8)
        square[top : top + rows, left : left + columns] = image
        image = square
    return _middle(image, centre) if centre < 1 else image


def _middle(square: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    first, kept = kept_middle(square.shape[0], share)
    return square[first : first + kept, first : first + kept]


@lru_cache(maxsize=16)
def _levels(center: float, width: float) -> NDArray[np.uint8]:
    """The grey level of every int16 value, indexed by its bit pattern: exact, and faster than the arithmetic."""
    every_value = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.float64)
    return _exact_levels(every_value, center, width)


def _exact_levels(hounsfield: NDArray[np.float64], center: float, width: float) -> NDArray[np.uint8]:
    # multiply before dividing: the quotient of two whole numbers is then rounded right, ties included
    levels = np.rint((hounsfield - (center - width / 2)) * 255 / width)
    return np.clip(levels, 0, 255).astype(np.uint8)

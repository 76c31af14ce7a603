"""A square of a slice, in the slice's own pixels: what a crop shows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Place:
    """Where a study's crop lies in each of its slices.

    Attributes:
        x, y: middle of the square, in shares of the stored slice: of its columns and of its rows.
        side: of the square, stored pixels. In every slice as many: ASSUME that the slices of a study that differ in
            size were reconstructed at one scale.
    """

    x: float
    y: float
    side: int

    def corner(self, rows: int, columns: int) -> tuple[int, int]:
        """(top, left) pixel of the square in a slice; may lie outside of it."""
        return _first(self.y * rows, self.side), _first(self.x * columns, self.side)

    def in_crop(self, places: NDArray[Any], sizes: NDArray[Any]) -> NDArray[np.float64]:
        """Places of slices in their crops.

        Args:
            places: (slices, n, 2) as x, y in shares of the stored slice; NaN stays.
            sizes: (slices, 2) rows and columns of the stored slices.

        Returns:
            The same in shares of the square's side; beyond 0..1 where the square does not reach.
        """
        corners = np.array([self.corner(rows, columns) for rows, columns in np.asarray(sizes).tolist()], np.float64)
        corners = corners.reshape(-1, 2)
        stored = np.asarray(sizes, np.float64).reshape(-1, 2)
        return np.asarray((places * stored[:, None, ::-1] - corners[:, None, ::-1]) / self.side, np.float64)


def cut(image: NDArray[np.uint8], place: Place, pixels: int) -> NDArray[np.uint8]:
    """The square of a windowed slice (rows, columns), as (pixels, pixels).

    A square of exactly ``pixels`` is taken as it is, pixel by pixel; a larger one is shrunk by area means. Beyond the
    slice it is 0, the window's floor.
    """
    (rows, columns), side = image.shape, place.side
    top, left = place.corner(rows, columns)
    square = np.zeros((side, side), np.uint8)
    first = max(top, 0), max(left, 0)
    last = min(top + side, rows), min(left + side, columns)
    if first[0] < last[0] and first[1] < last[1]:
        inside = image[first[0] : last[0], first[1] : last[1]]
        square[first[0] - top : last[0] - top, first[1] - left : last[1] - left] = inside
    if side == pixels:
        return square
    method = cv2.INTER_AREA if side > pixels else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (pixels, pixels), interpolation=method), np.uint8)


def _first(middle: float, side: int) -> int:
    return int(np.floor(middle - side / 2 + 0.5))

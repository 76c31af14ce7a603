"""A study's slices as a cube of a fixed side, and values of the cube back on the slices.

The winners' way of the competition: the whole study, head to feet, becomes one cube, whatever its slices' number and
distance. Cell i of an axis of ``side`` cells covers the samples i * n / side to (i + 1) * n / side of its n samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Cube:
    """How the slices of one study and a cube lie on each other.

    Attributes:
        slices: of the study, the most cranial first.
        pixels: side of a slice.
        side: of the cube, in cells.
    """

    slices: int
    pixels: int
    side: int

    def of(self, stack: Bytes) -> Bytes:
        """Grey levels (slices, pixels, pixels) as cells (side, side, side): linear, means where the cube is coarser."""
        # slice after slice, so that no float copy of a whole study is held: 80 MB at 256 pixels
        smaller = np.stack([_resampled(_resampled(image, 0, self.side), 1, self.side) for image in stack])
        cells = _resampled(smaller, 0, self.side)
        return np.clip(np.rint(cells), 0, 255).astype(np.uint8)

    def labels_of(self, stack: Bytes) -> Bytes:
        """Labels (slices, pixels, pixels) as cells: the one at each cell's middle; UNKNOWN stays UNKNOWN."""
        z, yx = nearest(self.slices, self.side), nearest(self.pixels, self.side)
        return np.ascontiguousarray(stack[np.ix_(z, yx, yx)])

    def on_slices(self, values: Floats, first: int, last: int) -> Floats:
        """Values of cells (n, side, ...) at the slices ``first`` to ``last`` - 1: (n, slices, ...), linear."""
        moved = np.moveaxis(values, 1, 0)
        along = _weights(self.side, self.slices)[first:last]
        found = (along @ moved.reshape(self.side, -1)).reshape(last - first, *moved.shape[1:])
        return np.moveaxis(found, 0, 1)

    def on_pixels(self, values: Floats) -> Floats:
        """Values (..., side, side) of cells across at the slices' pixels: (..., pixels, pixels), linear."""
        return _resampled(_resampled(values, -1, self.pixels), -2, self.pixels)


def linear(samples: int, wanted: int) -> Floats:
    """(wanted, samples): the weights by which ``samples`` along an axis give ``wanted`` values over the same length.

    Linear between neighbours; where there are fewer values than samples, means over as many (a wider triangle), so that
    nothing thin falls between two values.
    """
    middles = (np.arange(wanted) + 0.5) * samples / wanted - 0.5
    reach = max(1.0, samples / wanted)
    weights = np.maximum(0, 1 - np.abs(middles[:, None] - np.arange(samples)[None]) / reach)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _resampled(values: NDArray[Any], axis: int, wanted: int) -> Floats:
    """``values`` with ``wanted`` ones along an axis."""
    first = np.moveaxis(values, axis, 0).astype(np.float32)
    found = _weights(len(first), wanted) @ first.reshape(len(first), -1)
    return np.moveaxis(found.reshape(wanted, *first.shape[1:]), 0, axis)


@lru_cache(maxsize=64)
def _weights(samples: int, wanted: int) -> csr_array:
    """``linear`` without its zeros: a few per cent of the products, summed in one order on every machine."""
    return csr_array(linear(samples, wanted))


def nearest(samples: int, wanted: int) -> NDArray[np.int64]:
    """(wanted,) the sample at the middle of each of ``wanted`` cells."""
    return ((2 * np.arange(wanted) + 1) * samples) // (2 * wanted)

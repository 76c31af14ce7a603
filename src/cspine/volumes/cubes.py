"""A study's slices as a cube of a fixed side, and values of the cube back on the slices.

The winners' way of the competition: the whole study, head to feet, becomes one cube, whatever its slices' number and
distance. Cell i of an axis of ``side`` cells covers the samples i * n / side to (i + 1) * n / side of its n samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
        along, across = linear(self.slices, self.side), linear(self.pixels, self.side)
        # slice after slice, so that no float copy of a whole study is held: 80 MB at 256 pixels
        smaller = np.stack([across @ image.astype(np.float32) @ across.T for image in stack])
        cells = np.tensordot(along, smaller, axes=1)
        return np.clip(np.rint(cells), 0, 255).astype(np.uint8)

    def labels_of(self, stack: Bytes) -> Bytes:
        """Labels (slices, pixels, pixels) as cells: the one at each cell's middle; UNKNOWN stays UNKNOWN."""
        z, yx = nearest(self.slices, self.side), nearest(self.pixels, self.side)
        return np.ascontiguousarray(stack[np.ix_(z, yx, yx)])

    def on_slices(self, values: Floats, first: int, last: int) -> Floats:
        """Values of cells (n, side, ...) at the slices ``first`` to ``last`` - 1: (n, slices, ...), linear."""
        along = linear(self.side, self.slices)[first:last]
        return np.ascontiguousarray(np.moveaxis(np.tensordot(along, values, axes=(1, 1)), 0, 1))

    def on_pixels(self, values: Floats) -> Floats:
        """Values (..., side, side) of cells across at the slices' pixels: (..., pixels, pixels), linear."""
        across = linear(self.side, self.pixels)
        return np.asarray(across @ values @ across.T)


def linear(samples: int, wanted: int) -> Floats:
    """(wanted, samples): the weights by which ``samples`` along an axis give ``wanted`` values over the same length.

    Linear between neighbours; where there are fewer values than samples, means over as many (a wider triangle), so that
    nothing thin falls between two values.
    """
    middles = (np.arange(wanted) + 0.5) * samples / wanted - 0.5
    reach = max(1.0, samples / wanted)
    weights = np.maximum(0, 1 - np.abs(middles[:, None] - np.arange(samples)[None]) / reach)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def nearest(samples: int, wanted: int) -> NDArray[np.int64]:
    """(wanted,) the sample at the middle of each of ``wanted`` cells."""
    return ((2 * np.arange(wanted) + 1) * samples) // (2 * wanted)

"""The view ``volume``: a study as a cube of 8-bit voxels along the patient's axes, kept as a stack of slices.

In memory RAS+ (x to the patient's right, y to the front, z to the head). In the cache as the slices of a study are, so
that whatever shows slices shows these: the first one is the most cranial, the first row the most anterior, the first
column the patient's right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def ras_of(stack: NDArray[Any]) -> NDArray[Any]:
    """A cached stack (slices, rows, columns) as a volume (x, y, z), RAS+; a view of the same memory."""
    return np.asarray(stack[::-1, ::-1, ::-1].transpose(2, 1, 0))


def stack_of(volume: NDArray[Any]) -> NDArray[Any]:
    """The way back: ``stack_of(ras_of(stack))`` is ``stack``."""
    return np.asarray(volume.transpose(2, 1, 0)[::-1, ::-1, ::-1])

"""How much a slice shows of each vertebra, and where: counts and places instead of voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cspine.localization.columns import BOX, MIDDLE, PIXELS
from cspine.masks.stack import Labels
from cspine.studies import VERTEBRAE

COLUMNS = (*PIXELS, *BOX, *MIDDLE)
CERVICAL = len(VERTEBRAE)


def extent_of(labels: Labels) -> NDArray[np.float64]:
    """The values of COLUMNS for one slice.

    Args:
        labels: (rows, columns), 0 = no vertebra, 1..7 = C1..C7, above = thoracic.

    Returns:
        voxels of C1..C7 and of all thoracic levels together; the box around all of them and the middle of each of
        C1..C7 in shares of columns (x) and rows (y), NaN where the slice shows nothing of it.
    """
    found = np.full(len(COLUMNS), np.nan)
    at = np.flatnonzero(labels)
    y, x = np.divmod(at, labels.shape[1])
    level = np.minimum(labels.ravel()[at], CERVICAL + 1).astype(np.int64) - 1
    counts = np.bincount(level, minlength=CERVICAL + 1)
    found[: len(PIXELS)] = counts
    if not len(at):
        return found
    size = np.array([labels.shape[1], labels.shape[0]], np.float64)
    corners = np.array([[x.min(), y.min()], [x.max() + 1, y.max() + 1]]) / size
    found[len(PIXELS) : len(PIXELS) + len(BOX)] = corners.ravel()
    sums = np.stack([np.bincount(level, along + 0.5, CERVICAL + 1)[:CERVICAL] for along in (x, y)], axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 = NaN: nothing of it is there
        found[len(PIXELS) + len(BOX) :] = (sums / counts[:CERVICAL, None] / size).ravel()
    return found


def no_extents(slices: int) -> NDArray[np.float64]:
    """(slices, columns) of a study about whose slices no mask says anything."""
    return np.full((slices, len(COLUMNS)), np.nan)

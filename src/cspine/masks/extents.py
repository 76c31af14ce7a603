"""How much a slice shows of each vertebra, and where: counts and places instead of voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cspine.localization.columns import BOX, MIDDLE, OWN_BOX, PIXELS
from cspine.masks.stack import Labels
from cspine.studies import VERTEBRAE

COLUMNS = (*PIXELS, *BOX, *MIDDLE, *OWN_BOX)
CERVICAL = len(VERTEBRAE)
_BOX = slice(len(PIXELS), len(PIXELS) + len(BOX))
_MIDDLE = slice(_BOX.stop, _BOX.stop + len(MIDDLE))
_OWN = slice(_MIDDLE.stop, _MIDDLE.stop + len(OWN_BOX))


def extent_of(labels: Labels) -> NDArray[np.float64]:
    """The values of COLUMNS for one slice.

    Args:
        labels: (rows, columns), 0 = no vertebra, 1..7 = C1..C7, above = thoracic.

    Returns:
        voxels of C1..C7 and of all thoracic levels together; the box around all of them, the middle of each of C1..C7
        and the box of each in shares of columns (x) and rows (y), NaN where the slice shows nothing of it.
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
    found[_BOX] = _box(x, y, size)
    sums = np.stack([np.bincount(level, along + 0.5, CERVICAL + 1)[:CERVICAL] for along in (x, y)], axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 = NaN: nothing of it is there
        found[_MIDDLE] = (sums / counts[:CERVICAL, None] / size).ravel()
    own = found[_OWN].reshape(CERVICAL, 4)  # a view
    for vertebra in np.flatnonzero(counts[:CERVICAL]):
        of_it = level == vertebra
        own[vertebra] = _box(x[of_it], y[of_it], size)
    return found


def _box(x: NDArray[np.int64], y: NDArray[np.int64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4,) the box around pixels, in shares of ``size`` (columns, rows)."""
    return (np.array([[x.min(), y.min()], [x.max() + 1, y.max() + 1]]) / size).ravel()


def no_extents(slices: int) -> NDArray[np.float64]:
    """(slices, columns) of a study about whose slices no mask says anything."""
    return np.full((slices, len(COLUMNS)), np.nan)

"""From a cube of probabilities to what each slice of the study shows, and how it agrees with the study's own mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine.localization.columns import BOX, LEVELS, MIDDLE, OUTPUTS, OWN_BOX
from cspine.masks.extents import extent_of
from cspine.studies import VERTEBRAE
from cspine.views.places import in_slice
from cspine.volumes.cubes import Bytes, Cube, Floats

AT_ONCE = 16  # slices laid out together: 9 classes of them at 256 pixels are 40 MB
PLACES = (*BOX, *MIDDLE, *OWN_BOX)


def outputs_of(probabilities: Floats, cube: Cube, sizes: NDArray[Any], centre: float) -> Floats:
    """What each slice shows.

    A vertebra is present with the highest of its probabilities anywhere in the slice: in a mask, one voxel makes it
    present. Its pixels are the sum of its probabilities, its ratio these over their largest number in a slice of the
    study (over one cell at least, so that a vertebra which is nowhere has ratios near 0). Boxes and middles are those
    of the cells in which a vertebra is the most probable class; NaN without such a cell.

    Args:
        probabilities: (classes, side, side, side); background, C1..C7, thoracic.
        cube: how it lies on the study.
        sizes: (slices, 2) rows and columns of each slice as it is stored.
        centre: share of the slice's side that the view keeps.

    Returns:
        (slices, columns of OUTPUTS).
    """
    present: list[Floats] = []
    pixels: list[Floats] = []
    places: list[NDArray[np.float64]] = []
    for first in range(0, cube.slices, AT_ONCE):
        last = min(first + AT_ONCE, cube.slices)
        shown = cube.on_slices(probabilities, first, last)
        present.append(shown[1 : 1 + len(VERTEBRAE)].max((2, 3)).T)
        pixels.append(shown[1:].sum((2, 3)).T)
        levels = shown.argmax(0).astype(np.uint8)
        places += [extent_of(image)[-len(PLACES) :] for image in levels]
    counts = np.concatenate(pixels)
    ratios = counts / np.maximum(counts.max(0), 1)
    stored = np.clip(in_slice(np.stack(places).reshape(cube.slices, -1, 2), sizes, centre), 0, 1)
    found = np.column_stack([np.concatenate(present), ratios, stored.reshape(cube.slices, -1)]).astype(np.float32)
    assert found.shape == (cube.slices, len(OUTPUTS))
    return found


def dice_of(probabilities: Floats, cube: Cube, masks: Mapping[int, Bytes]) -> NDArray[np.float64]:
    """(7,) overlap of the segmentation and the study's own mask, C1..C7, over the slices that a plane shows.

    2 x common / (own + found) pixels of the view; NaN where neither has any.

    Args:
        probabilities: as in ``outputs_of``.
        cube: how it lies on the study.
        masks: z_index -> labels (pixels, pixels).
    """
    counts = np.zeros((3, len(LEVELS) + 1))  # common, own, found
    for z in sorted(masks):
        own = masks[z]
        found = cube.on_pixels(cube.on_slices(probabilities, z, z + 1)[:, 0]).argmax(0)
        for row, these in enumerate((own[own == found], own.ravel(), found.ravel())):
            counts[row] += np.bincount(these, minlength=counts.shape[1])
    common, own_pixels, found_pixels = counts[:, 1 : 1 + len(VERTEBRAE)]
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * common / (own_pixels + found_pixels))

"""Regions of a mask that are not the vertebra they are labelled: islands too small, and levels out of order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as connected_regions
from skimage.measure import regionprops

#: A region smaller than this share of its label's largest one is a slip of the pen, not bone.
#: ASSUME: parts of a fractured vertebra that the cleft separates are larger.
STRAY_SHARE = 0.1
#: Levels from which on an order against the neighbours' is an error. Next neighbours overlap from head to feet: the
#: dens of C2, broken off, lies in the ring of C1, and a broken spinous process beside the next body.
LEVELS_APART = 2
Labels = NDArray[np.uint8]
Places = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True)
class _Region:
    level: int
    voxels: int
    plane: float  # of its middle voxel
    at: Places  # planes, rows and columns of a box around it (from ``np.ix_``)
    image: NDArray[np.bool_]  # the region in that box


def without_strays(labels: Labels) -> tuple[Labels, int]:
    """``labels`` (planes from the head, rows, columns) without stray regions, and how many voxels these had.

    A stray region is apart from its label's largest and below STRAY_SHARE of it, or lies out of order: above a larger
    region of a level LEVELS_APART or more above its own, or below one of a level as far below. Parts of a broken
    vertebra are neither.
    """
    kept: list[_Region] = []
    strays: list[_Region] = []
    for regions in (_regions(labels, part.label, part.slice) for part in regionprops(labels)):
        largest = max(region.voxels for region in regions)
        for region in regions:
            (strays if region.voxels < STRAY_SHARE * largest else kept).append(region)
    strays += _out_of_order(kept)
    clean = labels.copy() if strays else labels
    for region in strays:
        box = clean[region.at]
        box[region.image] = 0
        clean[region.at] = box
    return clean, sum(region.voxels for region in strays)


def _out_of_order(regions: list[_Region]) -> list[_Region]:
    """Those that contradict a larger one, largest first: a region out of order is no witness against others."""
    accepted: list[_Region] = []
    wrong: list[_Region] = []
    for region in sorted(regions, key=lambda r: -r.voxels):
        in_order = all(
            abs(region.level - other.level) < LEVELS_APART
            or (region.level > other.level) == (region.plane > other.plane)
            for other in accepted
        )
        (accepted if in_order else wrong).append(region)
    return wrong


def _regions(labels: Labels, level: int, box: tuple[slice, slice, slice]) -> list[_Region]:
    """The connected regions of a level, which lies in ``box``.

    One far voxel makes the box as large as the mask, so planes, rows and columns without the level are left out, but
    for one that keeps apart what was apart.
    """
    own = labels[box] == level
    places = [_occupied(own, axis) for axis in range(3)]
    regions = connected_regions(own[np.ix_(*places)], connectivity=3)
    planes, rows, columns = (place + part.start for place, part in zip(places, box, strict=True))
    found = []
    for part in regionprops(regions):
        along, down, right = part.slice
        middle = float(np.median(planes[part.coords[:, 0]]))
        at = np.ix_(planes[along], rows[down], columns[right])
        found.append(_Region(level, int(part.num_pixels), middle, at, part.image))
    return found


def _occupied(own: NDArray[np.bool_], axis: int) -> NDArray[np.intp]:
    occupied = np.asarray(own.any(axis=tuple(a for a in range(3) if a != axis)))
    occupied[1:] |= occupied[:-1].copy()
    return np.flatnonzero(occupied)

"""How a stored mask is turned: planes from head to feet, rows to the back, columns to the patient's left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

import nibabel
import numpy as np
from numpy.typing import NDArray

from cspine.masks.nifti import Floats, StoredMask

AXES = ("planes", "rows", "columns")
ENOUGH = 128  # indices along an axis that are looked at to find the order of the levels


@dataclass(frozen=True)
class Orientation:
    """Which stored axis holds the planes, the rows and the columns, and which of them run the other way."""

    axes: tuple[int, int, int]
    reversed: tuple[bool, bool, bool]

    def turn(self, stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``stored`` turned upright: (planes from the head, rows to the back, columns to the left); a view."""
        steps = tuple(slice(None, None, -1 if backwards else 1) for backwards in self.reversed)
        return stored.transpose(self.axes)[steps]

    def difference(self, other: Orientation) -> str:
        """What sets this one apart from ``other``, in words."""
        if self.axes != other.axes:
            return "other axes"
        apart = [name for name, a, b in zip(AXES, self.reversed, other.reversed, strict=True) if a != b]
        return f"{' and '.join(apart)} reversed" if apart else "the same"


#: The real masks' way: stored as (column, row from the back, plane from the feet), also where studies are numbered from
#: the feet (data quirk 10: transpose to (2, 1, 0), flip rows and planes).
RULE = Orientation((2, 1, 0), (True, True, False))


def by_header(affine: Floats) -> Orientation:
    """What the header says, to the nearest right angle."""
    nearest = nibabel.io_orientation(affine)  # per stored axis: the world's axis (right, front, head), and 1 or -1
    stored_as = {int(world): (axis, sign > 0) for axis, (world, sign) in enumerate(nearest)}
    # the world's axes grow to the right, front and head, ours to the left, back and feet
    of_ours = [stored_as[world] for world in (2, 1, 0)]
    (plane, down), (row, back), (column, left) = of_ours
    return Orientation((plane, row, column), (down, back, left))


def every() -> Iterator[Orientation]:
    """All 48, those of the rule's axes first."""
    for axes in sorted(permutations(range(3)), key=lambda axes: axes != RULE.axes):
        for backwards in product((True, False), repeat=3):
            yield Orientation(axes, backwards)  # type: ignore[arg-type]


def positions_by_header(affine: Floats, orientation: Orientation, planes: int) -> Floats:
    """Position of each plane along its normal, mm, in the order of ``orientation``; as in DICOM's coordinates.

    The normal points to the head. NIfTI's x and y run against DICOM's: both the normal and the point change sign
    there, so their product does not.
    """
    plane, row, column = orientation.axes
    normal = np.cross(affine[:3, row], affine[:3, column])
    normal = normal / np.linalg.norm(normal) * (-1 if normal[2] < 0 else 1)
    along = affine[:3, 3][None, :] + np.arange(planes)[:, None] * affine[:3, plane][None, :]
    return np.asarray((along @ normal)[:: -1 if orientation.reversed[0] else 1], np.float64)


def spacing_by_header(affine: Floats, orientation: Orientation) -> tuple[float, float]:
    """Distance of rows and of columns, mm."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return float(lengths[orientation.axes[1]]), float(lengths[orientation.axes[2]])


def trend_of_levels(stored: StoredMask) -> tuple[int, int, int]:
    """Whether the levels C1, C2, ... lie at rising (1) or falling (-1) indices of each stored axis; 0 = not to tell.

    Only along the neck does it mean something: the right axis of planes rises. By medians, which strays do not move.
    """
    steps = tuple(slice(None, None, max(1, length // ENOUGH)) for length in stored.labels.shape)
    seen = stored.labels[steps]
    at = np.nonzero(seen)
    levels = seen[at]
    present = np.unique(levels)
    trends = []
    for along in at:
        middles = np.array([np.median(along[levels == level]) for level in present])
        trends.append(int(np.sign(np.sign(np.diff(middles)).sum())))
    return trends[0], trends[1], trends[2]

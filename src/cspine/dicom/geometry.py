"""Where a slice lies in the patient: its plane, how to turn it upright, and its place along the neck.

Patient coordinates are DICOM's: +x to the patient's left, +y to the back, +z to the head; millimetres.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Gantries tilt by up to 30 degrees (cos = 0.866); localisers and reformats across are far below.
AXIAL_COSINE = 0.85
SAME_PLANE_COSINE = 0.9994  # two slices of one stack: within 2 degrees
SAME_POSITION_MM = 0.02  # thinner than any slice distance
UNEVEN = 1.5  # a gap this many times the median is worth telling


Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Plane:
    """Orientation of a slice, and what turns its image upright: patient left on image right, anterior up."""

    normal: Vector  # unit vector towards the head
    transposed: bool = False  # first swap rows and columns
    flip_rows: bool = False
    flip_columns: bool = False
    along_row: Vector = (1.0, 0.0, 0.0)  # unit vectors along which the pixels of the upright image follow each other
    down_column: Vector = (0.0, 1.0, 0.0)

    @property
    def axial(self) -> bool:
        """Whether the slice lies across the neck (gantry tilt allowed)."""
        return self.normal[2] >= AXIAL_COSINE

    @property
    def upright(self) -> bool:
        """Whether the image needs no turning."""
        return not (self.transposed or self.flip_rows or self.flip_columns)

    @property
    def tilt(self) -> float:
        """Angle to the axial plane in degrees."""
        return float(np.degrees(np.arccos(min(1.0, self.normal[2]))))


UPRIGHT = Plane((0.0, 0.0, 1.0))  # ASSUME: a slice that does not say how it lies is an upright axial one


@lru_cache(maxsize=256)
def plane_of(cosines: tuple[float, ...]) -> Plane | None:
    """The plane of ImageOrientationPatient (6 numbers); None if they are not two perpendicular unit vectors."""
    if len(cosines) != 6 or not np.isfinite(cosines).all():
        return None
    along_row, down_column = np.array(cosines[:3]), np.array(cosines[3:])
    lengths = np.linalg.norm(along_row), np.linalg.norm(down_column)
    if min(lengths) < 0.9 or max(lengths) > 1.1 or abs(along_row @ down_column) > 0.05:
        return None
    normal = np.cross(along_row, down_column)
    normal /= np.linalg.norm(normal) * (-1 if normal[2] < 0 else 1)
    along_row, down_column = along_row / lengths[0], down_column / lengths[1]
    transposed = bool(abs(along_row[0]) < abs(along_row[1]))
    if transposed:
        along_row, down_column = down_column, along_row
    flip_rows, flip_columns = bool(down_column[1] < 0), bool(along_row[0] < 0)
    return Plane(
        _vector(normal),
        transposed,
        flip_rows,
        flip_columns,
        _vector(-along_row if flip_columns else along_row),
        _vector(-down_column if flip_rows else down_column),
    )


def _vector(numbers: NDArray[Any]) -> Vector:
    x, y, z = (float(v) + 0.0 for v in numbers)  # no negative zero
    return x, y, z


def largest_stack(planes: Mapping[Plane, int]) -> tuple[Plane, set[Plane]]:
    """Of planes and their numbers of slices, the one that most slices go with, and all that go with it.

    Slices go together that are parallel and not rotated in plane to each other, both within 2 degrees.
    """
    candidates, counts = list(planes), np.array(list(planes.values()))
    normals, rows = np.array([p.normal for p in candidates]), np.array([p.along_row for p in candidates])

    def going_with(i: int) -> NDArray[np.bool_]:
        return (normals @ normals[i] >= SAME_PLANE_COSINE) & (rows @ rows[i] >= SAME_PLANE_COSINE)

    best = max(range(len(candidates)), key=lambda i: int(counts[going_with(i)].sum()))
    return candidates[best], {candidates[i] for i in np.flatnonzero(going_with(best))}


def upright_origin(
    origin: NDArray[np.float64], plane: Plane, shape: tuple[int, int], spacing: Sequence[float]
) -> NDArray[np.float64]:
    """Where the centre of pixel [0, 0] of the upright image lies (mm, patient coordinates).

    Args:
        origin: ImagePositionPatient, the centre of the first pixel stored (PS3.3 C.7.6.2.1.1).
        plane: of the slice.
        shape: rows and columns of the upright image.
        spacing: mm between its rows and between its columns.
    """
    moved = np.array(origin, np.float64)
    if plane.flip_rows:
        moved -= (shape[0] - 1) * spacing[0] * np.array(plane.down_column)
    if plane.flip_columns:
        moved -= (shape[1] - 1) * spacing[1] * np.array(plane.along_row)
    return moved


def turn_upright(image: NDArray[Any], plane: Plane) -> NDArray[Any]:
    """The image (rows, columns) with the patient's left on the right and anterior up; contiguous."""
    if plane.upright:
        return image
    if plane.transposed:
        image = image.T
    image = image[:: -1 if plane.flip_rows else 1, :: -1 if plane.flip_columns else 1]
    return np.ascontiguousarray(image)


def spread(numbers: NDArray[Any], positions: NDArray[Any]) -> NDArray[Any]:
    """Positions (mm, NaN where unknown; two known at least) filled in along ``numbers``, straight beyond the ends."""
    known = np.flatnonzero(np.isfinite(positions))
    known = known[np.argsort(numbers[known], kind="stable")]
    x, y = numbers[known].astype(float), positions[known]
    step = (y[-1] - y[0]) / (x[-1] - x[0])
    filled = np.interp(numbers, x, y)
    filled = np.where(numbers < x[0], y[0] + (numbers - x[0]) * step, filled)
    filled = np.where(numbers > x[-1], y[-1] + (numbers - x[-1]) * step, filled)
    return np.where(np.isfinite(positions), positions, filled)


def runs_feet_to_head(slice_numbers: NDArray[Any]) -> bool:
    """Whether file numbers (in cranial-to-caudal order; -1 = none) mostly fall."""
    steps = np.sign(np.diff(slice_numbers[slice_numbers >= 0].astype(np.int64)))
    return bool(steps.sum() < 0)


def runs_one_way(numbers: NDArray[Any], positions: NDArray[Any]) -> bool:
    """Whether positions only rise, or only fall, with the numbers."""
    steps = np.diff(positions[np.argsort(numbers)])
    return bool((steps >= 0).all() or (steps <= 0).all())


def uneven_gaps(positions: NDArray[Any]) -> list[int]:
    """The z_index of each slice after which the gap is far larger than the median one."""
    gaps = np.abs(np.diff(positions.astype(float)))
    if len(gaps) < 2:
        return []
    return [int(i) for i in np.flatnonzero(gaps > UNEVEN * np.median(gaps))]

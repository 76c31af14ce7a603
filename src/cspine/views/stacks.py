"""A study's slices as one regular stack of clamped values with its place in the patient: what is resampled to a volume.

Slices become part of it one by one, so that of the whole study only what is stored in its files and this stack are in
memory; where voxels are to be coarser, it is built from means of whole pixels, which a linear resampling would skip.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cspine.dicom import Study

Floats = NDArray[np.float64]
STRAIGHT = 0.25  # of the median gap: positions this close to equal distances are taken for equal
MOST_FILLED = 4  # times as many slices as a study has, at most, where gaps are filled
NOMINAL_THICKNESS_MM = 1.0  # ASSUME: of a single slice whose header tells none


@dataclass(frozen=True)
class Stack:
    """What a study looks like in a box of equal voxels.

    Attributes:
        values: int16 (slices, rows, columns), Hounsfield units above the clamp's floor; the most cranial slice first.
        affine: (4, 4): (column, row, slice) of a voxel's middle -> mm, DICOM's axes (+x left, +y back, +z head).
        uneven: what was filled, in words; "" where the slices lie at equal distances.
    """

    values: NDArray[np.int16]
    affine: Floats
    uneven: str = ""


@dataclass(frozen=True)
class _Frame:
    """The pixels that most slices of a study have, and where they lie in the patient.

    Attributes:
        shape: rows and columns.
        spacing: (2,) of rows and of columns, mm.
        blocks: rows and columns that become one.
        axes: (3, 3): unit vectors across (to the left), down (to the back) and towards the head.
        origin: (2,) across and down, mm, of pixel [0, 0] at position 0.
        slide: (2,) mm across and down that a slice lies further for each mm towards the head; 0 without gantry tilt.
    """

    shape: tuple[int, int]
    spacing: Floats
    blocks: tuple[int, int]
    axes: Floats
    origin: Floats
    slide: Floats

    def means(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Means of blocks; a rest at the far edges that fills none is left out."""
        if self.blocks == (1, 1):
            return image
        rows, columns = (count // block for count, block in zip(self.shape, self.blocks, strict=True))
        whole = np.ascontiguousarray(image[: rows * self.blocks[0], : columns * self.blocks[1]])
        return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)

    def at(self, position: float) -> Floats:
        """(2,) where pixel [0, 0] lies across and down, mm."""
        return np.asarray(self.origin + self.slide * position, np.float64)

    def affine(self, position: float, step: float, slices: int) -> Floats:
        """Of the voxels, ``slices`` slices of ``step`` mm each, the first of which lies at ``position``."""
        across, down, up = self.axes
        block = np.array([self.blocks[1], self.blocks[0], slices])
        edges = np.column_stack([across * self.spacing[1], down * self.spacing[0]])
        edges = np.column_stack([edges, -step * (up + self.slide @ self.axes[:2])])
        first = self.at(position) @ self.axes[:2] + position * up
        matrix: Floats = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = edges * block, first + edges @ ((block - 1) / 2)
        return matrix


def stack_of_study(study: Study, low: float, high: float, spacing: float) -> Stack:
    """The slices of ``study`` (one at least), clamped to ``low`` .. ``high`` Hounsfield units.

    Args:
        study: as read; slices of another size or spacing than most are laid into the others' pixels.
        low, high: what lies beyond becomes these. First of all, as the source does: metal must not outshine its means.
        spacing: mm of the volume to be made; as many pixels and slices as fit into one of its voxels are averaged.
    """
    frame = _frame(study, spacing)
    images = []
    for z in range(len(study.files)):
        image = np.clip(np.asarray(study.hounsfield[z], np.float32), low, high) - np.float32(low)
        images.append(np.rint(frame.means(_in_frame(image, study, z, frame))).astype(np.int16))
    values = np.stack(images)
    del images
    positions, values, uneven = _evenly(study.positions.astype(np.float64), values)
    step = float(positions[0] - positions[1]) if len(positions) > 1 else _thickness(study)
    blocks = blocks_of(step, spacing, len(values))
    return Stack(_slice_means(values, blocks), frame.affine(float(positions[0]), step, blocks), uneven)


def blocks_of(spacing: float, wanted: float, count: int) -> int:
    """How many of ``count`` neighbours, ``spacing`` mm apart, become one before all is resampled to ``wanted``."""
    return min(count, max(1, int(wanted / spacing + 1e-6)))


def _frame(study: Study, wanted: float) -> _Frame:
    kinds = [(*size, *pair) for size, pair in zip(study.hounsfield.sizes, study.spacing.tolist(), strict=True)]
    usual = Counter(kinds).most_common(1)[0][0]
    shape, spacing = usual[:2], np.array(usual[2:])
    across, down = study.orientation.reshape(2, 3)
    up = np.cross(across, down)
    axes = np.array([across, down, up if up[2] >= 0 else -up])
    corners, positions = study.origins @ axes[:2].T, study.positions.astype(np.float64)
    known = [z for z, kind in enumerate(kinds) if kind == usual and np.isfinite(corners[z]).all()]
    slide, origin = np.zeros(2), np.zeros(2)
    if known:
        first, last = known[0], known[-1]
        if last > first:
            slide = (corners[first] - corners[last]) / (positions[first] - positions[last])
        origin = corners[first] - slide * positions[first]
    blocks = blocks_of(spacing[0], wanted, shape[0]), blocks_of(spacing[1], wanted, shape[1])
    return _Frame(shape, spacing, blocks, axes, origin, slide)


def _in_frame(image: NDArray[np.float32], study: Study, z: int, frame: _Frame) -> NDArray[np.float32]:
    """A slice in the pixels of most slices; what it does not show is 0, the floor."""
    own = study.spacing[z].astype(np.float64)
    if image.shape == frame.shape and np.array_equal(own, frame.spacing):
        return image
    scale = frame.spacing / own
    corner = study.origins[z] @ frame.axes[:2].T
    if np.isfinite(corner).all():
        shift = (frame.at(float(study.positions[z])) - corner)[::-1] / own
    else:  # ASSUME: both have the same middle
        shift = (np.array(image.shape) - 1) / 2 - scale * (np.array(frame.shape) - 1) / 2
    matrix = np.array([[scale[1], 0, shift[1]], [0, scale[0], shift[0]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, frame.shape[::-1], flags=flags, borderValue=0), np.float32)


def _evenly(positions: Floats, values: NDArray[np.int16]) -> tuple[Floats, NDArray[np.int16], str]:
    """Positions at equal distances (mm, falling), the values there, linear between neighbours, and what was filled."""
    if len(positions) < 2:
        return positions, values, ""
    gaps = -np.diff(positions)
    step = float(np.median(gaps))
    straight = np.linspace(positions[0], positions[-1], len(positions))
    if np.abs(positions - straight).max() <= STRAIGHT * step:
        return straight, values, ""
    count = min(round((positions[0] - positions[-1]) / step) + 1, MOST_FILLED * len(positions))
    regular = np.linspace(positions[0], positions[-1], max(2, count))
    below = np.clip(np.searchsorted(-positions, -regular), 1, len(positions) - 1)
    share = ((positions[below - 1] - regular) / gaps[below - 1]).astype(np.float32)
    filled = np.empty((len(regular), *values.shape[1:]), np.int16)
    for z, (after, part) in enumerate(zip(below.tolist(), share, strict=True)):
        filled[z] = np.rint(values[after - 1] * (1 - part) + values[after] * part)
    told = f"gaps of {gaps.min():.2f} to {gaps.max():.2f} mm, mostly {step:.2f}"
    return regular, filled, f"{told}; {len(positions)} slices became {len(regular)}"


def _slice_means(values: NDArray[np.int16], blocks: int) -> NDArray[np.int16]:
    """Means of ``blocks`` neighbouring slices; a rest at the feet that fills none is left out."""
    if blocks == 1:
        return values
    count = len(values) // blocks
    means = np.empty((count, *values.shape[1:]), np.int16)
    for z in range(count):
        means[z] = np.rint(values[z * blocks : (z + 1) * blocks].mean(axis=0, dtype=np.float32))
    return means


def _thickness(study: Study) -> float:
    return float(study.thickness) if np.isfinite(study.thickness) and study.thickness > 0 else NOMINAL_THICKNESS_MM

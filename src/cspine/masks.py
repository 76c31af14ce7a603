"""Vertebra masks: NIfTI files laid over the slices of their study, and freed of stray labels.

The only module that knows how masks are stored. Reference: nifti1.h of the NIfTI-1 standard (sform, qform).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from skimage.measure import label as connected_regions

from cspine.errors import CspineError
from cspine.studies import VERTEBRAE

#: A region smaller than this share of its label's largest one is a slip of the pen, not bone.
#: ASSUME: parts of a fractured vertebra that the cleft separates are larger.
STRAY_SHARE = 0.1
MOST_LABEL = 19  # 1-7 = C1-C7, 8-19 = T1-T12 (the host's description of the data)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mask:
    """A study's vertebra labels, turned as ``dicom.read_study`` turns its slices.

    Attributes:
        labels: uint8 (planes, rows, columns): planes from head to feet, rows to the back, columns to the left.
        positions: (planes,) mm along the planes' normal, falling; None where the file does not say where it lies.
    """

    labels: NDArray[np.uint8]
    positions: Floats | None

    def present(self) -> NDArray[np.bool_]:
        """(planes, 7): C1..C7 has at least one voxel in the plane (S1b)."""
        levels = range(1, len(VERTEBRAE) + 1)
        return np.stack([(self.labels == level).any(axis=(1, 2)) for level in levels], axis=1)


def read_mask(path: Path) -> Mask:
    """Read a mask and turn it by its header, or by the rule that holds for the real data where the header is silent.

    The rule: stored as (column, row from the back, plane from the feet).

    Raises:
        CspineError: not a NIfTI file, not three-dimensional, or values that are no labels.
    """
    try:
        image: Any = nibabel.load(path)
        header = image.header
        says_where = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
        turned = nibabel.as_closest_canonical(image) if says_where else image
        values = np.asarray(turned.dataobj)
    except Exception as error:  # nibabel, zlib and numpy raise many kinds on a damaged file
        raise CspineError(f"{path}: expected a NIfTI mask, found one that cannot be read ({error})") from error
    if values.ndim != 3 or 0 in values.shape:
        raise CspineError(f"{path}: expected a mask of three dimensions, found the shape {values.shape}")
    if not np.isin(np.unique(values), np.arange(MOST_LABEL + 1)).all():
        found = f"{float(values.min()):g} to {float(values.max()):g}"
        raise CspineError(f"{path}: expected whole labels 0 to {MOST_LABEL}, found values from {found}")
    # RAS+ grows to the right, front and head; ours to the left, back and feet. The rule's first axis needs no turn.
    planes = values.astype(np.uint8).transpose(2, 1, 0)[::-1, ::-1, :: -1 if says_where else 1]
    return Mask(np.ascontiguousarray(planes), _positions(turned.affine, values.shape[2]) if says_where else None)


def place_on_slices(mask: Mask, positions: Floats) -> NDArray[np.int64]:
    """The plane of ``mask`` that each slice shows, -1 where none does.

    Args:
        mask: of the study.
        positions: (slices,) mm, falling, as in the index.

    As many planes as slices belong together one by one, whatever the header says; otherwise, by the nearest position
    within half a plane's distance.
    """
    count = len(mask.labels)
    if count == len(positions):
        return np.arange(count)
    if mask.positions is None or count < 2:
        return np.full(len(positions), -1)
    gaps = np.abs(positions[:, None] - mask.positions[None, :])
    reach = abs(float(np.median(np.diff(mask.positions)))) / 2
    return np.where(gaps.min(axis=1) <= reach, gaps.argmin(axis=1), -1)


def without_strays(labels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """``labels`` (planes, rows, columns) without small regions apart from their label's largest, and their voxels."""
    clean, removed = labels.copy(), 0
    for value, box in enumerate(find_objects(labels), start=1):
        if box is None:
            continue
        own = labels[box] == value
        regions = connected_regions(own, connectivity=3)
        sizes = np.bincount(regions.ravel())
        sizes[0] = 0
        strays = np.flatnonzero((sizes > 0) & (sizes < STRAY_SHARE * sizes.max()))
        if len(strays):
            wrong = np.isin(regions, strays)
            clean[box][wrong] = 0
            removed += int(np.count_nonzero(wrong))
    return clean, removed


def _positions(affine: Floats, planes: int) -> Floats:
    """Position of each plane from head to feet along its normal, mm; the same number as in DICOM's coordinates.

    NIfTI's x and y run against DICOM's; both the normal and the point change sign there, so their product does not.
    """
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    normal = normal / np.linalg.norm(normal)
    along = affine[:3, 3][None, :] + np.arange(planes)[:, None] * affine[:3, 2][None, :]
    return np.asarray((along @ normal)[::-1], np.float64)

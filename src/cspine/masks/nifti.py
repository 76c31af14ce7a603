"""A NIfTI file -> its labels as they are stored, and where its header says they lie.

The only module that knows NIfTI. Reference: nifti1.h of the NIfTI-1 standard (sform, qform); RAS+ coordinates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from cspine.errors import CspineError

MOST_LABEL = 19  # 1-7 = C1-C7, 8-19 = T1-T12 (the host's description of the data)
SLABS = 16  # parts in which values that are no bytes are converted, so that memory holds the file's once
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StoredMask:
    """A mask as its file has it.

    Attributes:
        labels: uint8, three axes in the file's order.
        affine: (4, 4) from an index to mm (x to the right, y to the front, z to the head); None where the header does
            not say (both codes 0) or what it says is no place.
    """

    labels: NDArray[np.uint8]
    affine: Floats | None


def read_nifti(path: Path) -> StoredMask:
    """Read a mask, plain or compressed.

    Raises:
        CspineError: not a NIfTI file, not three-dimensional, or values that are no labels.
    """
    try:
        image: Any = nibabel.load(path)
        values = np.asarray(image.dataobj)
        header = image.header
        says_where = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
        affine = np.asarray(image.affine, np.float64) if says_where else None
    except Exception as error:  # nibabel, zlib and numpy raise many kinds on a damaged file
        raise CspineError(f"{path}: expected a NIfTI mask, found one that cannot be read ({error})") from error
    if values.ndim > 3 and values.shape[3:] == (1,) * (values.ndim - 3):
        values = values.reshape(values.shape[:3])  # some writers add a time axis of one moment
    if values.ndim != 3 or 0 in values.shape:
        raise CspineError(f"{path}: expected a mask of three dimensions, found the shape {values.shape}")
    return StoredMask(_as_labels(values, path), affine if affine is not None and _is_place(affine) else None)


def voxels_of(path: Path) -> int:
    """Voxels of a mask, from its header alone; 0 where that cannot be read, or the mask has not three dimensions."""
    try:
        image: Any = nibabel.load(path)
    except Exception:  # as above
        return 0
    return math.prod(image.shape[:3]) if len(image.shape) >= 3 else 0


def _as_labels(values: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """``values`` as uint8; a CspineError where they are not whole labels (not a number is none either)."""
    if values.dtype == np.uint8 and values.max() <= MOST_LABEL:
        return np.asarray(values)
    labels = np.empty(values.shape, np.uint8, order="F")
    for slab in np.array_split(np.arange(values.shape[2]), min(SLABS, values.shape[2])):
        part = values[:, :, slab[0] : slab[-1] + 1]
        if part.dtype.kind not in "uif" or not (part.min() >= 0 and part.max() <= MOST_LABEL and _whole(part)):
            found = f"{part.min():g} to {part.max():g}" if part.dtype.kind in "uif" else str(part.dtype)
            raise CspineError(f"{path}: expected whole labels 0 to {MOST_LABEL}, found values {found}")
        labels[:, :, slab[0] : slab[-1] + 1] = part
    return labels


def _whole(values: NDArray[Any]) -> bool:
    return values.dtype.kind != "f" or bool((values == np.floor(values)).all())


def _is_place(affine: Floats) -> bool:
    return bool(np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 1e-6)

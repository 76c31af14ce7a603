"""Masks as NIfTI-1 files (reference: the standard's nifti1.h; 348 bytes of header, 4 of padding, voxels).

Stored as the real masks are: axes (column, row from the back, slice from the feet). To lay a mask over the
slices in file-number order: transpose (2, 1, 0), flip the second axis, and flip the first unless the study is
reversed.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from cspine.phantom.patients import Grid

HEADER_BYTES, VOXELS_AT = 348, 352
UINT8, MILLIMETRES, SCANNER = 2, 2, 1  # codes of the standard: datatype, xyzt_units, sform_code


def encode_mask(labels: npt.NDArray[np.uint8], grid: Grid) -> bytes:
    """The file for ``labels`` (slices from the head, rows from the front, columns from the right)."""
    stored = labels[::-1, ::-1, :].transpose(2, 1, 0)
    return _header(stored.shape, grid) + stored.tobytes(order="F")


def _header(shape: tuple[int, ...], grid: Grid) -> bytes:
    """Header with an affine from voxels to mm towards the right, front and head reversed as RAS+ wants it."""
    header = bytearray(VOXELS_AT)
    step, spacing = grid.step, grid.spacing
    struct.pack_into("<i", header, 0, HEADER_BYTES)
    struct.pack_into("<8h", header, 40, 3, *shape, 1, 1, 1, 1)  # dim
    struct.pack_into("<2h", header, 70, UINT8, 8)  # datatype, bitpix
    struct.pack_into("<8f", header, 76, 1, spacing, spacing, step, 0, 0, 0, 0)  # pixdim
    struct.pack_into("<3f", header, 108, VOXELS_AT, 1, 0)  # vox_offset, scl_slope, scl_inter
    struct.pack_into("<B", header, 123, MILLIMETRES)
    struct.pack_into("<2h", header, 252, 0, SCANNER)  # qform_code, sform_code
    # RAS+: x to the right, y to the front; DICOM's axes run the other way
    rows = ((-spacing, 0, 0, -grid.x[0]), (0, spacing, 0, -grid.y[-1]), (0, 0, step, grid.z[-1]))
    for at, row in zip((280, 296, 312), rows, strict=True):
        struct.pack_into("<4f", header, at, *(float(v) for v in row))
    header[344:348] = b"n+1\0"
    return bytes(header)

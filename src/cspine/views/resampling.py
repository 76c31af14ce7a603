"""A stack resampled to a cube along the patient's axes. Only this module imports torchio to prepare volumes.

Source: the capstone's 3D CNN (S0c): clamp to -1000..1900 HU, rescale to 0..1, reorient to RAS+, resample to 1 mm
isotropic, crop or pad to 224^3. Here the stack is clamped already, and is resampled straight onto the voxels of the
cube: cropping, padding, turning and a tilted gantry's shear are then one linear interpolation, and memory holds the
stack and the cube only.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cspine.views.stacks import Floats, Stack

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # from DICOM's axes (+x left, +y back)


@dataclass(frozen=True)
class Cube:
    """The voxels of a volume.

    Attributes:
        levels: uint8 (x, y, z), RAS+; 0 = the clamp's floor and what the study does not show, 255 = its top.
        affine: (4, 4): (x, y, z) of a voxel's middle -> mm, RAS+.
    """

    levels: NDArray[np.uint8]
    affine: Floats


def cube_of(stack: Stack, pixels: int, spacing: float, top: float) -> Cube:
    """The cube of ``pixels`` voxels a side around the middle of ``stack``.

    Args:
        stack: a study's slices.
        pixels: side of the cube.
        spacing: of its voxels, mm.
        top: the stack's value that becomes 255.
    """
    # several studies are resampled at once, a process each
    os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
    import torchio  # brings torch: seconds, so it is imported when the first study has been read

    affine = TO_RAS @ stack.affine
    values = np.ascontiguousarray(stack.values.transpose(2, 1, 0))[None]
    target = around(affine, values.shape[1:], pixels, spacing)
    steps = torchio.Compose(
        [
            torchio.Resample(((pixels, pixels, pixels), target)),
            torchio.RescaleIntensity((0, 255), in_min_max=(0, top)),
        ]
    )
    made = steps(torchio.ScalarImage(tensor=values, affine=affine))
    levels = np.clip(np.rint(np.asarray(made.data)[0]), 0, 255).astype(np.uint8)
    return Cube(levels, np.asarray(made.affine, np.float64))


def resampler() -> str:
    """What resamples here, as "torchio 1.2.1": content of a shard's footer, as its encoder is."""
    return f"torchio {importlib.metadata.version('torchio')}"


def around(affine: Floats, shape: tuple[int, ...], pixels: int, spacing: float) -> Floats:
    """The affine of a cube along the axes, with the middle of the box that holds all voxels of ``shape``."""
    edges = [(-0.5, count - 0.5) for count in shape]
    corners = np.array([affine @ [*corner, 1.0] for corner in itertools.product(*edges)])[:, :3]
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    target = np.diag([spacing, spacing, spacing, 1.0])
    target[:3, 3] = middle - spacing * (pixels - 1) / 2
    return target

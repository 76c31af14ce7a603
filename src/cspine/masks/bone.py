"""Whether a mask lies on bone: the evidence that it is turned right and belongs to its study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from cspine.dicom import Study

#: Above muscle and blood (30 to 80 HU), below the spongy bone of most necks. ASSUME: 150 HU; what is compared are ways
#: of laying the same mask over the same slices, so the exact number matters little.
BONE_HU = 150
RIM_MM = 2.0  # width of the rim around a mask that should be darker than bone
#: A mask in its place fits clearly better than the same mask moved by about a vertebral arch's thickness or twice that.
#: On 66 phantom necks the fit fell by 0.16 or more then, that of 264 masks of other necks by 0.08 or less.
MOVED_MM = (5.0, 10.0)
CLEARLY = 0.1
#: ASSUME: share of a mask's voxels above BONE_HU; the phantom's have 0.85 or more, osteopenic real ones fewer.
LEAST_SHARE = 0.5
LOOKED_AT = 16  # slices of a study
Image = NDArray[np.bool_]


@dataclass(frozen=True)
class BoneMap:
    """One slice of the study: where bone is."""

    z_index: int
    bone: Image  # (rows, columns), upright
    spacing: tuple[float, float]  # mm, of rows and of columns


@dataclass(frozen=True)
class Fit:
    """How a mask lies on the slices that were looked at.

    Attributes:
        share: of the labelled voxels, those that lie on bone; NaN where no labelled voxel was compared.
        contrast: that share less the share of bone in the rim around the mask, -1 to 1.
    """

    share: float
    contrast: float


def bone_map(study: Study, z: int, z_index: int) -> BoneMap:
    """Of slice ``z`` of a study as read, which is slice ``z_index`` of the whole one."""
    rows, columns = (float(v) for v in study.spacing[z])
    return BoneMap(z_index, np.asarray(study.hounsfield[z] > BONE_HU), (rows, columns))


def bone_maps(study: Study) -> list[BoneMap]:
    """Of LOOKED_AT slices spread over a whole study."""
    return [bone_map(study, z, z) for z in spread_over(len(study.files))]


def spread_over(slices: int) -> list[int]:
    """Places of LOOKED_AT slices of so many, evenly from the first to the last; all where there are fewer."""
    return sorted({round(z) for z in np.linspace(0, slices - 1, LOOKED_AT)} if slices else ())


def fit(maps: Sequence[BoneMap], labelled: Callable[[BoneMap], Image]) -> Fit:
    """How the mask that ``labelled`` gives for each slice lies on bone."""
    return _Comparison(maps, labelled).moved(0, 0)


def in_place(maps: Sequence[BoneMap], labelled: Callable[[BoneMap], Image]) -> bool:
    """Whether the mask is on bone and would be less so anywhere near."""
    comparison = _Comparison(maps, labelled)
    here = comparison.moved(0, 0)
    ways = [(a, b) for a, b in product((-1, 0, 1), repeat=2) if (a, b) != (0, 0)]
    near = [(mm * a / np.hypot(a, b), mm * b / np.hypot(a, b)) for mm in MOVED_MM for a, b in ways]
    best = max(comparison.moved(down, right).contrast for down, right in near)
    return here.share >= LEAST_SHARE and here.contrast - best >= CLEARLY


class _Comparison:
    """The voxels of a mask and of its rim in each slice, ready to be moved about."""

    def __init__(self, maps: Sequence[BoneMap], labelled: Callable[[BoneMap], Image]) -> None:
        self.parts = []
        for of_slice in maps:
            mask = labelled(of_slice)
            if mask.any():
                sides = [2 * max(1, round(RIM_MM / mm)) + 1 for mm in of_slice.spacing]
                wider = cv2.dilate(mask.astype(np.uint8), np.ones(sides, np.uint8))
                self.parts.append((of_slice, np.nonzero(mask), np.nonzero(wider.astype(bool) & ~mask)))

    def moved(self, down: float, right: float) -> Fit:
        """The fit of the mask moved by so many mm; what leaves the image stays at its edge."""
        counts = np.zeros((2, 2))  # (on bone, all) of the mask and of its rim
        for of_slice, *areas in self.parts:
            steps = round(down / of_slice.spacing[0]), round(right / of_slice.spacing[1])
            for i, (rows, columns) in enumerate(areas):
                height, width = of_slice.bone.shape
                at = np.clip(rows + steps[0], 0, height - 1), np.clip(columns + steps[1], 0, width - 1)
                counts[i] += np.count_nonzero(of_slice.bone[at]), len(rows)
        if not counts[0, 1]:
            return Fit(float("nan"), float("nan"))
        inside, rim = counts[:, 0] / np.maximum(counts[:, 1], 1)
        return Fit(float(inside), float(inside - rim))

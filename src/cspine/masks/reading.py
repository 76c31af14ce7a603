"""One study's mask read and laid over its slices: what the worker processes of ``label_presence`` run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cspine.dicom import Study, read_study
from cspine.errors import CspineError
from cspine.faults import fault_point
from cspine.masks.bone import BoneMap, bone_map, spread_over
from cspine.masks.extents import extent_of, no_extents
from cspine.masks.laying import StudyMask, lay_over
from cspine.masks.nifti import read_nifti
from cspine.masks.stack import Stack
from cspine.raw_folder import COHORTS, MASKS
from cspine.studies import UID, VERTEBRAE

if TYPE_CHECKING:
    import pandas as pd

#: columns of index/slices.parquet that a mask is laid by
INDEXED = (UID, "slice_number", "z_index", "position", "rows", "columns", "row_spacing", "column_spacing")
SAME_MM = 0.1  # a slice is found again by its position within this distance


@dataclass(frozen=True)
class MaskJob:
    """A segmented study.

    Attributes:
        mask: path of its mask.
        folder: of its slices.
        files: in it, by name.
        slice_numbers: (slices,) of the readable slices, from the head; -1 where a file's name has none.
        stack: these slices.
    """

    mask: Path
    folder: Path
    files: tuple[str, ...]
    slice_numbers: NDArray[np.int32]
    stack: Stack

    @classmethod
    def of(cls, root: Path, uid: str, name: str, files: list[str], slices: pd.DataFrame) -> MaskJob:
        """The mask ``name`` of a training study.

        Args:
            root: the raw folder.
            uid: the study.
            name: of its mask, in the raw folder's ``segmentations``.
            files: of the study.
            slices: its rows of index/slices.parquet with the columns INDEXED, most cranial first.
        """
        stack = Stack(
            slices["position"].to_numpy(np.float64),
            slices[["rows", "columns"]].to_numpy(np.int64),
            slices[["row_spacing", "column_spacing"]].to_numpy(np.float64),
        )
        numbers = slices["slice_number"].to_numpy(np.int32)
        return cls(root / MASKS / name, root / COHORTS["train"] / uid, tuple(files), numbers, stack)


@dataclass(frozen=True)
class Refusal:
    """Why a mask says nothing: the reason code of a finding, and its detail."""

    code: str
    detail: str


@dataclass(frozen=True)
class LaidMask:
    """What a mask says about the slices of its study; without its voxels, which are too many to hand over.

    Attributes:
        present: int8 (slices, 7): C1..C7 has a voxel in the slice; -1 in slices that no plane shows.
        extents: (slices, columns of ``extents.COLUMNS``); NaN in slices that no plane shows.
        figures: of masks.parquet.
        remarks: (reason code of a finding, detail).
    """

    present: NDArray[np.int8]
    extents: NDArray[np.float64]
    figures: dict[str, Any]
    remarks: list[tuple[str, str]] = field(default_factory=list)


def lay_mask(job: MaskJob, given: None) -> LaidMask:
    """Read the mask and a few slices of the study, and lay it over all; never raises for bad input."""
    fault_point(f"lay-mask-{job.folder.name}")
    mask = study_mask(job)
    if isinstance(mask, Refusal):
        return _nothing(job, mask.code, mask.detail)
    return LaidMask(mask.present(), _extents(mask), _figures(mask), mask.remarks)


def study_mask(job: MaskJob) -> StudyMask | Refusal:
    """The mask laid over its study's slices, voxels and all, or why it cannot be read; never raises for bad input."""
    if not len(job.stack.positions):
        return Refusal("mask-without-slices", "no slice of the study could be read")
    try:
        stored = read_nifti(job.mask)
    except CspineError as error:
        return Refusal("mask-unreadable", str(error).removeprefix(f"{job.mask}: "))
    return lay_over(stored, job.stack, _bone_maps(job))


def lost_mask(job: MaskJob) -> LaidMask:
    """What stands for a mask whose reading killed its process."""
    return _nothing(job, "mask-reader-crash", "the process that read this mask and its slices was killed")


def _nothing(job: MaskJob, code: str, detail: str) -> LaidMask:
    unknown = np.full((len(job.stack.positions), len(VERTEBRAE)), -1, np.int8)
    figures = {"orientation": "", "planes": 0, "matched": 0, "bone_share": np.nan, "strays": 0, "levels": ""}
    return LaidMask(unknown, no_extents(len(unknown)), figures, [(code, detail)])


def _extents(mask: StudyMask) -> NDArray[np.float64]:
    found = no_extents(len(mask.known))
    for z in np.flatnonzero(mask.known):  # one slice at a time: a study's voxels as slices would be 100 MB
        found[z] = extent_of(mask.labels_of(int(z)))
    return found


def _figures(mask: StudyMask) -> dict[str, Any]:
    return {
        "orientation": mask.orientation,
        "planes": mask.count,
        "matched": int(mask.known.sum()),
        "bone_share": mask.bone_share,
        "strays": mask.strays,
        "levels": " ".join(mask.levels()),
    }


def _bone_maps(job: MaskJob) -> list[BoneMap]:
    """Where bone is in the slices of some files of the study."""
    study = read_study(job.folder, [job.files[i] for i in spread_over(len(job.files))])
    maps = []
    for i in range(len(study.files)):
        z = _place(study, i, job)
        found = bone_map(study, i, z) if z is not None else None
        if found is not None and found.bone.shape == tuple(job.stack.sizes[found.z_index]):
            maps.append(found)
    return maps


def _place(study: Study, i: int, job: MaskJob) -> int | None:
    """Which of all slices is slice ``i`` of a part of the study: by its number, else by its position."""
    number = study.slice_numbers[i]
    same = np.flatnonzero(job.slice_numbers == number) if number >= 0 else np.empty(0, int)
    if not len(same):
        same = np.flatnonzero(np.abs(job.stack.positions - study.positions[i]) < SAME_MM)
    return int(same[0]) if len(same) == 1 else None

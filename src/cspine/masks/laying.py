"""A mask laid over the slices of its study, freed of strays: the labels of every slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cspine.masks.bone import BoneMap
from cspine.masks.nifti import StoredMask
from cspine.masks.orientation import RULE
from cspine.masks.readings import Reading, Readings, choose
from cspine.masks.stack import Labels, Stack
from cspine.masks.strays import without_strays
from cspine.studies import VERTEBRAE

UNKNOWN = 255  #: label of the pixels of a slice that no plane of the mask shows
LEVELS = (*VERTEBRAE, *(f"T{n}" for n in range(1, 13)))  #: of the labels 1, 2, ...


@dataclass(frozen=True)
class StudyMask:
    """A study's vertebra labels, aligned with its slices as ``dicom.read_study`` turns and sorts them.

    Attributes:
        stack: the slices.
        count: planes in the mask.
        reading: how it is laid over them, strays taken away; None where no way is right.
        bone_share: of the labelled voxels looked at, those on bone; NaN where nothing could be compared.
        strays: voxels taken away.
        remarks: (reason code of a finding, detail).
    """

    stack: Stack
    count: int
    reading: Reading | None
    bone_share: float = float("nan")
    strays: int = 0
    remarks: list[tuple[str, str]] = field(default_factory=list)

    @property
    def orientation(self) -> str:
        """What the mask is turned by: header, rule or bone; "" where no way is right."""
        return self.reading.name if self.reading else ""

    @property
    def known(self) -> NDArray[np.bool_]:
        """(slices,) whether a plane shows the slice."""
        if self.reading is None:
            return np.zeros(len(self.stack.positions), np.bool_)
        return self.reading.plane_of >= 0

    def labels_of(self, z: int) -> Labels:
        """uint8 (rows, columns) of slice ``z``; UNKNOWN where no plane shows it."""
        if self.reading is None or not self.known[z]:
            return np.full(self.stack.sizes[z], UNKNOWN, np.uint8)
        return self.reading.labels_at(z, self.stack)

    def volume(self) -> Labels:
        """uint8 (slices, rows, columns) of a study whose slices have one size; UNKNOWN in slices without a plane."""
        return np.stack([self.labels_of(z) for z in range(len(self.stack.positions))])

    def present(self) -> NDArray[np.int8]:
        """(slices, 7): C1..C7 has at least one voxel in the slice (S1b); -1 in slices without a plane."""
        if self.reading is None:
            return np.full((len(self.stack.positions), len(VERTEBRAE)), -1, np.int8)
        of_slices = self._shown[self.reading.plane_of][:, : len(VERTEBRAE)]
        return np.where(self.known[:, None], of_slices.astype(np.int8), np.int8(-1))

    def levels(self) -> list[str]:
        """Those it has a voxel of."""
        return [name for name, there in zip(LEVELS, np.asarray(self._shown.any(axis=0)), strict=True) if there]

    @cached_property
    def _shown(self) -> NDArray[np.bool_]:
        """(planes, 19): the level has a voxel in the plane."""
        planes = self.reading.planes if self.reading else np.empty((0, 0, 0), np.uint8)
        at = np.flatnonzero(planes)
        shown = np.zeros((len(planes), len(LEVELS)), np.bool_)
        shown[at // max(1, planes[:1].size), planes.ravel()[at] - 1] = True
        return shown


def lay_over(stored: StoredMask, stack: Stack, maps: Sequence[BoneMap]) -> StudyMask:
    """Lay a mask over its study's slices.

    The header is believed where it agrees with the study and the mask then lies on bone, otherwise the rule where the
    mask then does, otherwise any other way of turning in which it does. Where there is none, no slice has labels: to
    be taught wrong vertebrae costs more than one of the segmented studies.

    Args:
        stored: the mask.
        stack: all slices of the study; one at least.
        maps: where bone is in some of them; with none, header or rule are believed unproved.
    """
    readings = Readings(stored, stack)
    count, *size = (readings.header or RULE).turn(stored.labels).shape
    if not stored.labels.any():
        return StudyMask(stack, count, None, remarks=[("mask-empty", "no voxel has a label")])
    choice = choose(readings, maps)
    if choice.reading is None:
        detail = f"{count} planes of {size[0]} x {size[1]}, {_of(stack)}; {readings.objection or 'no usable header'}"
        remarks = choice.remarks or [("mask-without-place", detail)]
        return StudyMask(stack, count, None, choice.fit.share, remarks=remarks)
    clean, strays = without_strays(np.ascontiguousarray(choice.reading.planes))
    remarks = [*choice.remarks, *_about_place(choice.reading, stack)]
    if strays:
        remarks.append(("mask-stray-labels", f"{strays} voxels in regions too small or out of order"))
    reading = replace(choice.reading, planes=clean)
    return StudyMask(stack, len(clean), reading, choice.fit.share, strays, remarks)


def _about_place(reading: Reading, stack: Stack) -> list[tuple[str, str]]:
    """Where planes and slices are not the same."""
    count, *size = reading.planes.shape
    remarks = []
    if count != len(stack.positions):
        matched = int((reading.plane_of >= 0).sum())
        detail = f"{count} planes, {len(stack.positions)} slices; {matched} slices matched"
        remarks.append(("mask-other-slice-count", detail))
    if tuple(size) != stack.size:
        remarks.append(("mask-other-size", f"planes of {size[0]} x {size[1]}, {_of(stack)}"))
    return remarks


def _of(stack: Stack) -> str:
    return "{} slices of {} x {}".format(len(stack.positions), *stack.size)

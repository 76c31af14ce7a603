"""The slices of one stack in their order from head to feet, and where they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine.dicom.geometry import SAME_POSITION_MM, UPRIGHT, runs_one_way, spread, uneven_gaps
from cspine.dicom.notes import Notes
from cspine.dicom.series import SliceFile, commonest

NOMINAL_STEP_MM = 1.0  # ASSUME: between slices of unknown position and thickness


def in_order(slices: list[SliceFile], notes: Notes) -> tuple[list[SliceFile], NDArray[np.float32]]:
    """The slices from cranial to caudal without duplicates, and their positions (mm, falling)."""
    placed = _positions(slices, notes)
    if placed is None:
        return _numbered(slices, notes)
    slices, positions = placed
    usual = commonest(s.upright_shape for s in slices)
    kept: list[int] = []
    for i in np.argsort(-positions, kind="stable").tolist():
        if not kept or positions[kept[-1]] - positions[i] >= SAME_POSITION_MM:
            kept.append(i)
            continue
        last, other = kept[-1], i
        if slices[i].upright_shape == usual != slices[last].upright_shape:  # of two reconstructions the usual one
            kept[-1], other = i, last
        s = slices[other]
        detail = f"at {positions[other]:.2f} mm like {slices[kept[-1]].file}"
        notes.leave_out("duplicate-position", s.file, detail, s.frame)
    gaps = uneven_gaps(positions[kept])
    if gaps:
        notes.keep("uneven-spacing", "", f"{len(gaps)} wide gaps, first after z_index {gaps[0]}")
    return [slices[i] for i in kept], positions[kept].astype(np.float32)


def slice_numbers(slices: Sequence[SliceFile], notes: Notes) -> NDArray[np.int32]:
    """The number by which boxes and people call each slice; -1 where it has none or an earlier slice has it.

    It is the number in the file's name. In a study that is a single file of several frames it is the number of the
    frame, from 1 (ASSUME: nothing else there could be meant); frames among other files have none.
    """
    if slices[0].frame and len({s.file for s in slices}) == 1:
        return np.array([s.frame for s in slices], np.int32)
    seen: set[int] = set()
    numbers = np.full(len(slices), -1, np.int32)
    for i, s in enumerate(slices):
        if s.frame:
            notes.keep("frame-without-number", s.file, "frames of several files, or among other files", s.frame)
        elif s.number in seen:
            notes.keep("repeated-file-number", s.file, f"number {s.number} again")
        elif s.number >= 0:
            numbers[i] = s.number
            seen.add(s.number)
    return numbers


def _positions(slices: list[SliceFile], notes: Notes) -> tuple[list[SliceFile], NDArray[np.float64]] | None:
    """The slices that can be placed, and the position of each along the common normal, rising to the head.

    None if the headers do not tell. A few slices without a position are placed by their numbers, if those run along the
    positions of the others, or left out: they are not worth the geometry of all.
    """
    normal = np.array(next((s.plane for s in slices if s.plane is not None), UPRIGHT).normal)
    positions = np.array([float(s.origin @ normal) if s.origin is not None else np.nan for s in slices])
    known = np.isfinite(positions)
    if known.sum() > 1 and np.ptp(positions[known]) < SAME_POSITION_MM:
        notes.keep("positions-all-equal", "", f"{known.sum()} slices at {positions[known][0]:.2f} mm")
        return None
    if known.all():
        return slices, positions
    numbers = _distinct_numbers(slices)
    if numbers is not None and known.sum() > 1 and runs_one_way(numbers[known], positions[known]):
        for i in np.flatnonzero(~known):
            notes.keep("no-position", slices[i].file, "no usable ImagePositionPatient", slices[i].frame)
        return slices, spread(numbers, positions)
    if 2 * known.sum() <= len(slices):
        return None
    for i in np.flatnonzero(~known):
        notes.leave_out("no-place", slices[i].file, "no usable ImagePositionPatient or number", slices[i].frame)
    return [s for s, is_known in zip(slices, known, strict=True) if is_known], positions[known]


def _distinct_numbers(slices: list[SliceFile]) -> NDArray[Any] | None:
    """InstanceNumbers, else file numbers; None if some slice has none or two have the same."""
    for numbers in ([s.instance for s in slices], [s.number if s.number >= 0 else None for s in slices]):
        if None not in numbers and len(set(numbers)) == len(numbers):
            return np.array(numbers, dtype=np.int64)
    return None


def _numbered(slices: list[SliceFile], notes: Notes) -> tuple[list[SliceFile], NDArray[np.float32]]:
    """Order without positions. ASSUME: numbers rise from head to feet, as they do in most studies."""
    slices = _without_copies(slices, notes)
    instances = [s.instance for s in slices]
    if None not in instances and len(set(instances)) == len(instances):
        slices = sorted(slices, key=lambda s: s.instance or 0)
        notes.keep("ordered-by-instance-number", "", f"{len(slices)} slices without usable positions")
    else:
        notes.keep("ordered-by-file-name", "", f"{len(slices)} slices without usable positions or InstanceNumber")
    step = next((s.thickness for s in slices if s.thickness), NOMINAL_STEP_MM)
    return slices, step * np.arange(len(slices), dtype=np.float32)[::-1]


def _without_copies(slices: list[SliceFile], notes: Notes) -> list[SliceFile]:
    """Without second files of the same InstanceNumber and pixels; those with positions are told apart by these."""
    first: dict[Hashable, SliceFile] = {}
    for s in slices:
        pixels = hashlib.sha256(s.stored.patterns.tobytes()).digest()
        same = (s.file, s.frame) if s.frame or s.instance is None else (s.instance, pixels)
        if first.setdefault(same, s) is not s:
            notes.leave_out("duplicate-file", s.file, f"InstanceNumber and pixels of {first[same].file}")
    return list(first.values())

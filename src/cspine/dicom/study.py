"""A study's folder of files -> its slices in Hounsfield units, upright and from cranial to caudal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine.dicom.geometry import UPRIGHT, runs_feet_to_head, turn_upright
from cspine.dicom.headers import LeftOutError
from cspine.dicom.hounsfield import to_hounsfield
from cspine.dicom.parsing import silence
from cspine.dicom.series import Notes, SliceFile, file_numbers, fill_rescale, fill_spacing, in_order, one_stack
from cspine.dicom.slice_files import read_slice
from cspine.errors import CspineError
from cspine.findings import Finding
from cspine.raw_folder import numeric_aware


@dataclass(frozen=True)
class Study:
    """One study as read: n slices of one size, z = 0 the most cranial. n = 0 when nothing was readable."""

    StudyInstanceUID: str
    hounsfield: list[NDArray[Any]]  # n images (rows, columns), int16 where exact, else float32
    positions: NDArray[np.float32]  # (n,) mm along the slice normal, falling
    spacing: NDArray[np.float32]  # (n, 2) mm, of rows and of columns
    slice_numbers: NDArray[np.int32]  # (n,) the number in the file's name, -1 if none
    files: list[str]  # n names below the study's folder
    thickness: float  # median distance of slices, mm; NaN when unknown
    reversed: bool  # file numbers run feet to head
    reason: str = ""  # why there is no slice; "" when there is one
    findings: list[Finding] = field(default_factory=list)


def read_study(folder: Path, files: Sequence[str] | None = None) -> Study:
    """Read the slices of the study in ``folder`` (or of its named ``files``, which may lie in subfolders).

    Hounsfield = stored * slope + intercept of each slice's own header. Never raises for bad input.
    """
    if files is None:
        files = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    notes = Notes(folder.name)
    slices = []
    with silence():
        for file in sorted(files, key=numeric_aware):
            try:
                slices.append(read_slice(folder / file, file))
            except LeftOutError as reason:
                notes.leave_out(reason.code, file, reason.detail)
            except (MemoryError, CspineError):
                raise
            except Exception as error:  # our fault: costs one slice and is named, does not end the run
                notes.leave_out("reader-failed", file, type(error).__name__)
    return _assemble(folder.name, slices, notes)


def _assemble(uid: str, slices: list[SliceFile], notes: Notes) -> Study:
    slices = one_stack(slices, notes)
    if not slices:
        return _empty(uid, notes)
    slices, positions = in_order(slices, notes)
    for s in slices:
        for code, detail in s.remarks:
            notes.keep(code, s.file, detail)
    fill_rescale(slices, notes)
    gaps = np.abs(np.diff(positions.astype(float)))
    numbers = file_numbers(slices, notes)
    return Study(
        StudyInstanceUID=uid,
        hounsfield=[_upright_hounsfield(s) for s in slices],
        positions=positions,
        spacing=fill_spacing(slices, notes),
        slice_numbers=numbers,
        files=[s.file for s in slices],
        thickness=float(np.median(gaps)) if len(gaps) else float(slices[0].thickness or "nan"),
        reversed=runs_feet_to_head(numbers),
        findings=notes.findings(),
    )


def _empty(uid: str, notes: Notes) -> Study:
    codes = ", ".join(sorted({f.code for f in notes.left_out})) or "none there"
    notes.keep("no-readable-slice", "", f"{len(notes.left_out)} files: {codes}")
    none = np.empty(0, np.float32)
    return Study(
        StudyInstanceUID=uid,
        hounsfield=[],
        positions=none,
        spacing=none.reshape(0, 2),
        slice_numbers=np.empty(0, np.int32),
        files=[],
        thickness=float("nan"),
        reversed=False,
        reason="no-readable-slice",
        findings=notes.findings(),
    )


def _upright_hounsfield(s: SliceFile) -> NDArray[Any]:
    assert s.rescale is not None, "fill_rescale comes first"
    hounsfield = to_hounsfield(s.stored, *s.rescale, s.padded)
    s.stored = np.empty((0, 0), np.int16)  # a study is held once, not twice
    return turn_upright(hounsfield, s.plane or UPRIGHT)

"""A study's folder of files -> its slices in Hounsfield units, upright and from cranial to caudal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from cspine.dicom.geometry import UPRIGHT, runs_feet_to_head, turn_upright, upright_origin
from cspine.dicom.notes import Notes
from cspine.dicom.order import in_order, slice_numbers
from cspine.dicom.parsing import silence
from cspine.dicom.series import SliceFile, fill_rescale, fill_spacing, one_stack, tell_sizes
from cspine.dicom.slice_files import read_slices
from cspine.dicom.stored import Levels, Rescale
from cspine.errors import CspineError
from cspine.findings import Finding
from cspine.raw_folder import numeric_aware


@dataclass(frozen=True)
class Study:
    """One study as read: n slices, z = 0 the most cranial, all upright. n = 0 when nothing was readable.

    Coordinates are the patient's, in mm: +x to the left, +y to the back, +z to the head. Pixel (row, column) of slice z
    lies at ``origins[z] + row * spacing[z, 0] * orientation[3:] + column * spacing[z, 1] * orientation[:3]``.
    Slices are mostly, not always, of one size.
    """

    StudyInstanceUID: str
    hounsfield: UprightImages  # n images (rows, columns), int16 where exact, else float32; each made when asked for
    positions: NDArray[np.float32]  # (n,) mm along the slice normal, falling
    spacing: NDArray[np.float32]  # (n, 2) mm, of rows and of columns
    orientation: NDArray[np.float64]  # (6,) unit vectors along the rows (leftwards), then down the columns (backwards)
    origins: NDArray[np.float64]  # (n, 3) mm, centre of pixel [0, 0]; NaN where the header does not tell
    slice_numbers: NDArray[np.int32]  # (n,) the number in the file's name (``order.slice_numbers``), -1 if none
    files: list[str]  # n names below the study's folder; a file of several frames is named once per frame
    frames: NDArray[np.int32]  # (n,) number of the frame in its file, from 1
    thickness: float  # median distance of slices, mm; NaN when unknown
    reversed: bool  # file numbers run feet to head
    reason: str = ""  # why there is no slice; "" when there is one
    findings: list[Finding] = field(default_factory=list)

    def volume(self) -> NDArray[Any]:
        """The Hounsfield values as one array (slices, rows, columns): int16 where all are exact in it, else float32.

        Raises:
            CspineError: the slices differ in size (finding `sizes-vary`), or there is none.
        """
        sizes = sorted({image.shape for image in self.hounsfield})
        if len(sizes) != 1:
            found = ", ".join(f"{rows} x {columns}" for rows, columns in sizes) or "none"
            raise CspineError(
                f"study {self.StudyInstanceUID}: slices of one size are needed for a volume, found {found};"
                " take the images of `hounsfield` one by one and resize them by their spacing"
            )
        return np.stack(list(self.hounsfield))

    def grey_levels(self, z: int, levels: Levels) -> NDArray[np.uint8]:
        """``levels(self.hounsfield[z])``, (rows, columns), without the Hounsfield image: a third of the time."""
        return self.hounsfield.grey_levels(z, levels)


class UprightImages(Sequence[NDArray[Any]]):
    """The slices' images in Hounsfield units, upright. Held as stored, each is computed when it is asked for."""

    def __init__(self, slices: Sequence[SliceFile]) -> None:
        self._slices = slices

    def __len__(self) -> int:
        return len(self._slices)

    @overload
    def __getitem__(self, z: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, z: slice) -> list[NDArray[Any]]: ...
    def __getitem__(self, z: int | slice) -> NDArray[Any] | list[NDArray[Any]]:
        if isinstance(z, slice):
            return [self[i] for i in range(*z.indices(len(self)))]
        s = self._slices[z]
        return turn_upright(s.stored.hounsfield(_rescale(s)), s.plane or UPRIGHT)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Rows and columns of each, without making them."""
        return [s.upright_shape for s in self._slices]

    def grey_levels(self, z: int, levels: Levels) -> NDArray[np.uint8]:
        """Equal to ``levels(self[z])``, by a table."""
        s = self._slices[z]
        return turn_upright(s.stored.grey_levels(_rescale(s), levels), s.plane or UPRIGHT)


def read_study(folder: Path, files: Sequence[str] | None = None) -> Study:
    """Read the slices of the study in ``folder`` (or of its named ``files``, which may lie in subfolders).

    Hounsfield = stored * slope + intercept of each slice's own header. Never raises for bad input.
    """
    if files is None:
        files = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    notes = Notes(folder.name)
    slices: list[SliceFile] = []
    with silence():
        for file in sorted(files, key=numeric_aware):
            try:
                slices += read_slices(folder / file, file, notes)
            except (MemoryError, CspineError):
                raise
            except Exception as error:  # our fault: costs one file and is named, does not end the run
                notes.leave_out("reader-failed", file, type(error).__name__)
    return _assemble(folder.name, slices, notes)


def _assemble(uid: str, slices: list[SliceFile], notes: Notes) -> Study:
    slices = one_stack(slices, notes)
    if not slices:
        return _empty(uid, notes)
    slices, positions = in_order(slices, notes)
    for s in slices:
        for code, detail in s.remarks:
            notes.keep(code, s.file, detail, s.frame)
    fill_rescale(slices, notes)
    tell_sizes(slices, notes)
    spacing = fill_spacing(slices, notes)
    gaps = np.abs(np.diff(positions.astype(float)))
    numbers = slice_numbers(slices, notes)
    plane = next((s.plane for s in slices if s.plane is not None), UPRIGHT)
    return Study(
        StudyInstanceUID=uid,
        hounsfield=UprightImages(slices),
        positions=positions,
        spacing=spacing,
        orientation=np.array(plane.along_row + plane.down_column),
        origins=np.array([_origin(s, pair) for s, pair in zip(slices, spacing, strict=True)]),
        slice_numbers=numbers,
        files=[s.file for s in slices],
        frames=np.array([s.frame or 1 for s in slices], np.int32),
        thickness=float(np.median(gaps)) if len(gaps) else float(slices[0].thickness or "nan"),
        reversed=runs_feet_to_head(numbers),
        findings=notes.findings(),
    )


def _empty(uid: str, notes: Notes) -> Study:
    files, codes = notes.left_out()
    notes.keep("no-readable-slice", "", f"{files} files: {', '.join(codes) or 'none there'}")
    none = np.empty(0, np.float32)
    return Study(
        StudyInstanceUID=uid,
        hounsfield=UprightImages([]),
        positions=none,
        spacing=none.reshape(0, 2),
        orientation=np.array(UPRIGHT.along_row + UPRIGHT.down_column),
        origins=np.empty((0, 3)),
        slice_numbers=np.empty(0, np.int32),
        files=[],
        frames=np.empty(0, np.int32),
        thickness=float("nan"),
        reversed=False,
        reason="no-readable-slice",
        findings=notes.findings(),
    )


def _origin(s: SliceFile, spacing: NDArray[np.float32]) -> NDArray[np.float64]:
    if s.origin is None:
        return np.full(3, np.nan)
    return upright_origin(s.origin, s.plane or UPRIGHT, s.upright_shape, spacing.astype(float).tolist())


def _rescale(s: SliceFile) -> Rescale:
    assert s.rescale is not None, "fill_rescale comes first"
    return s.rescale

"""The slices of one study folder: which belong to the stack, and what they take from each other.

Nothing here reads a file; ``slice_files`` does. Whatever is left out or assumed is noted with a reason code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine.dicom.geometry import UPRIGHT, Plane, largest_stack
from cspine.dicom.notes import Notes
from cspine.dicom.stored import Rescale, StoredPixels

NOMINAL_SPACING_MM = 0.5  # ASSUME: of pixels whose spacing no slice of the study tells


@dataclass
class SliceFile:
    """One slice: pixels as stored, and what the header of its file says about them. None = it does not say."""

    file: str
    stored: StoredPixels
    frame: int = 0  # in a file of several frames, from 1
    number: int = -1  # in the file's name
    series: str = ""
    frame_of_reference: str = ""
    instance: int | None = None  # InstanceNumber, or the frame's
    origin: NDArray[np.float64] | None = None  # (3,) mm
    plane: Plane | None = None
    spacing: tuple[float, float] | None = None  # row, column of the stored image, mm
    thickness: float | None = None  # mm
    rescale: Rescale | None = None  # slope, intercept
    remarks: list[tuple[str, str]] = field(default_factory=list)  # (code of KEPT, detail)

    @property
    def upright_shape(self) -> tuple[int, int]:
        """Rows and columns of the image when it is turned upright."""
        rows, columns = self.stored.shape
        return (columns, rows) if self.plane is not None and self.plane.transposed else (rows, columns)


def one_stack(slices: list[SliceFile], notes: Notes) -> list[SliceFile]:
    """The largest set of parallel slices of one series; the others are noted and left out."""
    if not slices:
        return []
    slices = _of_one_series(slices, notes)
    for s in slices:
        if s.plane is None:
            notes.keep("no-orientation", s.file, "no usable ImageOrientationPatient", s.frame)
    return _sizes(_parallel(slices, notes), notes)


def fill_rescale(slices: Iterable[SliceFile], notes: Notes) -> None:
    """Give every slice without a rescale the study's most frequent one."""
    known = Counter(s.rescale for s in slices if s.rescale is not None)
    for s in slices:
        if s.rescale is None:
            # ASSUME: unsigned CT data without any rescale are shifted by 1024, as the scanners do
            s.rescale = known.most_common(1)[0][0] if known else (1.0, 0.0 if s.stored.signed else -1024.0)
            notes.keep("no-rescale", s.file, f"slope {s.rescale[0]:g}, intercept {s.rescale[1]:g} used", s.frame)


def fill_spacing(slices: Sequence[SliceFile], notes: Notes) -> NDArray[np.float32]:
    """Spacing of each upright image, (slices, 2) row and column in mm."""
    known = Counter(s.spacing for s in slices if s.spacing is not None)
    usual = known.most_common(1)[0][0] if known else (NOMINAL_SPACING_MM, NOMINAL_SPACING_MM)
    if len(known) > 1:
        notes.keep("spacing-varies", "", f"{len(known)} pixel spacings, mostly {usual[0]:g} x {usual[1]:g} mm")
    spacing = np.empty((len(slices), 2), np.float32)
    for i, s in enumerate(slices):
        if s.spacing is None:
            notes.keep("no-spacing", s.file, f"no PixelSpacing, {usual[0]:g} x {usual[1]:g} mm used", s.frame)
        pair = s.spacing or usual
        spacing[i] = pair[::-1] if s.plane and s.plane.transposed else pair
    return spacing


def tell_sizes(slices: Sequence[SliceFile], notes: Notes) -> None:
    """Note it if the slices differ in size."""
    sizes = Counter(s.upright_shape for s in slices)
    if len(sizes) > 1:
        notes.keep("sizes-vary", "", ", ".join(f"{n} of {r} x {c}" for (r, c), n in sizes.most_common()) + " pixels")


def commonest(kinds: Iterable[Any]) -> Any:
    """The kind that occurs most often."""
    return Counter(kinds).most_common(1)[0][0]  # of equals, the one that comes first


def _of_one_series(slices: list[SliceFile], notes: Notes) -> list[SliceFile]:
    """The slices of the largest series in its largest frame of reference; a slice that does not say belongs to it."""
    series = [s.series for s in slices if s.series]
    usual = commonest(series) if series else ""
    places: dict[str, list[str]] = {}
    for s in slices:
        if s.frame_of_reference:
            places.setdefault(s.series or usual, []).append(s.frame_of_reference)
    kinds = []
    for s in slices:
        own = s.series or usual
        kinds.append((own, s.frame_of_reference or (commonest(places[own]) if own in places else "")))
    most = commonest(kinds)
    if len(kinds) > 1 and len(set(kinds)) == len(kinds):
        notes.keep("series-uid-per-file", "", f"{len(kinds)} slices, each of a series or frame of reference of its own")
        return slices
    kept = []
    for s, kind in zip(slices, kinds, strict=True):
        if kind == most:
            kept.append(s)
            continue
        what = "frame of reference" if kind[0] == most[0] else "series"
        notes.leave_out("other-series", s.file, f"of a smaller {what}", s.frame)
    return kept


def _parallel(slices: list[SliceFile], notes: Notes) -> list[SliceFile]:
    most, fitting = largest_stack(Counter(s.plane or UPRIGHT for s in slices))
    if most.tilt > 1:
        notes.keep("gantry-tilt", "", f"{most.tilt:.1f} degrees")
    kept = []
    for s in slices:
        if s.plane is not None and s.plane not in fitting:
            notes.leave_out("other-orientation", s.file, "not parallel to the other slices", s.frame)
            continue
        if s.plane is not None and not s.plane.upright:
            notes.keep("turned-upright", s.file, "image not stored upright", s.frame)
        kept.append(s)
    return kept


def _sizes(slices: list[SliceFile], notes: Notes) -> list[SliceFile]:
    """All slices, whatever their size, but those of an unusual one that do not say where they lie.

    Part of a study reconstructed in a larger matrix is still the neck: to keep the commonest size alone would throw
    half of it away. Every slice carries its own rows, columns and spacing, and the cached view is one square for all.
    """
    sizes = Counter(s.upright_shape for s in slices)
    if len(sizes) == 1:
        return slices
    usual = sizes.most_common(1)[0][0]
    kept = []
    for s in slices:
        if s.upright_shape != usual and (s.origin is None or s.plane is None):
            detail = "{} x {} pixels, and no position or orientation".format(*s.upright_shape)
            notes.leave_out("other-size", s.file, detail, s.frame)
        else:
            kept.append(s)
    return kept

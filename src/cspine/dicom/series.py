"""The slices of one study folder: which belong to the stack, in which order, and where they lie.

Nothing here reads a file; ``slice_files`` does. Whatever is left out or assumed is noted with a reason code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine.dicom.geometry import SAME_POSITION_MM, UPRIGHT, Plane, same_plane, spread, uneven_gaps
from cspine.findings import Finding

NOMINAL_STEP_MM = 1.0  # ASSUME: between slices of unknown position and thickness
NOMINAL_SPACING_MM = 0.5  # ASSUME: of pixels whose spacing no slice of the study tells

#: what is done about a slice that cannot be used; one finding per file
LEFT_OUT = dict.fromkeys(
    (
        *(
            "file-missing",
            "zero-byte-file",
            "file-unreadable",
            "not-dicom",
            "header-unreadable",
            "reader-failed",
        ),
        *("no-pixel-data", "truncated", "corrupt-frame", "unsupported-syntax", "unsupported-bits"),
        *("implausible-size", "not-ct", "not-greyscale", "multi-frame", "localizer", "not-axial"),
        *("other-series", "other-orientation", "other-size", "duplicate-position"),
    ),
    "slice left out",
)
#: what is done about a slice (or study) that is used all the same; one finding per study and code
KEPT = {
    "no-preamble": "read without the preamble",
    "decimal-comma": "comma read as decimal point",
    "lossy": "used as it is; Hounsfield values are approximate",
    "decoded-again": "decoded by the strict decoder",
    "monochrome1": "Hounsfield values from the rescale, not inverted",
    "padding": "those pixels set to -1024 HU",
    "padding-ignored": "its value lies among tissue values; pixels kept",
    "high-bits": "bits above BitsStored masked away",
    "signedness": "sign taken from the compressed data",
    "no-rescale": "rescale taken from the study's other slices, else -1024 for unsigned and 0 for signed data",
    "no-spacing": "spacing taken from the study's other slices, else 0.5 mm",
    "spacing-varies": "kept; each slice carries its own spacing",
    "no-orientation": "taken for upright and axial",
    "turned-upright": "image turned: patient left on the right, anterior up; boxes mean the stored image",
    "gantry-tilt": "slices kept as they are, not resampled",
    "uneven-spacing": "kept; the positions tell",
    "no-position": "position estimated from the numbers of its neighbours",
    "positions-all-equal": "positions not used",
    "ordered-by-instance-number": "order from InstanceNumber; positions are nominal",
    "ordered-by-file-name": "order from the numbers in the file names; positions are nominal",
    "series-uid-per-file": "SeriesInstanceUID not used",
    "repeated-file-number": "slice_number -1 for the later files",
    "no-readable-slice": "study has no slices; predicted from the prior",
}


@dataclass
class SliceFile:
    """One readable file: pixels as stored, and what its header says about them. None = the header does not say."""

    file: str
    stored: NDArray[Any]  # (rows, columns) int16 or uint16
    padded: NDArray[np.bool_] | None = None
    number: int = -1  # in the file's name
    series: Hashable = ""
    instance: int | None = None
    origin: NDArray[np.float64] | None = None  # (3,) mm
    plane: Plane | None = None
    spacing: tuple[float, float] | None = None  # row, column of the stored image, mm
    thickness: float | None = None  # mm
    rescale: tuple[float, float] | None = None  # slope, intercept
    remarks: list[tuple[str, str]] = field(default_factory=list)  # (code of KEPT, detail)


@dataclass
class Notes:
    """Findings of one study under way. Notes on slices that are kept are gathered: one finding per code."""

    uid: str
    left_out: list[Finding] = field(default_factory=list)
    kept: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def leave_out(self, code: str, file: str, detail: str) -> None:
        """Note a file that gives no slice."""
        self.left_out.append(Finding(self.uid, code, file, detail, LEFT_OUT[code]))

    def keep(self, code: str, file: str, detail: str) -> None:
        """Note something about a slice (or, with file "", the study) that is used all the same."""
        self.kept.setdefault(code, []).append((file, detail))

    def findings(self) -> list[Finding]:
        """All findings, the gathered ones last."""
        gathered = []
        for code, places in self.kept.items():
            file, detail = places[0]
            if len(places) > 1:
                file, detail = "", f"{len(places)} slices, first {file}: {detail}"
            gathered.append(Finding(self.uid, code, file, detail, KEPT[code]))
        return self.left_out + gathered


def one_stack(slices: list[SliceFile], notes: Notes) -> list[SliceFile]:
    """The largest set of parallel slices of one series and one size; the others are noted and left out."""
    if not slices:
        return []
    series = Counter(s.series for s in slices)
    if len(series) > 1 and max(series.values()) == 1:
        notes.keep("series-uid-per-file", "", f"{len(series)} files, each with its own SeriesInstanceUID")
    else:
        slices = _majority(slices, lambda s: s.series, "other-series", notes, lambda s: "of a smaller series")
    for s in slices:
        if s.plane is None:
            notes.keep("no-orientation", s.file, "no usable ImageOrientationPatient")
    slices = _parallel(slices, notes)
    return _majority(slices, _upright_shape, "other-size", notes, lambda s: "{} x {} pixels".format(*_upright_shape(s)))


def in_order(slices: list[SliceFile], notes: Notes) -> tuple[list[SliceFile], NDArray[np.float32]]:
    """The slices from cranial to caudal without duplicates, and their positions (mm, falling)."""
    positions = _positions(slices, notes)
    if positions is None:
        return _numbered(slices, notes)
    order = np.argsort(-positions, kind="stable")
    kept: list[int] = []
    for i in order:
        if kept and positions[kept[-1]] - positions[i] < SAME_POSITION_MM:
            detail = f"at {positions[i]:.2f} mm like {slices[kept[-1]].file}"
            notes.leave_out("duplicate-position", slices[i].file, detail)
        else:
            kept.append(int(i))
    gaps = uneven_gaps(positions[kept])
    if gaps:
        notes.keep("uneven-spacing", "", f"{len(gaps)} wide gaps, first after z_index {gaps[0]}")
    return [slices[i] for i in kept], positions[kept].astype(np.float32)


def fill_rescale(slices: Iterable[SliceFile], notes: Notes) -> None:
    """Give every slice without a rescale the study's most frequent one."""
    known = Counter(s.rescale for s in slices if s.rescale is not None)
    for s in slices:
        if s.rescale is None:
            # ASSUME: unsigned CT data without any rescale are shifted by 1024, as the scanners do
            unsigned = s.stored.dtype.kind == "u"
            s.rescale = known.most_common(1)[0][0] if known else (1.0, -1024.0 if unsigned else 0.0)
            notes.keep("no-rescale", s.file, f"slope {s.rescale[0]:g}, intercept {s.rescale[1]:g} used")


def fill_spacing(slices: Sequence[SliceFile], notes: Notes) -> NDArray[np.float32]:
    """Spacing of each upright image, (slices, 2) row and column in mm."""
    known = Counter(s.spacing for s in slices if s.spacing is not None)
    usual = known.most_common(1)[0][0] if known else (NOMINAL_SPACING_MM, NOMINAL_SPACING_MM)
    if len(known) > 1:
        notes.keep("spacing-varies", "", f"{len(known)} pixel spacings, mostly {usual[0]:g} x {usual[1]:g} mm")
    spacing = np.empty((len(slices), 2), np.float32)
    for i, s in enumerate(slices):
        if s.spacing is None:
            notes.keep("no-spacing", s.file, f"no PixelSpacing, {usual[0]:g} x {usual[1]:g} mm used")
        pair = s.spacing or usual
        spacing[i] = pair[::-1] if s.plane and s.plane.transposed else pair
    return spacing


def file_numbers(slices: Sequence[SliceFile], notes: Notes) -> NDArray[np.int32]:
    """The number in each file's name; -1 where there is none or an earlier slice has it."""
    seen: set[int] = set()
    numbers = np.full(len(slices), -1, np.int32)
    for i, s in enumerate(slices):
        if s.number in seen:
            notes.keep("repeated-file-number", s.file, f"number {s.number} again")
        elif s.number >= 0:
            numbers[i] = s.number
            seen.add(s.number)
    return numbers


def _majority(
    slices: list[SliceFile],
    kind: Callable[[SliceFile], Hashable],
    code: str,
    notes: Notes,
    say: Callable[[SliceFile], str],
) -> list[SliceFile]:
    most = Counter(map(kind, slices)).most_common(1)[0][0]  # of equals, the one that comes first
    for s in slices:
        if kind(s) != most:
            notes.leave_out(code, s.file, say(s))
    return [s for s in slices if kind(s) == most]


def _upright_shape(s: SliceFile) -> tuple[int, int]:
    rows, columns = s.stored.shape
    return (columns, rows) if s.plane is not None and s.plane.transposed else (rows, columns)


def _parallel(slices: list[SliceFile], notes: Notes) -> list[SliceFile]:
    planes = Counter(s.plane or UPRIGHT for s in slices)
    most = max(planes, key=lambda p: sum(n for q, n in planes.items() if same_plane(p, q)))
    if most.tilt > 1:
        notes.keep("gantry-tilt", "", f"{most.tilt:.1f} degrees")
    kept = []
    for s in slices:
        plane = s.plane or UPRIGHT
        if s.plane is not None and not same_plane(plane, most):
            notes.leave_out("other-orientation", s.file, "not parallel to the other slices")
            continue
        if not plane.upright:
            notes.keep("turned-upright", s.file, "image not stored upright")
        kept.append(s)
    return kept


def _positions(slices: list[SliceFile], notes: Notes) -> NDArray[np.float64] | None:
    """Position of each slice along the common normal, rising to the head; None if the headers do not tell."""
    normal = np.array(next((s.plane for s in slices if s.plane is not None), UPRIGHT).normal)
    along = [float(s.origin @ normal) if s.origin is not None else np.nan for s in slices]
    positions = np.array(along)
    missing = np.isnan(positions)
    if (~missing).sum() > 1 and np.nanmax(positions) - np.nanmin(positions) < SAME_POSITION_MM:
        notes.keep("positions-all-equal", "", f"{(~missing).sum()} slices at {np.nanmax(positions):.2f} mm")
        return None
    if not missing.any():
        return positions
    numbers = _distinct_numbers(slices)
    if (~missing).sum() < 2 or numbers is None:
        return None
    for i in np.flatnonzero(missing):
        notes.keep("no-position", slices[i].file, "no usable ImagePositionPatient")
    return spread(numbers, positions)


def _distinct_numbers(slices: list[SliceFile]) -> NDArray[Any] | None:
    """InstanceNumbers, else file numbers; None if some slice has none or two have the same."""
    for numbers in ([s.instance for s in slices], [s.number if s.number >= 0 else None for s in slices]):
        if None not in numbers and len(set(numbers)) == len(numbers):
            return np.array(numbers, dtype=np.int64)
    return None


def _numbered(slices: list[SliceFile], notes: Notes) -> tuple[list[SliceFile], NDArray[np.float32]]:
    """Order without positions. ASSUME: numbers rise from head to feet, as they do in most studies."""
    instances = [s.instance for s in slices]
    if None not in instances and len(set(instances)) == len(instances):
        slices = sorted(slices, key=lambda s: s.instance or 0)
        notes.keep("ordered-by-instance-number", "", f"{len(slices)} slices without usable positions")
    else:
        notes.keep("ordered-by-file-name", "", f"{len(slices)} slices without usable positions or InstanceNumber")
    step = next((s.thickness for s in slices if s.thickness), NOMINAL_STEP_MM)
    return slices, step * np.arange(len(slices), dtype=np.float32)[::-1]

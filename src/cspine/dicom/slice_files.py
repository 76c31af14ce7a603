"""One DICOM file -> its slices: are they axial CT slices, where do they lie, and what do they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cspine.dicom.codestreams import LOSSY
from cspine.dicom.frames import frames_of
from cspine.dicom.geometry import Plane, plane_of
from cspine.dicom.headers import Header, LeftOutError, quoted
from cspine.dicom.notes import Notes
from cspine.dicom.parsing import parse
from cspine.dicom.pixels import stored_pixels
from cspine.dicom.series import SliceFile
from cspine.dicom.stored import Rescale
from cspine.dicom.syntaxes import believe_data, believe_precision

# What a scanner can mean; numbers beyond come from damaged headers and would drown the others.
FARTHEST_MM, WIDEST_PIXEL_MM, THICKEST_MM = 10_000.0, 10.0, 100.0
STEEPEST_RESCALE, LARGEST_INTERCEPT = 100.0, 100_000.0
LARGEST_NUMBER = 2**31  # of a DICOM integer string (PS3.5 6.2)
# Of RescaleType (PS3.3 C.11.1.1.2); another text is not quoted.
RESCALE_TYPES = ("OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT")
DIGITS = 9  # of a file's number; longer ones are UIDs


def read_slices(path: Path, file: str, notes: Notes) -> list[SliceFile]:
    """The axial CT slices of one file (several, if it has several frames), ``file`` being its name below the study.

    What gives no slice is noted with its reason. Never raises for bad input.
    """
    remarks: list[tuple[str, str]] = []
    try:
        head = parse(path, remarks)
        head.check()
        believe_data(head, remarks)
        frames = frames_of(head)
    except LeftOutError as reason:
        notes.leave_out(reason.code, file, reason.detail)
        return []
    slices = []
    for frame, frame_head in enumerate(frames, start=1):
        place = frame if head.frames > 1 else 0
        try:
            slices.append(_slice_of(frame_head, file, place, list(remarks)))
        except LeftOutError as reason:
            notes.leave_out(reason.code, file, reason.detail, place)
    return slices


def _slice_of(head: Header, file: str, frame: int, remarks: list[tuple[str, str]]) -> SliceFile:
    """The slice that a file, or one frame of it, holds; LeftOutError if it is no axial one."""
    head.check_is_no_localizer()
    plane = _plane(head)
    rescale = _rescale(head, remarks)
    believe_precision(head, remarks)
    stored = stored_pixels(head, rescale, remarks)
    spacing = head.numbers("PixelSpacing", 2)
    origin = head.numbers("ImagePositionPatient", 3)
    instance = frame or head.number("InstanceNumber")
    thickness = head.number("SliceThickness")
    if head.text("LossyImageCompression") == "01" and head.syntax not in LOSSY:
        remarks.append(("lossy", "LossyImageCompression 01"))
    if head.decimal_commas:
        remarks.append(("decimal-comma", ", ".join(sorted(head.decimal_commas))))
    return SliceFile(
        file=file,
        frame=frame,
        stored=stored,
        number=-1 if frame else _number(file),
        series=head.text("SeriesInstanceUID"),
        frame_of_reference=head.text("FrameOfReferenceUID"),
        instance=int(instance) if instance is not None and abs(instance) < LARGEST_NUMBER else None,
        origin=np.array(origin) if origin and max(map(abs, origin)) <= FARTHEST_MM else None,
        plane=plane,
        spacing=(spacing[0], spacing[1]) if spacing and 0 < min(spacing) <= max(spacing) <= WIDEST_PIXEL_MM else None,
        thickness=thickness if thickness and 0 < thickness <= THICKEST_MM else None,
        rescale=rescale,
        remarks=remarks,
    )


def _plane(head: Header) -> Plane | None:
    cosines = head.numbers("ImageOrientationPatient", 6)
    plane = plane_of(tuple(cosines)) if cosines else None
    if plane is not None and not plane.axial:
        raise LeftOutError("not-axial", f"tilted by {plane.tilt:.0f} degrees")
    return plane


def _rescale(head: Header, remarks: list[tuple[str, str]]) -> Rescale | None:
    """Slope and intercept as this file or frame has them; None if it has none that can be."""
    slope, intercept = head.number("RescaleSlope"), head.number("RescaleIntercept")
    if slope is None and intercept is not None:
        slope = 1.0
        remarks.append(("no-rescale", f"no RescaleSlope: slope 1, intercept {intercept:g} used"))
    if not slope or intercept is None or abs(slope) > STEEPEST_RESCALE or abs(intercept) > LARGEST_INTERCEPT:
        return None
    kind = head.text("RescaleType", "HU").upper()
    if kind != "HU":
        remarks.append(("not-hounsfield", f"RescaleType {quoted(kind, RESCALE_TYPES)}"))
    return slope, intercept


def _number(file: str) -> int:
    stem = Path(file).stem
    return int(stem) if stem.isdecimal() and len(stem) <= DIGITS else -1

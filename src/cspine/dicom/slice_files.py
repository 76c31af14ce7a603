"""One DICOM file -> its slice: is it an axial CT slice, where does it lie, and what does it hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cspine.dicom.geometry import plane_of
from cspine.dicom.headers import LeftOutError
from cspine.dicom.parsing import parse
from cspine.dicom.pixels import stored_pixels
from cspine.dicom.series import SliceFile


def read_slice(path: Path, file: str) -> SliceFile:
    """Read one file, ``file`` being its name below the study; LeftOutError if it gives no axial CT slice."""
    remarks: list[tuple[str, str]] = []
    head = parse(path, remarks)
    head.check()
    cosines, commas = head.numbers("ImageOrientationPatient", 6)
    origin, more_commas = head.numbers("ImagePositionPatient", 3)
    if commas or more_commas:
        remarks.append(("decimal-comma", "position or orientation"))
    plane = plane_of(cosines) if cosines else None
    if plane is not None and not plane.axial:
        raise LeftOutError("not-axial", f"tilted by {plane.tilt:.0f} degrees")
    slope, intercept = head.number("RescaleSlope"), head.number("RescaleIntercept")
    rescale = (slope, intercept) if slope and intercept is not None else None
    stored, padded = stored_pixels(head, rescale, remarks)
    spacing = head.numbers("PixelSpacing", 2)[0]
    instance = head.number("InstanceNumber")
    stem = path.stem
    return SliceFile(
        file=file,
        stored=stored,
        padded=padded,
        number=int(stem) if stem.isdecimal() and len(stem) < 10 else -1,
        series=(head.text("SeriesInstanceUID"), head.text("FrameOfReferenceUID")),
        instance=int(instance) if instance is not None else None,
        origin=np.array(origin) if origin else None,
        plane=plane,
        spacing=(spacing[0], spacing[1]) if spacing and min(spacing) > 0 else None,
        thickness=head.number("SliceThickness"),
        rescale=rescale,
        remarks=remarks,
    )

"""CT files of several frames, as scanners and converters write them, for the tests of reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from dicom_makers import AXIAL, BIG_ENDIAN, COMPRESSED, EXPLICIT, compress, dicom_bytes, neck

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
#: what frames say: DICOM keyword -> (its functional group, PS3.3 C.7.6.16.2)
GROUP_OF = {
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleType": "PixelValueTransformationSequence",
    "FrameType": "CTImageFrameTypeSequence",
}
SHARED = {
    "PixelSpacing": [0.4, 0.5],
    "SliceThickness": 2,
    "ImageOrientationPatient": list(AXIAL),
    "RescaleIntercept": -1024,
    "RescaleSlope": 1,
}


def frames_bytes(
    heights: Sequence[float] = (0, -1, -2),
    *,
    shared: Mapping[str, Any] = SHARED,
    each: Sequence[Mapping[str, Any]] | None = None,
    stored: Sequence[NDArray[Any]] | None = None,
    syntax: str = EXPLICIT,
    fragments: int = 1,
    table: bool = True,
    **elements: Any,
) -> bytes:
    """One file with a frame ``neck(z)`` per height, which says everything in functional groups.

    Args:
        heights: z of each frame, mm.
        shared: keyword -> value, for all frames; {} leaves the shared groups out.
        each: keyword -> value, per frame; (-10, -20, z) as position unless given. [] leaves these groups out.
        stored: the frames as stored; HU + 1024 unless given.
        syntax: transfer syntax.
        fragments: that each compressed frame is split into.
        table: whether there is an offset table.
        elements: of the top level, as for ``dicom_bytes``.
    """
    if stored is None:
        stored = [(neck(z) + 1024).astype(np.uint16) for z in heights]
    if each is None:
        each = [{"ImagePositionPatient": [-10, -20, z]} for z in heights]
    groups: dict[str, Any] = {"SharedFunctionalGroupsSequence": [_groups(shared)]} if shared else {}
    if each:
        groups["PerFrameFunctionalGroupsSequence"] = [_groups(said) for said in each]
    if syntax in COMPRESSED:
        frames = [compress(image.astype(np.uint16), syntax, 16) for image in stored]
        groups["PixelData"] = encapsulate(frames, fragments_per_frame=fragments, has_bot=table)
    else:
        groups["PixelData"] = np.stack(stored).astype(">u2" if syntax == BIG_ENDIAN else "<u2").tobytes()
    silent: dict[str, Any] = dict.fromkeys(("position", "orientation", "slope", "intercept", "spacing"))
    given = {"SOPClassUID": ENHANCED_CT, "NumberOfFrames": len(stored), "bits": 16, "syntax": syntax}
    return dicom_bytes(stored=stored[0], **silent | given | groups | elements)


def _groups(said: Mapping[str, Any]) -> Dataset:
    item = Dataset()
    for keyword, value in said.items():
        group = GROUP_OF[keyword]
        if group not in item:
            setattr(item, group, [Dataset()])
        setattr(item[group].value[0], keyword, value)
    return item

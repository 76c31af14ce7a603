"""A file of several frames -> a header for each of its frames, as if every frame were a file of its own.

Multi-frame CT objects say in functional groups what other files say at the top: once for all frames in
SharedFunctionalGroupsSequence, for each in PerFrameFunctionalGroupsSequence (PS3.3 C.7.6.16). A reader that looks at
the top only misses the rescale, and is 1024 Hounsfield units off without noticing.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from cspine.dicom.headers import ELEMENTS, ITEM, UNCOMPRESSED, Header, LeftOutError

#: functional group -> its elements that count, and the element at the top whose place they take (PS3.3 C.7.6.16.2)
GROUPS = {
    "PixelMeasuresSequence": (0x0028_9110, {0x0028_0030: "PixelSpacing", 0x0018_0050: "SliceThickness"}),
    "PlanePositionSequence": (0x0020_9113, {0x0020_0032: "ImagePositionPatient"}),
    "PlaneOrientationSequence": (0x0020_9116, {0x0020_0037: "ImageOrientationPatient"}),
    "PixelValueTransformationSequence": (
        0x0028_9145,
        {0x0028_1052: "RescaleIntercept", 0x0028_1053: "RescaleSlope", 0x0028_1054: "RescaleType"},
    ),
    "CTImageFrameTypeSequence": (0x0018_9329, {0x0008_9007: "ImageType"}),
}


def frames_of(head: Header) -> list[Header]:
    """One header per frame, in the order of the file; its PixelData holds that frame alone.

    What a frame's functional group says counts before what the shared one says, and that before the top of the file.
    A frame whose pixels are not in the file has empty PixelData. LeftOutError where frames cannot be told apart.
    """
    shared = _items(head.dataset, "SharedFunctionalGroupsSequence")
    groups = _items(head.dataset, "PerFrameFunctionalGroupsSequence")
    if head.frames == 1 and not shared and not groups:
        return [head]
    common = head.raw | (_elements(shared[0]) if shared else {})
    pixels = [head.pixel_data] if head.frames == 1 else _pixels(head)
    heads = []
    for frame, data in enumerate(pixels):
        own = _elements(groups[frame]) if frame < len(groups) else {}
        raw = common | own | {ELEMENTS["PixelData"]: data}
        heads.append(Header(raw, head.order, head.syntax))
    return heads


def _items(dataset: Any, keyword: str) -> list[Any]:
    """The items of a sequence; [] if there is none or it is damaged."""
    tag = ELEMENTS.get(keyword) or GROUPS[keyword][0]
    try:
        return list(dataset[tag].value) if dataset is not None and tag in dataset else []
    except MemoryError:
        raise
    except Exception:  # the sequence is parsed only now, and on junk a parser may raise anything
        return []


def _elements(group: Any) -> dict[int, Any]:
    """What the functional groups of one item say, under the tags it has at the top of other files."""
    found: dict[int, Any] = {}
    for keyword, (_, elements) in GROUPS.items():
        items = _items(group, keyword)
        values = {int(tag): element.value for tag, element in items[0].items()} if items else {}
        found |= {ELEMENTS[name]: values[tag] for tag, name in elements.items() if tag in values}
    return found


def _pixels(head: Header) -> list[bytes | memoryview]:
    """PixelData of each frame; empty where the file ends before."""
    if head.syntax in UNCOMPRESSED:
        data, size = memoryview(head.pixel_data), head.rows * head.columns * head.allocated // 8
        return [data[frame * size : (frame + 1) * size] for frame in range(head.frames)]
    return [encapsulated(frame) for frame in _compressed_frames(bytes(head.pixel_data), head.frames)]


def _compressed_frames(data: bytes, count: int) -> list[bytes]:
    """``count`` frames; LeftOutError where it is not certain which is which, as a frame in another's place would lie.

    Fragments that are as many as the frames are the frames, whatever an offset table says. Otherwise the table tells,
    or where it is empty, the end marker of each compressed image (PS3.5 A.4).
    """
    from pydicom.encaps import generate_fragments, generate_frames, parse_basic_offsets

    try:
        stream = BytesIO(data)
        parse_basic_offsets(stream)
        frames = list(generate_fragments(stream))
        if len(frames) != count:
            frames = list(generate_frames(data, number_of_frames=count))
    except MemoryError:
        raise
    except Exception as error:  # damaged items
        raise LeftOutError("truncated", f"frames cannot be told apart: {type(error).__name__}") from error
    if len(frames) != count:
        raise LeftOutError("truncated", f"{len(frames)} of {count} compressed frames")
    return frames


def encapsulated(frame: bytes) -> bytes:
    """One compressed frame as PixelData: an empty offset table and one fragment (PS3.5 A.4)."""
    frame += b"\0" * (len(frame) % 2)
    return ITEM + bytes(4) + ITEM + len(frame).to_bytes(4, "little") + frame

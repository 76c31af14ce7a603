"""The numbers stored in a file: decoded fast or strictly, and what their bits mean.

pydicom is imported when a slice needs it: most do not, and the processes that read start sooner without.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine.apart import Apart, DiedError
from cspine.dicom import codestreams
from cspine.dicom.headers import DEFLATED, EXPLICIT, IMPLICIT, UNCOMPRESSED, Header, LeftOutError
from cspine.dicom.hounsfield import AIR, as_value, bit_patterns, is_padding
from cspine.dicom.stored import Coding, Rescale, StoredPixels
from cspine.errors import CspineError

ITEM = b"\xfe\xff\x00\xe0"  # its tag, little endian


def stored_pixels(head: Header, rescale: Rescale | None, remarks: list[tuple[str, str]]) -> StoredPixels:
    """The pixels of a file of one frame; LeftOutError if there are none.

    Args:
        head: of the file, its pixel data included.
        rescale: slope and intercept, when the header says them: what a padding value means hangs on them.
        remarks: gets (reason code, detail) of what was put right.
    """
    pixels = _decode(head, remarks)
    signed = head.signed
    if head.syntax in codestreams.JPEG_2000 and not signed and pixels.dtype.kind == "i":
        signed = True
        remarks.append(("signedness", "header says unsigned, compressed data are signed"))
    patterns = bit_patterns(pixels)
    if patterns is None:
        raise LeftOutError("unsupported-bits", f"values beyond 16 bits in {head.allocated} bits")
    high_bit = head.high_bit if head.syntax in UNCOMPRESSED else head.bits - 1  # of no meaning in a compressed frame
    stored = StoredPixels(patterns, Coding(head.bits, high_bit, signed))
    stored = _with_padding(stored, head, rescale or (1.0, 0.0 if signed else -1024.0), remarks)
    if junk := stored.count_junk():
        remarks.append(("high-bits", f"{junk} pixels use more than {head.bits} bits"))
    if head.text("PhotometricInterpretation").startswith("MONOCHROME1"):
        remarks.append(("monochrome1", "PhotometricInterpretation MONOCHROME1"))
    return stored


def _with_padding(stored: StoredPixels, head: Header, rescale: Rescale, remarks: list[tuple[str, str]]) -> StoredPixels:
    """The same pixels; their coding says what padding is, if there is any and it is believed."""
    keywords = [k for k in ("PixelPaddingValue", "PixelPaddingRangeLimit") if head.has(k)]
    if not keywords:
        return stored
    ends = [head.unsigned(k) for k in keywords]
    coding = stored.coding
    padded = StoredPixels(stored.patterns, Coding(coding.bits, coding.high_bit, coding.signed, tuple(ends)))
    if not padded.holds_padding():
        return stored
    values = [as_value(end, coding.signed) for end in ends]
    hounsfield = values[0] * rescale[0] + rescale[1]
    detail = f"stored {values[0]} ({hounsfield:g} HU)"
    if is_padding(values, *rescale):
        remarks.append(("padding", detail))
        return padded
    if hounsfield != AIR:
        remarks.append(("padding-ignored", detail))
    return stored


def _decode(head: Header, remarks: list[tuple[str, str]]) -> NDArray[Any]:
    shape = head.rows, head.columns
    if head.syntax in (IMPLICIT, EXPLICIT, DEFLATED) and head.allocated in (8, 16):
        expected = head.rows * head.columns * head.allocated // 8
        data = head.pixel_data
        if len(data) < expected:
            raise LeftOutError("truncated", f"{len(data)} of {expected} bytes of pixel data")
        return np.frombuffer(data, f"<u{head.allocated // 8}", head.rows * head.columns).reshape(shape)
    if head.syntax in codestreams.LOSSY:
        remarks.append(("lossy", _name(head.syntax)))
    if head.syntax in UNCOMPRESSED:
        return _decode_strictly(head, b"")
    try:
        frame = frame_of(head.pixel_data)
    except Exception as error:
        raise LeftOutError("truncated", f"frame cannot be taken out: {type(error).__name__}") from error
    try:
        return codestreams.decode_frame(frame, head.syntax, shape, head.allocated, head.signed)
    except codestreams.DoubtError as doubt:
        pixels = _decode_strictly(head, frame)
        if doubt.pixels is None:
            if head.syntax in codestreams.FAST:
                remarks.append(("decoded-again", str(doubt)))
        elif pixels.tobytes() != doubt.pixels.tobytes():
            # measured: of 67 doubted frames with one changed byte the strict decoder restored none and refused one
            raise LeftOutError("corrupt-frame", f"{doubt}; two decoders disagree") from None
        return pixels


def frame_of(pixel_data: bytes | memoryview) -> bytes:
    """The one frame in encapsulated pixel data: all fragments but the offset table, put together (PS3.5 A.4).

    Raises:
        ValueError: these are no items, one after the other up to the end.
    """
    data, at, parts = memoryview(pixel_data), 0, []
    while at < len(data):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] != ITEM or end > len(data):
            raise ValueError(f"no whole item at byte {at}")
        parts.append(data[at + 8 : end])
        at = end
    if len(parts) < 2:
        raise ValueError("no fragment")
    return b"".join(parts[1:])


def _decode_strictly(head: Header, frame: bytes) -> NDArray[Any]:
    """Decode with pydicom, compressed data with its gdcm plugin in a process apart; raises LeftOutError."""
    name = _name(head.syntax)
    options = {
        "rows": head.rows,
        "columns": head.columns,
        "bits_allocated": head.allocated,
        "bits_stored": head.bits,
        "pixel_representation": int(head.signed),
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "pixel_keyword": "PixelData",
    }
    try:
        _decoder(head.syntax)
        decode = _decode_apart if frame else decode_by_pydicom
        pixels: NDArray[Any] = decode(head.syntax, bytes(head.pixel_data), options)
    except (MemoryError, CspineError):
        raise
    except NotImplementedError as error:
        raise LeftOutError("unsupported-syntax", name) from error
    except Exception as error:
        code = "corrupt-frame" if frame else "truncated"
        raise LeftOutError(code, f"{name}: {error if isinstance(error, DiedError) else 'decoder failed'}") from error
    if pixels.shape != (head.rows, head.columns):
        raise LeftOutError("corrupt-frame", f"decoded to {pixels.shape}")
    if head.syntax in codestreams.JPEG_LOSSLESS and codestreams.was_cut(pixels, frame):
        guess = int(pixels[-1, 0]) & 0xFFFF
        if guess != head.unsigned("PixelPaddingValue", -1):
            raise LeftOutError("corrupt-frame", "the last rows were never decoded")
    return pixels


def decode_by_pydicom(syntax: str, pixel_data: bytes, options: dict[str, Any]) -> NDArray[Any]:
    """The pixels in a PixelData element; compressed data by gdcm, which raises on damage but may abort as well."""
    compressed = syntax not in UNCOMPRESSED and syntax != codestreams.RLE
    plugin = "gdcm" if compressed else ""
    pixels, _ = _decoder(syntax).as_array(pixel_data, raw=True, decoding_plugin=plugin, **options)
    return pixels


def _decoder(syntax: str) -> Any:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    return get_decoder(UID(syntax))


def _name(syntax: str) -> str:
    from pydicom.uid import UID

    return UID(syntax).name


_decode_apart = Apart(decode_by_pydicom)

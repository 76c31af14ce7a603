"""The numbers stored in a file: decoded fast or strictly, padding and odd bits seen to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from cspine.apart import Apart, DiedError
from cspine.dicom import codestreams
from cspine.dicom.headers import DEFLATED, EXPLICIT, IMPLICIT, UNCOMPRESSED, Header, LeftOutError
from cspine.dicom.hounsfield import AIR, as_value, bit_patterns, is_padding, padding_mask, stored_values
from cspine.errors import CspineError


def stored_pixels(
    head: Header, rescale: tuple[float, float] | None, remarks: list[tuple[str, str]]
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Stored numbers (rows, columns), int16 or uint16, and the mask of padding; LeftOutError if there are none.

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
    padded = _padded(patterns, head, signed, rescale or (1.0, 0.0 if signed else -1024.0), remarks)
    if padded is not None:
        patterns = np.where(padded, np.uint16(0), patterns)
    stored, junk = stored_values(patterns, head.bits, head.high_bit, signed)
    if junk:
        remarks.append(("high-bits", f"{junk} pixels use more than {head.bits} bits"))
    if head.text("PhotometricInterpretation").startswith("MONOCHROME1"):
        remarks.append(("monochrome1", "PhotometricInterpretation MONOCHROME1"))
    return stored, padded


def _padded(
    patterns: NDArray[np.uint16],
    head: Header,
    signed: bool,
    rescale: tuple[float, float],
    remarks: list[tuple[str, str]],
) -> NDArray[np.bool_] | None:
    keywords = [k for k in ("PixelPaddingValue", "PixelPaddingRangeLimit") if head.has(k)]
    mask = padding_mask(patterns, [head.unsigned(k) for k in keywords], head.bits, signed)
    if mask is None:
        return None
    value = as_value(head.unsigned(keywords[0]), signed)
    hounsfield = value * rescale[0] + rescale[1]
    if is_padding(value, *rescale):
        remarks.append(("padding", f"stored {value} ({hounsfield:g} HU)"))
        return mask
    if hounsfield != AIR:
        remarks.append(("padding-ignored", f"stored {value} ({hounsfield:g} HU)"))
    return None


def _decode(head: Header, remarks: list[tuple[str, str]]) -> NDArray[Any]:
    shape = head.rows, head.columns
    if head.syntax in (IMPLICIT, EXPLICIT, DEFLATED) and head.allocated in (8, 16):
        expected = head.rows * head.columns * head.allocated // 8
        data = head.pixel_data
        if len(data) < expected:
            raise LeftOutError("truncated", f"{len(data)} of {expected} bytes of pixel data")
        return np.frombuffer(data, f"<u{head.allocated // 8}", head.rows * head.columns).reshape(shape)
    if head.syntax in codestreams.LOSSY:
        remarks.append(("lossy", UID(head.syntax).name))
    if head.syntax in UNCOMPRESSED:
        return _decode_strictly(head, b"")
    try:
        frame = get_frame(head.pixel_data, 0, number_of_frames=1)
    except Exception as error:
        raise LeftOutError("truncated", f"frame cannot be taken out: {type(error).__name__}") from error
    try:
        return codestreams.decode_frame(frame, head.syntax, shape, head.allocated, head.signed)
    except codestreams.DoubtError as doubt:
        pixels = _decode_strictly(head, frame)
        confirmed = doubt.pixels is not None and pixels.tobytes() == doubt.pixels.tobytes()
        if head.syntax in codestreams.FAST and not confirmed:
            remarks.append(("decoded-again", str(doubt)))
        return pixels


def _decode_strictly(head: Header, frame: bytes) -> NDArray[Any]:
    """Decode with pydicom, compressed data with its gdcm plugin in a process apart; raises LeftOutError."""
    name = UID(head.syntax).name
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
        get_decoder(UID(head.syntax))
        decode = _decode_apart if frame else decode_by_pydicom
        pixels: NDArray[Any] = decode(head.syntax, head.pixel_data, options)
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
    pixels, _ = get_decoder(UID(syntax)).as_array(pixel_data, raw=True, decoding_plugin=plugin, **options)
    return pixels


_decode_apart = Apart(decode_by_pydicom)

"""Decoding one compressed frame fast, and knowing when not to believe the result.

The fast JPEG Lossless decoder returns a full image from a cut or damaged frame without an error. So every frame is
checked before and after; what is in doubt, ``pixels`` has decoded again by the strict decoder, and believes the two
when they agree. How many of 200 damaged frames (512 x 512, 12 bits; benchmarks/damage.py) are refused by that:

                     one byte changed                      40 bytes changed           cut, end marker put back
    JPEG Lossless    72 % by impossible values             71 % by impossible values  all by their last rows
                                                           28.5 % by both decoders
    JPEG-LS          all by both decoders                  all by both decoders       all by both decoders
    RLE              4 % by both decoders (5 % are told    71 % by both decoders      all by both decoders
                     as `high-bits`)                       (26 % told)
    JPEG 2000        none                                  none                       all by both decoders

What is accepted (with 40 bytes changed, one JPEG Lossless frame of the 200) is, of JPEG Lossless, mostly a part of one
row off by 8 to 100 HU; of RLE, a wrong pixel; of JPEG 2000, blocks that no decoder can tell from sound ones.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray

JPEG_LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
RLE = "1.2.840.10008.1.2.5"
LOSSY = (*JPEG_LOSSY, JPEG_LS[1], JPEG_2000[1])

# The mean of a row of a CT moves by up to about 100 HU to the next, at the flat edge of a table by 600; that of damaged
# frames mostly by more than this. It is what frames of 16 bits have, of which no value is impossible.
ROW_JUMP = 1000
NO_FRAME_HEADER = (0xC4, 0xC8, 0xCC)  # markers among SOF0..SOF15 that are not a frame header


class DoubtError(Exception):
    """The frame cannot be decoded fast with confidence; says why, and keeps the doubtful pixels if there are any."""

    def __init__(self, why: str, pixels: NDArray[Any] | None = None) -> None:
        super().__init__(why)
        self.pixels = pixels


def decode_frame(frame: bytes, syntax: str, shape: tuple[int, int], bits: int, signed: bool) -> NDArray[Any]:
    """The pixels (rows, columns) of one compressed frame, bit patterns as stored.

    ``bits`` is BitsAllocated (8 or 16). Raises DoubtError when the syntax has no fast decoder here or in any doubt.
    """
    decoder = _DECODERS.get(syntax)
    if decoder is None:
        raise DoubtError("no fast decoder for this transfer syntax")
    if syntax != RLE:
        _check_stream(frame, shape, bits)
    try:
        pixels = decoder(frame, bits, shape)
    except Exception as error:  # each codec raises its own kind
        raise DoubtError(f"{type(error).__name__}") from error
    if pixels.size != shape[0] * shape[1]:
        raise DoubtError(f"decoded to {pixels.size} pixels, expected {shape[0]} x {shape[1]}")
    pixels = pixels.reshape(shape)
    if syntax in JPEG_LOSSLESS and (why := _doubt(pixels, frame, signed)):
        raise DoubtError(why, pixels)
    return pixels


def was_cut(pixels: NDArray[Any], frame: bytes) -> bool:
    """Whether the last rows hold only a JPEG Lossless decoder's first guess, 2**(precision-1): the data ended before.

    Every decoder measured (libjpeg-turbo, gdcm) fills up like this, silently, when a cut frame has an end marker. Of a
    sound image the guess may be the value outside the round field of view: then the first rows hold it just as well.
    """
    size = frame_size(frame)
    if size is None:
        return False
    guess = 1 << (size[0] - 1)
    if not (pixels[-1].astype(np.int64) & 0xFFFF == guess).all():
        return False
    guessed = (pixels.astype(np.int64) & 0xFFFF == guess).all(axis=1)
    decoded = np.flatnonzero(~guessed)
    return len(decoded) == 0 or len(guessed) - 1 - decoded[-1] > decoded[0] + 1


def frame_size(frame: bytes) -> tuple[int, int, int, int] | None:
    """(precision, rows, columns, components) from a JPEG, JPEG-LS or JPEG 2000 header; None if it has none."""
    if frame[:4] == b"\xff\x4f\xff\x51" and len(frame) >= 43:  # JPEG 2000: SOC, SIZ
        right, bottom, left, top = (int.from_bytes(frame[i : i + 4], "big") for i in (8, 12, 16, 20))
        return (frame[42] & 0x7F) + 1, bottom - top, right - left, int.from_bytes(frame[40:42], "big")
    at = start_of_frame(frame)
    if at is None:
        return None
    rows, columns = (int.from_bytes(frame[i : i + 2], "big") for i in (at + 5, at + 7))
    return frame[at + 4], rows, columns, frame[at + 9]


def start_of_frame(frame: bytes) -> int | None:
    """Where the frame header (SOF0..SOF15, SOF55) of a JPEG or JPEG-LS image begins, whole; None if it has none."""
    at = 2
    while frame[:2] == b"\xff\xd8" and at + 10 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in NO_FRAME_HEADER):
            return at
        if marker == 0xDA:  # start of scan before any frame header
            return None
        at += 1 if marker == 0xFF else 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return None


def _check_stream(frame: bytes, shape: tuple[int, int], bits: int) -> None:
    size = frame_size(frame)
    if size is None:
        raise DoubtError("no frame header in the compressed data")
    precision, rows, columns, components = size
    if (rows, columns) != shape or components != 1 or precision > bits:
        raise DoubtError(f"compressed data says {rows} x {columns}, {precision} bits, {components} components")
    if b"\xff\xd9" not in frame[-32:].rstrip(b"\0\xff")[-2:]:
        raise DoubtError("compressed data has no end marker")


def _doubt(pixels: NDArray[Any], frame: bytes, signed: bool) -> str:
    """Why a JPEG Lossless image may be damaged; "" when nothing speaks for it."""
    size = frame_size(frame)
    if was_cut(pixels, frame):
        return "ends in rows that were never decoded"
    # Damage shifts all that is predicted from it, and sums that leave the range show: T.81 H.1.2.1 takes them mod 2^16
    if size is not None and int(pixels.max()) >> size[0]:
        return f"values beyond {size[0]} bits"
    return "rows jump" if _rows_jump(pixels, signed) else ""


def _rows_jump(pixels: NDArray[Any], signed: bool) -> bool:
    values = pixels.view(np.int16) if signed and pixels.dtype == np.uint16 else pixels
    means = cv2.reduce(values, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)
    return len(values) > 1 and bool(np.abs(np.diff(means, axis=0)).max() > ROW_JUMP)


def _decode_jpeg(frame: bytes, bits: int, shape: tuple[int, int]) -> NDArray[Any]:
    return imagecodecs.jpeg8_decode(frame)


def _decode_jpeg_ls(frame: bytes, bits: int, shape: tuple[int, int]) -> NDArray[Any]:
    return imagecodecs.jpegls_decode(frame)


def _decode_jpeg_2000(frame: bytes, bits: int, shape: tuple[int, int]) -> NDArray[Any]:
    return imagecodecs.jpeg2k_decode(frame)


def _decode_rle(frame: bytes, bits: int, shape: tuple[int, int]) -> NDArray[Any]:
    """One run-length segment per byte of a pixel, the highest first (PS3.5 G).

    Taken apart here because ``imagecodecs.dicomrle_decode`` crashes on a damaged table of segments (2026.3.6).
    """
    count, *offsets = np.frombuffer(frame, "<u4", 16).tolist()
    starts = [*offsets[: bits // 8], len(frame)]
    if count != bits // 8 or starts[0] < 64 or starts != sorted(starts):
        raise ValueError("damaged table of segments")
    size = shape[0] * shape[1]
    planes = [np.frombuffer(imagecodecs.packbits_decode(frame[a:b]), np.uint8)[:size] for a, b in pairwise(starts)]
    if any(len(plane) != size for plane in planes):
        raise ValueError("a plane is cut short")
    return np.asarray(cv2.merge([plane.reshape(shape) for plane in planes[::-1]])).view(f"<u{bits // 8}")


_DECODERS: dict[str, Callable[[bytes, int, tuple[int, int]], NDArray[Any]]] = {
    **dict.fromkeys((*JPEG_LOSSY, *JPEG_LOSSLESS), _decode_jpeg),
    **dict.fromkeys(JPEG_LS, _decode_jpeg_ls),
    **dict.fromkeys(JPEG_2000, _decode_jpeg_2000),
    RLE: _decode_rle,
}
FAST = frozenset(_DECODERS)  #: transfer syntaxes with a fast decoder

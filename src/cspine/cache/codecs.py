"""How one cached slice becomes a blob, and a blob a slice again.

``zstd-delta`` is lossless: zstd (RFC 8878) of the difference to the pixel above, modulo 256. ``jpeg-<quality>`` is
baseline JPEG (ITU-T T.81) at libjpeg's quality 1 to 100: smaller, with errors that docs/cache.md states.
Imports neither pyarrow nor pandas: the processes that read CT need it, and start faster without.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from cspine.errors import CspineError

Image = NDArray[np.uint8]
Blob = bytes | memoryview

LOSSLESS = "zstd-delta"
ALLOWED = f"{LOSSLESS} (lossless) or jpeg-<quality> with a quality from 1 to 100, as jpeg-95"
ZSTD_LEVEL = 1  # of real and noisy slices as small as level 3, in half to three quarters of the time


def encode(image: Image, codec: str = LOSSLESS) -> bytes:
    """One (pixels, pixels) slice as a blob."""
    quality = _quality(codec)
    if quality:
        return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(image), level=quality))
    return bytes(imagecodecs.zstd_encode(_differences(image).tobytes(), level=ZSTD_LEVEL))


def decode(blob: Blob, pixels: int, codec: str = LOSSLESS) -> Image:
    """The (pixels, pixels) slice in a blob.

    Raises:
        ValueError: the blob holds a slice of another size.
    """
    data: Any = blob  # any buffer will do, which imagecodecs' types do not say
    if _quality(codec):
        image = np.asarray(imagecodecs.jpeg8_decode(data), np.uint8)
    else:
        image = np.empty((pixels, pixels), np.uint8)
        found = imagecodecs.zstd_decode(data, out=image.reshape(-1).data)
        image = _running_sum(image) if len(found) == image.size else np.asarray(found)
    if image.shape != (pixels, pixels):
        raise ValueError(f"{image.size} pixels where {pixels} x {pixels} were expected")
    return image


def check_codec(name: str) -> str:
    """``name``, if it is one of a codec.

    Raises:
        CspineError: it is not; the message says which there are.
    """
    _quality(name)
    return name


def encoder() -> str:
    """What encodes here, as "imagecodecs 2026.3.6"; what a single library of it says of itself is not always so."""
    return f"imagecodecs {imagecodecs.__version__}"


def crc32(blob: Blob) -> int:
    """The checksum kept beside a blob."""
    return zlib.crc32(blob)


@lru_cache(maxsize=16)
def _quality(codec: str) -> int:
    """The JPEG quality in a codec's name; 0 = lossless."""
    if codec == LOSSLESS:
        return 0
    if found := re.fullmatch(r"jpeg-([1-9][0-9]?|100)", codec):
        return int(found[1])
    raise CspineError(f"no cache codec '{codec}' (views.<name>.codec); expected {ALLOWED}")


def _differences(image: Image) -> Image:
    """Each row less the one above, modulo 256; 40 times as fast as ``imagecodecs.delta_encode`` along columns."""
    differences = np.empty(image.shape, np.uint8)
    differences[0] = image[0]
    np.subtract(image[1:], image[:-1], out=differences[1:])
    return differences


def _running_sum(rows: Image) -> Image:
    """Each row plus all above it, modulo 256; ``rows`` is overwritten.

    By doubling (Hillis and Steele 1986): log2(n) additions of whole images, which the processor does 16 or more pixels
    at a time. With 256 pixels 24 us, where ``imagecodecs.delta_decode`` and ``np.add.accumulate`` take 85 and 150.
    """
    other = np.empty_like(rows)
    step = 1
    while step < len(rows):
        other[:step] = rows[:step]
        np.add(rows[step:], rows[:-step], out=other[step:])
        rows, other = other, rows
        step *= 2
    return rows

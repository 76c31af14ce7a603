"""How one cached slice becomes a blob, and a blob a slice again."""

from __future__ import annotations

from collections.abc import Callable

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from cspine.errors import CspineError

Image = NDArray[np.uint8]


def _encode_zstd(image: Image) -> bytes:
    return bytes(imagecodecs.zstd_encode(imagecodecs.delta_encode(image, axis=0).tobytes(), level=3))


def _decode_zstd(blob: bytes, pixels: int) -> Image:
    differences = np.frombuffer(imagecodecs.zstd_decode(blob), np.uint8)
    return np.asarray(imagecodecs.delta_decode(differences.reshape(pixels, pixels), axis=0), np.uint8)


#: name -> (encode, decode); "zstd-delta" is lossless: zstd 3 on the difference to the pixel above
CODECS: dict[str, tuple[Callable[[Image], bytes], Callable[[bytes, int], Image]]] = {
    "zstd-delta": (_encode_zstd, _decode_zstd),
}


def encode(image: Image, codec: str = "zstd-delta") -> bytes:
    """One (pixels, pixels) slice as a blob."""
    return _codec(codec)[0](image)


def decode(blob: bytes, pixels: int, codec: str = "zstd-delta") -> Image:
    """The (pixels, pixels) slice in a blob."""
    return _codec(codec)[1](blob, pixels)


def _codec(name: str) -> tuple[Callable[[Image], bytes], Callable[[bytes, int], Image]]:
    if name not in CODECS:
        raise CspineError(f"no cache codec '{name}'; there are {', '.join(CODECS)}")
    return CODECS[name]

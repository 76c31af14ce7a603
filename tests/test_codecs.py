"""Slices as blobs: lossless to the bit, or within the error that docs/cache.md states."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from cspine.cache.codecs import check_codec, decode, encode
from cspine.errors import CspineError
from cspine.views.windows import apply_window, resize_slice

SLICES = st.integers(1, 40).flatmap(lambda pixels: arrays.arrays(np.uint8, (pixels, pixels)))


def noisy_neck(pixels: int = 256) -> NDArray[np.uint8]:
    """Air, a neck, bone and metal with the noise of a thin slice (30 HU once shrunk), in the bone window."""
    y, x = np.mgrid[:512, :512]
    image = np.where(np.hypot(y - 256, x - 256) < 200, 40.0, -1000.0)
    image[np.hypot(y - 300, x - 240) < 50] = 900
    image[200:210, 200:220] = 3000
    image += np.random.default_rng(0).normal(0, 60, image.shape)
    return resize_slice(apply_window(image, 400, 2000), pixels)


@given(SLICES)
def test_the_lossless_codec_gives_every_slice_back(image: NDArray[np.uint8]) -> None:
    back = decode(encode(image), len(image))
    assert back.dtype == np.uint8 and np.array_equal(back, image)


def test_a_lossless_blob_is_zstd_of_the_difference_to_the_pixel_above() -> None:
    image = noisy_neck()
    same = imagecodecs.zstd_encode(imagecodecs.delta_encode(image, axis=0).tobytes(), level=1)
    assert encode(image) == same
    assert np.array_equal(decode(memoryview(same), 256), image)


def test_a_slice_that_is_part_of_a_larger_array_is_encoded_as_itself() -> None:
    stack = np.random.default_rng(0).integers(0, 256, (32, 3, 32)).astype(np.uint8)
    for codec in ("zstd-delta", "jpeg-90"):
        assert encode(stack[:, 1], codec) == encode(stack[:, 1].copy(), codec)


def test_smooth_slices_are_stored_smaller_than_their_pixels() -> None:
    smooth = np.add.outer(np.arange(256), np.arange(256)).clip(0, 255).astype(np.uint8)
    assert len(encode(smooth)) < smooth.size / 20


def test_jpeg_stays_within_the_error_that_the_documentation_states() -> None:
    text = (Path(__file__).parent.parent / "docs" / "cache.md").read_text(encoding="utf-8")
    stated = {name: int(levels) for name, levels in re.findall(r"^\| `(jpeg-\d+)` \|.*\| (\d+) \(", text, re.MULTILINE)}
    assert len(stated) >= 2
    image = noisy_neck()
    for codec, levels in stated.items():
        assert np.abs(decode(encode(image, codec), 256, codec).astype(int) - image).max() <= levels


def test_a_lower_quality_is_smaller_and_further_off() -> None:
    image = noisy_neck()
    blobs = [encode(image, codec) for codec in ("zstd-delta", "jpeg-95", "jpeg-90", "jpeg-50", "jpeg-1")]
    errors = [
        np.abs(decode(blob, 256, f"jpeg-{quality}").astype(int) - image).mean()
        for blob, quality in zip(blobs[1:], (95, 90, 50, 1), strict=True)
    ]
    assert all(len(a) > len(b) for a, b in pairwise(blobs))
    assert errors[0] > 0 and all(a < b for a, b in pairwise(errors))


@pytest.mark.parametrize("name", ["gif", "zstd", "jpeg", "jpeg-0", "jpeg-101", "jpeg-095", "jpeg-9.5", "JPEG-95", ""])
def test_an_unknown_codec_is_answered_with_what_is_allowed(name: str) -> None:
    message = rf"no cache codec '{re.escape(name)}'.*views\.<name>\.codec.*zstd-delta.*jpeg-<quality>.*1 to 100"
    for asked in (check_codec, lambda name: encode(noisy_neck(16), name), lambda name: decode(b"", 16, name)):
        with pytest.raises(CspineError, match=message):
            asked(name)
    assert check_codec("jpeg-100") == "jpeg-100"


@pytest.mark.parametrize("codec", ["zstd-delta", "jpeg-95"])
@pytest.mark.parametrize("pixels", [15, 17])
def test_a_blob_of_another_size_is_no_slice(codec: str, pixels: int) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        decode(encode(noisy_neck(16), codec), pixels, codec)

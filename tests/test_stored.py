"""Stored bit patterns: grey levels by a table, exactly those of the Hounsfield units; padding and junk found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspine.dicom import stored as module
from cspine.dicom.hounsfield import AIR, junk_mask, padding_mask
from cspine.dicom.stored import Coding, StoredPixels, look_up
from cspine.views.windows import Window, apply_window

EVERY = np.arange(65536, dtype=np.uint16).reshape(256, 256)
CODINGS = [
    Coding(12, 11, False),
    Coding(12, 11, True),
    Coding(12, 13, False),
    Coding(16, 15, False),
    Coding(16, 15, True),
    Coding(12, 11, False, (63536,)),
    Coding(12, 11, True, (0xF830,)),
    Coding(16, 15, True, (0xF830,)),
    Coding(16, 15, True, (0xF830, 0xFA24)),
    Coding(16, 15, False, (60000, 65535)),
]
RESCALES = [(1.0, -1024.0), (1.0, 0.0), (1.0, -8192.0), (0.5, -1024.0), (2.0, -3000.5), (1.7, 12.3)]
WINDOWS = [Window(400.0, 2000.0), Window(40.0, 400.0), Window(450.5, 1500.0)]


@pytest.mark.parametrize("coding", CODINGS, ids=str)
@pytest.mark.parametrize("rescale", RESCALES, ids=str)
def test_grey_levels_are_those_of_the_hounsfield_units_for_every_pattern(
    coding: Coding, rescale: tuple[float, float]
) -> None:
    some = np.random.default_rng(3).integers(0, 4096, (40, 40)).astype(np.uint16)  # so few that int16 holds them
    for patterns in (EVERY, some, np.full((3, 5), some[0, 0])):
        pixels = StoredPixels(patterns, coding)
        hounsfield = pixels.hounsfield(rescale)
        for window in WINDOWS:
            levels = pixels.grey_levels(rescale, window)
            assert levels.dtype == np.uint8
            assert np.array_equal(levels, apply_window(hounsfield, window.center, window.width))


def test_the_numpy_way_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(0).integers(0, 256, 65536).astype(np.uint8)
    patterns = np.random.default_rng(1).permutation(EVERY.reshape(-1)).reshape(64, 1024)
    expected = table[patterns]
    assert np.array_equal(look_up(patterns, table), expected)
    monkeypatch.setattr(module, "_CV2_TAKES_16_BITS", False)
    assert np.array_equal(look_up(patterns, table), expected)


@pytest.mark.parametrize("coding", CODINGS, ids=str)
@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.integers(0, 65535), min_size=1, max_size=6))
def test_padding_and_junk_are_found_wherever_they_occur(coding: Coding, values: list[int]) -> None:
    patterns = np.array([values], np.uint16)
    pixels = StoredPixels(patterns, coding)
    padded = padding_mask(patterns, coding.padding, coding.bits, coding.signed)
    padded = np.zeros(patterns.shape, bool) if padded is None else padded
    assert pixels.holds_padding() == padded.any()
    junk = junk_mask(patterns, coding.bits, coding.high_bit, coding.signed) & ~padded
    assert pixels.count_junk() == np.count_nonzero(junk)


def test_a_round_field_of_view_and_bits_without_meaning_are_both_seen() -> None:
    patterns = np.array([[63536, 100, 0x9064]], np.uint16)
    pixels = StoredPixels(patterns, Coding(12, 11, False, (63536,)))
    assert pixels.holds_padding() and pixels.count_junk() == 1
    assert pixels.hounsfield((1.0, -1000.0)).tolist() == [[AIR, -900, -900]]

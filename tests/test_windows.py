"""Windowing to 8 bits and resizing to a square."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from cspine.views.windows import Window, apply_window, resize_slice, square_margin


def test_the_bone_window_maps_minus_600_to_1400_onto_0_to_255() -> None:
    hounsfield = np.array([[-3024, -1024, -600, -597, -596, 400, 1396, 1397, 1400, 3071, 32767]], np.int16)
    assert apply_window(hounsfield, 400, 2000).tolist() == [[0, 0, 0, 0, 1, 128, 254, 255, 255, 255, 255]]


@pytest.mark.parametrize(("center", "width"), [(400, 2000), (40, 400), (300, 1500), (450, 1500), (500, 1800)])
def test_every_value_is_rounded_to_nearest(center: int, width: int) -> None:
    every = np.arange(-32768, 32768).astype(np.int16).reshape(256, 256)
    floor = Fraction(center) - Fraction(width, 2)
    inside = range(int(floor) - 2, int(floor) + width + 3)
    exact = [min(255, max(0, round((h - floor) * 255 / width))) for h in inside]  # round() of a Fraction: ties to even
    found = apply_window(every, center, width).reshape(-1)
    assert found[np.array(inside) + 32768].tolist() == exact
    assert found[0] == 0 and found[-1] == 255


def test_float_slices_are_windowed_like_whole_ones() -> None:
    every = np.arange(-2000, 3000, dtype=np.int16).reshape(50, 100)
    assert np.array_equal(apply_window(every.astype(np.float32), 400, 2000), apply_window(every, 400, 2000))
    assert apply_window(np.array([[-599.9, 400.2]], np.float32), 400, 2000).tolist() == [[0, 128]]


def test_shrinking_takes_area_means() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    means = image.reshape(4, 2, 4, 2).mean(axis=(1, 3))
    assert np.abs(resize_slice(image, 4).astype(float) - means).max() <= 0.5


def test_growing_stays_within_the_values() -> None:
    image = np.zeros((4, 4), np.uint8)
    image[1:3, 1:3] = 200
    grown = resize_slice(image, 16)
    assert grown.shape == (16, 16) and grown.dtype == np.uint8
    assert grown.max() == 200 and 0 < grown[3, 3] < 200


def test_the_same_size_is_left_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32)).astype(np.uint8)
    assert np.array_equal(resize_slice(image, 32), image)


def test_the_middle_of_a_slice_keeps_its_pixels_and_its_place() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    assert np.array_equal(resize_slice(image, 20, centre=0.5), image[10:30, 10:30])
    assert np.array_equal(resize_slice(image[:, 5:35], 20, centre=0.5), image[10:30, 10:30])  # padded, then cut


@pytest.mark.parametrize(("rows", "columns"), [(40, 20), (20, 40), (33, 20)])
def test_what_is_not_square_is_padded_with_the_floor_and_keeps_its_aspect(rows: int, columns: int) -> None:
    side = max(rows, columns)
    square = resize_slice(np.full((rows, columns), 255, np.uint8), side)
    top, left = square_margin(rows, columns)
    assert square.shape == (side, side)
    assert (square[top : top + rows, left : left + columns] == 255).all()
    assert square.sum() == 255 * rows * columns


def test_a_window_called_with_hounsfield_values_applies_itself() -> None:
    every = np.arange(-2000, 3000, dtype=np.int16).reshape(50, 100)
    assert np.array_equal(Window(40, 400)(every), apply_window(every, 40, 400))
    assert {Window(40, 400): 1}[Window(40.0, 400.0)] == 1  # equal ones share a table of grey levels

"""Places in a slice and in its view: where ``resize_slice`` puts a pixel is where the place goes."""

from __future__ import annotations

import numpy as np
import pytest

from cspine.views.places import in_slice, in_view
from cspine.views.windows import resize_slice

SHAPES = [(64, 64), (64, 96), (96, 64), (65, 80)]


@pytest.mark.parametrize("centre", [1.0, 0.5, 0.45])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_bright_spot_is_where_its_place_goes(shape: tuple[int, int], centre: float) -> None:
    rows, columns = shape
    image = np.zeros(shape, np.uint8)
    top, left = rows // 2 - 6, columns // 2 + 2
    image[top : top + 4, left : left + 4] = 255
    view = resize_slice(image, 48, centre).astype(float)
    at = [(view.sum(axis) * (np.arange(48) + 0.5)).sum() / view.sum() / 48 for axis in (0, 1)]
    place = np.array([[[(left + 2) / columns, (top + 2) / rows]]])
    assert in_view(place, np.array([shape]), centre)[0, 0] == pytest.approx(at, abs=0.01)


def test_there_and_back_is_the_same_place_for_slices_of_several_sizes_and_nan_stays() -> None:
    places = np.random.default_rng(0).random((len(SHAPES), 5, 2))
    places[1, 2] = np.nan
    sizes = np.array(SHAPES)
    there = in_view(places, sizes, 0.45)
    assert np.isnan(there[1, 2]).all() and np.isnan(there).sum() == 2
    np.testing.assert_allclose(in_slice(there, sizes, 0.45), places, rtol=1e-12)


def test_the_whole_square_slice_is_its_own_view_and_its_middle_half_is_twice_as_large() -> None:
    place, size = np.array([[[0.25, 0.75]]]), np.array([[64, 64]])
    assert np.array_equal(in_view(place, size, 1.0), place)
    assert in_view(place, size, 0.5).tolist() == [[[0.0, 1.0]]]
    assert in_view(np.array([[[0.1, 0.5]]]), size, 0.5)[0, 0].tolist() == pytest.approx([-0.3, 0.5])  # outside it

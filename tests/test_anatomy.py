"""The anatomical clean-up: what is out of order is put right, what is in order stays, and nothing else comes out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cspine.localization.anatomy import MOST_AT_ONCE, in_order, order_violations

SURE, UNSURE = 0.9, 0.1


def stack(*slices: str) -> NDArray[np.int8]:
    """(slices, 7) of texts that name what each slice shows: "", "1", "12" ..."""
    return np.array([[str(level) in shown for level in range(1, 8)] for shown in slices], np.int8)


def probabilities(shown: NDArray[np.int8]) -> NDArray[np.float64]:
    return np.where(shown > 0, SURE, UNSURE)


NECK = ("", "1", "1", "12", "2", "2", "23", "3", "34", "4", "", "5", "56", "567", "7", "7", "", "")


def test_a_neck_in_order_stays_as_it_is_with_its_gaps_and_overlaps() -> None:
    neck = stack(*NECK)
    assert order_violations(neck) == 0
    assert np.array_equal(in_order(probabilities(neck)), neck)


@pytest.mark.parametrize("part", [slice(4, 9), slice(0, 4), slice(8, None), slice(5, 6)])
def test_a_scan_may_begin_and_end_anywhere(part: slice) -> None:
    neck = stack(*NECK)[part]
    assert np.array_equal(in_order(probabilities(neck)), neck)


def test_a_stray_island_is_removed() -> None:
    neck = stack(*NECK)
    stray = neck.copy()
    stray[14, 1] = 1  # C2 in a slice of C7
    assert order_violations(stray) == 2  # a second run of C2, which then ends below C3
    assert np.array_equal(in_order(probabilities(stray)), neck)


def test_a_hole_in_a_run_is_filled() -> None:
    neck = stack("3", "3", "3", "3", "4")
    hole = stack("3", "3", "", "3", "4")
    assert order_violations(hole) == 1
    assert np.array_equal(in_order(probabilities(hole)), neck)


def test_a_swapped_pair_is_put_right() -> None:
    swapped = stack("3", "3", "4", "3", "4", "4", "5", "5")
    assert order_violations(swapped) == 2  # two runs of each; C4 begins after C3 and ends after it
    assert np.array_equal(in_order(probabilities(swapped))[[0, 1, 4, 5, 6, 7]], stack("3", "3", "4", "4", "5", "5"))
    assert order_violations(in_order(probabilities(swapped))) == 0


def test_levels_from_the_feet_to_the_head_are_violations_that_the_clean_up_ends() -> None:
    reversed_neck = stack("5", "5", "4", "4", "3", "3")
    assert order_violations(reversed_neck) == 2
    assert order_violations(in_order(probabilities(reversed_neck))) == 0


def test_a_level_is_not_skipped_between_two_that_are_shown() -> None:
    skipped = stack("2", "2", "2", "4", "4", "4")
    assert in_order(probabilities(skipped))[:, 2].any()


def test_confidence_decides_not_the_number_of_slices() -> None:
    presence = np.full((4, 7), 0.01)
    presence[:, 3] = 0.99
    presence[2, :] = [0.01, 0.99, 0.01, 0.4, 0.01, 0.01, 0.01]  # a sure C2 amid surer slices of C4
    assert in_order(presence).tolist() == stack("4", "4", "4", "4").tolist()


def test_no_slice_of_a_study_gives_an_empty_answer() -> None:
    assert in_order(np.zeros((0, 7))).shape == (0, 7) and order_violations(np.zeros((0, 7), np.int8)) == 0


presences = st.lists(st.lists(st.floats(0, 1, width=32), min_size=7, max_size=7), max_size=24)


@given(presences)
@settings(max_examples=150, deadline=None)
def test_whatever_is_said_comes_out_in_order_and_a_second_time_unchanged(presence: list[list[float]]) -> None:
    shown = in_order(np.array(presence).reshape(-1, 7))
    assert order_violations(shown) == 0
    assert (shown.sum(axis=1) <= MOST_AT_ONCE).all()
    levels = np.flatnonzero(shown.any(axis=0))
    assert not len(levels) or len(levels) == levels[-1] - levels[0] + 1  # none left out
    assert np.array_equal(in_order(shown.astype(np.float64)), shown)


def neck_of(starts: list[int], overlap: list[int]) -> NDArray[np.int8]:
    shown = np.zeros((sum(starts) + 8, 7), np.int8)
    begin = 0
    for level, (length, more) in enumerate(zip(starts, overlap, strict=True)):
        shown[begin : begin + length + more, level] = 1
        begin += length
    return shown


@given(st.lists(st.integers(2, 6), min_size=7, max_size=7), st.lists(st.integers(0, 1), min_size=7, max_size=7))
@settings(max_examples=60, deadline=None)
def test_every_neck_in_order_stays_as_it_is(lengths: list[int], overlap: list[int]) -> None:
    neck = neck_of(lengths, overlap)
    assert order_violations(neck) == 0
    assert np.array_equal(in_order(neck.astype(np.float64)), neck)

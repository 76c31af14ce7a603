"""Which vertebrae a box means: by what is seen, by the order of runs, and with no box and no vertebra lost."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from numpy.typing import ArrayLike

from cspine import box_levels
from cspine.box_evidence import FAR, LEAST, NEAR, boxes_in_shares, nearness, predicted_rows, shown, strengths
from cspine.box_levels import BACK, MISSED, STAY, TOGETHER, Floats, level_probabilities, sets_of, transitions
from cspine.errors import CspineError
from cspine.studies import UID, VERTEBRAE
from localization_tables import localization_table
from small_cohort import slices_table, studies_table, study

SLICES = slices_table(studies_table(study("one", "C2 C3", boxed=True)))


def probabilities(strength: ArrayLike, levels: list[int], z: list[int] | None = None, due: ArrayLike = True) -> Floats:
    given = np.asarray(strength, dtype=np.float64)
    places = np.arange(len(given)) if z is None else np.array(z)
    return level_probabilities(given, places, np.array(levels), np.broadcast_to(due, len(levels)))


def test_a_study_of_one_vertebra_is_sure_of_it() -> None:
    assert (probabilities([[0.02], [0.9]], [4]) == 1).all()


def test_the_vertebra_that_is_seen_is_meant() -> None:
    found = probabilities([[1, 0.02]] * 4 + [[0.02, 1]] * 4, [2, 5])
    assert (found[:4, 0] > 0.95).all() and (found[4:, 1] > 0.95).all()


def test_every_slice_means_something_also_where_nothing_is_seen() -> None:
    found = probabilities(np.full((6, 3), 0.02), [1, 3, 6])
    assert (found.sum(axis=1) >= 1 - 1e-9).all() and (found <= 1).all()


def test_without_anything_seen_the_runs_follow_the_spine_and_each_vertebra_has_its_own() -> None:
    found = probabilities(np.ones((12, 2)), [0, 5], z=[*range(6), *range(20, 26)])
    assert found[0, 0] > 0.9 and found[-1, 1] > 0.9
    assert (np.diff(found[:, 1]) > -1e-9).all()


def test_a_gap_between_boxes_is_where_the_vertebra_changes() -> None:
    apart = probabilities(np.ones((6, 2)), [0, 5], z=[0, 1, 2, 10, 11, 12])[:, 1]
    together = probabilities(np.ones((6, 2)), [0, 5])[:, 1]
    assert apart[3] - apart[2] > 2 * (together[3] - together[2])


def test_two_neighbours_that_are_seen_may_both_be_meant_and_two_that_are_none_may_not() -> None:
    assert {tuple(row) for row in sets_of(np.array([1, 2, 5])).members} == {
        (True, False, False), (False, True, False), (False, False, True), (True, True, False),
    }  # fmt: skip
    both = probabilities([[1, 1]], [3, 4], due=False)
    assert both[0] == pytest.approx((1 + TOGETHER) / (2 + TOGETHER))
    assert probabilities([[1, 1]], [3, 5], due=False)[0] == pytest.approx(0.5)


def test_a_fractured_vertebra_that_is_hardly_seen_gets_some_slice_and_an_unknown_one_need_not() -> None:
    strength = [[1, 0.05]] * 8
    due = probabilities(strength, [2, 5])[:, 1]
    unknown = probabilities(strength, [2, 5], due=[True, False])[:, 1]
    assert due.argmax() == 7 and due[7] > 3 * unknown[7]


def brute_force(strength: Floats, z: list[int], levels: list[int], due: list[bool]) -> Floats:
    """Every way through the slices, one by one."""
    sets = sets_of(np.array(levels))
    total, found = 0.0, np.zeros(strength.shape)
    for way in product(range(len(sets.members)), repeat=len(strength)):
        weight = 1.0
        for at, state in enumerate(way):
            members = sets.members[state]
            weight *= strength[at, members].prod() * TOGETHER ** (members.sum() - 1)
            weight *= transitions(sets, z[at] - z[at - 1])[way[at - 1], state] if at else 1
        weight *= MISSED ** (np.array(due) & ~sets.members[list(way)].any(axis=0)).sum()
        total += weight
        found += weight * sets.members[list(way)]
    return found / total


@pytest.mark.parametrize("due", [[True, True, True], [True, False, True]])
def test_forward_and_backward_are_the_sum_over_every_way(due: list[bool]) -> None:
    strength = np.random.default_rng(1).uniform(0.02, 1, (4, 3))
    z, levels = [3, 4, 9, 10], [1, 2, 5]
    np.testing.assert_allclose(probabilities(strength, levels, z, due), brute_force(strength, z, levels, due))


def test_a_step_stays_or_goes_towards_the_feet_and_seldom_back() -> None:
    sets = sets_of(np.array([1, 4]))
    step = transitions(sets, 1)
    assert step[0, 0] == pytest.approx(STAY) and transitions(sets, 3)[0, 0] == pytest.approx(STAY**3)
    assert step[0, 1] == pytest.approx(1 - STAY) and step[1, 0] == pytest.approx(BACK * step[0, 1])
    three = transitions(sets_of(np.array([0, 2, 4])), 1)
    assert three[1, 0] == pytest.approx(BACK * three[1, 2])


def test_seven_fractured_vertebrae_in_the_longest_run_of_the_real_data_are_no_trouble() -> None:
    strength = np.full((167, 7), 0.02)
    for level in range(7):
        strength[24 * level : 24 * level + 24, level] = 0.9
    found = probabilities(strength, list(range(7)))
    assert np.isfinite(found).all() and (found.argmax(axis=1)[::24] == np.arange(7)).all()


def test_the_order_of_the_numbers_is_as_documented() -> None:
    assert 0 < box_levels.MISSED < box_levels.TOGETHER < box_levels.STAY < 1


# What speaks for a vertebra


def test_a_vertebra_is_never_ruled_out_and_a_neighbour_of_one_that_is_seen_is_likelier() -> None:
    rows = localization_table(SLICES[:1], [0, 0, 1, 0, 0, 0, 0.5])
    assert shown(rows)[0] == pytest.approx([LEAST, NEAR, 1, NEAR, LEAST, NEAR / 2, 0.5])


def test_more_of_a_vertebra_speaks_for_it_and_an_unknown_ratio_says_nothing() -> None:
    given = localization_table(SLICES[:1], 1.0, ratio_C2=0.9, ratio_C3=0.1)
    found = strengths(given, [np.array([[0, 0, 1, 1.0]])])[0]
    assert found[1] > 3 * found[2] and found[0] == 1


def test_the_nearer_vertebra_is_likelier_and_of_several_boxes_the_nearest_counts() -> None:
    middles = {"middle_C2_x": 0.5, "middle_C2_y": 0.45, "middle_C3_x": 0.5, "middle_C3_y": 0.9}
    rows = localization_table(SLICES[:1], 1.0, **middles)
    one, two = np.array([[0.4, 0.4, 0.6, 0.5]]), np.array([[0.4, 0.4, 0.6, 0.5], [0.4, 0.8, 0.6, 0.95]])
    assert nearness(rows, [one])[0, :3] == pytest.approx([1, 1, FAR], abs=0.01)
    assert nearness(rows, [two])[0, :3] == pytest.approx([1, 1, 1])


def test_distance_counts_in_sizes_of_the_spine() -> None:
    middle = {"middle_C2_x": 0.5, "middle_C2_y": 0.7}
    small, large = ({"box_x0": 0.0, "box_x1": size, "box_y0": 0.0, "box_y1": size} for size in (0.2, 0.8))
    box = [np.array([[0.4, 0.4, 0.6, 0.6]])]
    near, far = (nearness(localization_table(SLICES[:1], 1.0, **middle, **s), box)[0, 1] for s in (large, small))
    assert far < 0.7 < near


def test_boxes_are_shares_of_their_own_slices_size() -> None:
    sized = SLICES.assign(rows=200, columns=400)
    boxes = pd.DataFrame(
        {UID: ["one"], "slice_number": [11], "x": [100.0], "y": [50.0], "width": [40.0], "height": [20.0]}
    )
    found = boxes_in_shares(boxes, sized)
    assert found.iloc[0, 2:].tolist() == pytest.approx([0.25, 0.25, 0.35, 0.35])


def test_only_predictions_of_training_studies_count_and_a_boxed_slice_without_one_is_an_error() -> None:
    predicted = localization_table(SLICES, 0.3)
    other = localization_table(SLICES, 1.0)
    table = pd.concat([predicted, other.assign(source="mask"), other.assign(cohort="test")], ignore_index=True)
    found = predicted_rows(table, SLICES[[UID, "z_index"]][::-1])
    assert list(found["z_index"]) == [3, 2, 1, 0] and (found[[f"present_{v}" for v in VERTEBRAE]] == 0.3).all(axis=None)
    with pytest.raises(CspineError, match="no row `predicted` for slice 3 of study one"):
        predicted_rows(table[table["z_index"] < 3], SLICES[[UID, "z_index"]])

"""The plan of the phantom: counts that are exact at every size, and the real set's at the real size."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from cspine.phantom.draws import apportion, pick
from cspine.phantom.fracture_draws import HOW_MANY, REAL_FRACTURES
from cspine.phantom.plans import PhantomConfig, StudyPlan, plan_studies, uids_without_folder
from cspine.phantom.storage import EXPLICIT, FORMATS, IMPLICIT, THICKNESSES
from cspine.studies import VERTEBRAE

DEMO = PhantomConfig()
SMOKE = replace(DEMO, studies=24, test_studies=5, segmented=2)
REAL = replace(
    DEMO,
    studies=2019,
    fractured_share=961 / 2019,
    boxed_share=235 / 961,
    segmented=87,
    reversed_share=197 / 2019,
)


def _training(config: PhantomConfig) -> list[StudyPlan]:
    return [p for p in plan_studies(config) if p.cohort == "train"]


def _levels(plans: list[StudyPlan]) -> list[int]:
    counts = Counter(v for p in plans for v in p.fractured)
    return [counts[v] for v in VERTEBRAE]


def test_at_the_real_size_the_fractures_are_the_real_ones() -> None:
    plans = _training(REAL)
    assert _levels(plans) == list(REAL_FRACTURES) == [146, 285, 73, 108, 162, 277, 393]
    how_many = Counter(len(p.fractured) for p in plans)
    assert how_many == {0: 1058, 1: 623, 2: 239, 3: 64, 4: 26, 5: 7, 6: 2}


def test_at_the_real_size_boxes_masks_and_directions_are_the_real_ones() -> None:
    plans = _training(REAL)
    boxed = [p for p in plans if p.boxed]
    assert len(boxed) == 235 and sum(p.box_gap for p in plans) == 108
    assert sum(len(p.fractured) > 1 for p in boxed) == 132 and all(p.fractured for p in boxed)
    masks = [p for p in plans if p.segmented]
    assert Counter((p.boxed, bool(p.fractured)) for p in masks) == {(True, True): 40, (False, False): 47}
    backwards = [p for p in plans if p.reversed]
    assert len(backwards) == 197 and any(p.boxed for p in backwards) and any(p.segmented for p in backwards)


@pytest.mark.parametrize("fractured", [5, 11, 38, 163, 500])
def test_counts_of_fractures_are_exact_at_every_size(fractured: int) -> None:
    plans = _training(replace(DEMO, studies=fractured, segmented=0, fractured_share=1.0))
    sizes = Counter(len(p.fractured) for p in plans)
    assert [sizes[n] for n in range(1, 7)] == apportion(fractured, HOW_MANY)
    expected = np.array(apportion(sum(len(p.fractured) for p in plans), REAL_FRACTURES))
    found = np.array(_levels(plans))
    assert found.sum() == expected.sum() and found.min() >= 1
    assert (found == expected).all() if expected.min() else np.abs(found - expected).max() <= 2


@pytest.mark.parametrize("seed", range(20))
def test_no_seed_breaks_a_vertebra_twice(seed: int) -> None:
    for plan in plan_studies(replace(SMOKE, seed=seed, studies=30, fractured_share=1.0)):
        assert list(plan.fractured) == sorted(set(plan.fractured))


def test_vertebrae_that_break_together_are_mostly_neighbours() -> None:
    pairs = Counter(p.fractured for p in _training(REAL) if len(p.fractured) == 2)
    side_by_side = sum(n for (one, other), n in pairs.items() if int(other[1]) - int(one[1]) == 1)
    assert 0.75 < side_by_side / pairs.total() < 1
    assert {pair for pair, _ in pairs.most_common(3)} == {("C6", "C7"), ("C1", "C2"), ("C5", "C6")}


def test_shares_are_met_exactly_at_demo_size() -> None:
    train, test = _training(DEMO), [p for p in plan_studies(DEMO) if p.cohort == "test"]
    assert Counter(len(p.fractured) for p in train) == {0: 42, 1: 25, 2: 9, 3: 3, 4: 1}
    assert _levels(train) == apportion(56, REAL_FRACTURES)
    boxed, masks = [p for p in train if p.boxed], [p for p in train if p.segmented]
    assert (len(boxed), sum(p.box_gap for p in boxed), sum(len(p.fractured) > 1 for p in boxed)) == (19, 9, 11)
    assert (len(masks), sum(p.boxed for p in masks), sum(p.mask_strays for p in masks)) == (6, 3, 3)
    assert sorted(p.mask_thoracic for p in masks) == [0, 0, 1, 1, 2, 2]
    for plans, backwards, packed, large, holes in ((train, 8, 16, 4, 4), (test, 3, 6, 2, 2)):
        assert sum(p.reversed for p in plans) == backwards and sum(p.compressed for p in plans) == packed
        assert sum(p.pixels == 240 for p in plans) == large and {p.pixels for p in plans} == {160, 240}
        assert sum(p.missing_file for p in plans) == holes and max(p.first_number for p in plans) > 1
    assert sum(p.starts_below > 0 for p in train) == sum(p.mixed_sizes for p in train) == 1
    assert sum(not p.asked for p in test) == 1 and all(p.asked for p in train)
    assert not any(p.boxed or p.segmented or p.starts_below or p.mixed_sizes for p in test)


@pytest.mark.parametrize("config", [DEMO, REAL], ids=["demo", "real"])
def test_pixel_formats_are_dealt_alike_to_compressed_and_other_files(config: PhantomConfig) -> None:
    plans = _training(config)
    for packed in (True, False):
        group = [p for p in plans if p.compressed == packed]
        counts = Counter(p.stored for p in group)
        assert [counts[f] for f in FORMATS] == apportion(len(group), list(FORMATS.values())) and len(counts) == 6
    assert {EXPLICIT, IMPLICIT} < {p.syntax for p in plans}
    assert {p.thickness for p in plans} == set(THICKNESSES) and len(THICKNESSES) == 11


def test_rare_oddities_spare_boxed_and_segmented_studies() -> None:
    for plan in plan_studies(DEMO):
        if plan.starts_below or plan.mixed_sizes:
            assert not (plan.fractured or plan.boxed or plan.segmented or plan.missing_file)
            assert not (plan.starts_below and plan.mixed_sizes)


def test_a_small_set_has_no_oddity_that_would_weigh_too_much_in_it() -> None:
    plans = plan_studies(SMOKE)
    assert not any(p.starts_below or p.mixed_sizes for p in plans) and all(p.asked for p in plans)
    assert not any(p.segmented and p.missing_file for p in plans)
    assert len(uids_without_folder(SMOKE)) == 1 and len(uids_without_folder(DEMO)) == 3


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan_studies(SMOKE) == plan_studies(SMOKE)
    other = plan_studies(replace(SMOKE, seed=4))
    assert {p.uid for p in other} != {p.uid for p in plan_studies(SMOKE)}
    assert _levels(other) != [0] * 7


def test_large_studies_can_be_turned_off() -> None:
    assert {p.pixels for p in plan_studies(replace(DEMO, large_share=0.0))} == {160}


def test_apportioned_counts_add_up() -> None:
    assert apportion(10, (0.65, 0.25, 0.10)) == [7, 2, 1] and sum(apportion(7, (1, 1, 1))) == 7


def test_a_pick_takes_one_of_each_named_group_first() -> None:
    for seed in range(10):
        chosen = pick(np.random.default_rng(seed), range(100), 3, one_of=[{7}, {8, 9}, {500}])
        assert 7 in chosen and chosen & {8, 9} and len(chosen) == 3
    assert pick(np.random.default_rng(0), [4, 5], 9) == {4, 5}

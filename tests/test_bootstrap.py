"""The bootstrap against plain loops over the drawn studies, its figures against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cspine import bootstrap
from cspine.bootstrap import (
    Measured,
    auc,
    average,
    interval,
    mean,
    measured_auc,
    multiplicities,
    ratio,
    ratio_curve,
    resample_counts,
    resampled_aucs,
    resamples,
)
from cspine.metric import NORMALISATIONS, exam_losses, exam_weights, weighted_log_loss
from small_cohort import random_exams


@pytest.mark.parametrize("levels", [3, 1000])  # with many ties, with hardly any
def test_the_auc_agrees_with_scikit_learn(levels: int) -> None:
    draw = np.random.default_rng(4)
    truth = draw.integers(0, 2, 200)
    score = np.round(draw.random(200) + 0.3 * truth, 3) // (1 / levels)
    assert auc(truth, score) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)


def test_the_auc_of_one_class_is_not_a_number() -> None:
    assert np.isnan(auc([1, 1], [0.1, 0.2]))


def test_resampled_aucs_are_the_aucs_of_the_resamples() -> None:
    draw = np.random.default_rng(5)
    truth, score = draw.integers(0, 2, 12), draw.integers(0, 6, 12)
    indices = resamples(12, 50, seed=0)
    fast = resampled_aucs(truth, score, multiplicities(indices))
    slow = [auc(truth[i], score[i]) for i in indices]
    np.testing.assert_allclose(fast, slow, atol=1e-12)


def test_a_drawn_study_brings_all_its_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(6)
    study = np.sort(draw.integers(0, 10, 60))
    truth, score = draw.integers(0, 2, 60), draw.integers(0, 9, 60)
    indices = resamples(10, 40, seed=0)
    fast = resampled_aucs(truth, score, multiplicities(indices), study)
    rows = [np.concatenate([np.flatnonzero(study == s) for s in drawn]) for drawn in indices]
    np.testing.assert_allclose(fast, [auc(truth[r], score[r]) for r in rows], atol=1e-12)
    monkeypatch.setattr(bootstrap, "AT_ONCE", 150)  # two draws at a time
    np.testing.assert_array_equal(resampled_aucs(truth, score, multiplicities(indices), study), fast)


def test_resampled_means_are_the_losses_of_the_resamples() -> None:
    truth, probability = random_exams(15, seed=6)
    indices = resamples(15, 30, seed=1)
    for form in NORMALISATIONS:
        found = mean(exam_losses(truth, probability), multiplicities(indices), exam_weights(truth, form))
        slow = [weighted_log_loss(truth[i], probability[i], form) for i in indices]
        np.testing.assert_allclose(found.draws, slow, atol=1e-12)
        assert found.value == pytest.approx(weighted_log_loss(truth, probability, form))


def test_a_ratio_is_of_sums_and_none_where_nothing_is_counted() -> None:
    found, fractured = np.array([1.0, 0.0, 2.0]), np.array([2.0, 0.0, 2.0])
    counts = np.array([[1.0, 1.0, 1.0], [0.0, 3.0, 0.0], [2.0, 0.0, 1.0]])
    one = ratio(found, fractured, counts)
    assert one.value == 3 / 4
    np.testing.assert_array_equal(one.draws, [3 / 4, np.nan, 4 / 6])
    both = ratio_curve(np.column_stack([found, fractured]), np.column_stack([fractured, fractured]), counts)
    np.testing.assert_array_equal(both.values, [3 / 4, 1])
    np.testing.assert_array_equal(both.draws[:, 0], one.draws)
    assert both.bounds()[0][0] == one.estimate().low


def test_a_difference_is_of_the_same_studies_in_every_resample() -> None:
    first, second = np.random.default_rng(8).random((2, 30))
    indices = resamples(30, 60, seed=4)
    counts = multiplicities(indices)
    paired = mean(first, counts).minus(mean(second, counts))
    assert paired.value == pytest.approx(first.mean() - second.mean())
    np.testing.assert_allclose(paired.draws, [first[i].mean() - second[i].mean() for i in indices], atol=1e-12)


def test_a_paired_difference_is_narrower_than_two_intervals() -> None:
    draw = np.random.default_rng(7)
    hard = draw.random(60)
    counts = resample_counts(60, 400, seed=2)
    paired = mean(hard + 0.05 + 0.01 * draw.random(60), counts).minus(mean(hard, counts)).estimate()
    alone = mean(hard, counts).estimate()
    assert paired.low > 0
    assert paired.high - paired.low < 0.1 * (alone.high - alone.low)


def test_a_number_is_taken_from_every_resample_alike() -> None:
    found = Measured(0.7, np.array([0.6, 0.8])).minus(0.5)
    assert found.value == pytest.approx(0.2)
    np.testing.assert_allclose(found.draws, [0.1, 0.3])


def test_the_average_of_no_figures_is_no_number_on_any_resample() -> None:
    assert np.isnan(average([], 5).value) and np.isnan(average([], 5).draws).all()
    both = average([Measured(1.0, np.array([1.0, 2.0])), Measured(3.0, np.array([5.0, 2.0]))], 2)
    assert both.value == 2 and both.draws.tolist() == [3, 2]


def test_resamples_repeat_for_a_seed_and_change_with_it() -> None:
    np.testing.assert_array_equal(resamples(9, 5, 1), resamples(9, 5, 1))
    assert (resamples(9, 5, 1) != resamples(9, 5, 2)).any()


def test_resamples_with_one_class_do_not_spoil_the_interval() -> None:
    counts = resample_counts(4, 200, seed=3)
    found = measured_auc([1, 0, 0, 0], [0.9, 0.1, 0.2, 0.3], counts)
    assert np.isnan(found.draws).any()
    estimate = found.estimate()
    assert (estimate.value, estimate.low, estimate.high) == (1, 1, 1)
    assert np.isnan(interval([np.nan])).all()

"""Every figure of the error analysis against numbers worked out by hand, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from cspine.analysis.cells import Cells, Whole, study_levels
from cspine.analysis.confusion import THRESHOLDS, confusion_rows, figures_at, parts_of, tallies, threshold_table
from cspine.analysis.curves import PLACES, _curves, curve_table
from cspine.analysis.reliability import bins_of, calibration_row, reliability_table
from cspine.bootstrap import multiplicities, resample_counts, resamples
from cspine.bundles.points import balanced_point

NAN = float("nan")
RNG = np.random.default_rng(3)


def cells(truth: ArrayLike, probability: ArrayLike, study: Whole | None = None, column: Whole | None = None) -> Cells:
    """Cells of one level with the chosen threshold 0.3; each of its own study unless said otherwise."""
    known, said = np.asarray(truth, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    studies = np.arange(len(known)) if study is None else study
    columns = np.ones(len(known), dtype=np.int64) if column is None else column
    return Cells("C1", known, said, studies, columns, np.full(len(known), 0.3), int(studies.max(initial=-1)) + 1)


def many(count: int = 300, studies: int = 40, levels: int = 20) -> Cells:
    """Cells with ties, several to a study, better than chance."""
    truth = (RNG.random(count) < 0.3).astype(float)
    probability = np.clip(np.round((RNG.random(count) + 0.4 * truth) * levels) / levels / 1.4, 0, 1)
    return cells(truth, probability, RNG.integers(0, studies, count), RNG.integers(1, 8, count))


HAND = cells([1, 1, 1, 0, 0, 0, 0, 0], [0.9, 0.5, 0.2, 0.8, 0.4, 0.3, 0.1, 0.0])
COUNTS = resample_counts(8, 50, seed=0)


def test_the_counts_and_rates_are_those_of_the_hand_worked_vector() -> None:
    fixed, select = confusion_rows(HAND, COUNTS)
    assert [fixed[k] for k in ("rule", "threshold", "tn", "fp", "fn", "tp")] == ["fixed", 0.5, 4, 1, 1, 2]
    assert [select[k] for k in ("rule", "threshold", "tn", "fp", "fn", "tp")] == [
        "select",
        pytest.approx(0.3),
        2,
        3,
        1,
        2,
    ]
    wanted = {"recall": 2 / 3, "specificity": 4 / 5, "precision": 2 / 3, "f1": 2 / 3, "accuracy": 6 / 8}
    wanted |= {"accuracy_all_negative": 5 / 8, "false_positive_rate": 1 / 5, "false_negative_rate": 1 / 3}
    assert {name: fixed[name] for name in wanted} == pytest.approx(wanted)


def test_a_rate_without_anything_to_count_is_no_number() -> None:
    whole = cells([0, 0, 0], [0.1, 0.2, 0.3])
    found = figures_at(whole, 0.5, resample_counts(3, 20, 0))
    assert np.isnan([found[name].value for name in ("recall", "precision", "f1", "false_negative_rate")]).all()
    assert found["specificity"].value == found["accuracy"].value == found["accuracy_all_negative"].value == 1


def test_rates_agree_with_scikit_learn_on_the_cells_of_every_resample() -> None:
    some = many()
    indices = resamples(some.studies, 15, seed=1)
    found = figures_at(some, 0.5, multiplicities(indices))
    assert found["f1"].value == pytest.approx(f1_score(some.truth, some.probability >= 0.5))
    for draw, drawn in enumerate(indices):
        rows = np.concatenate([np.flatnonzero(some.study == s) for s in drawn])
        tn, fp, fn, tp = confusion_matrix(some.truth[rows], some.probability[rows] >= 0.5).ravel()
        values = {name: above / below for name, (above, below) in parts_of(tn, fp, fn, tp).items()}
        assert {name: found[name].draws[draw] for name in values} == pytest.approx(values)


def test_the_table_of_thresholds_says_at_each_what_the_threshold_itself_says() -> None:
    some = many(levels=100)  # probabilities that lie on the thresholds, too
    counts = resample_counts(some.studies, 40, 2)
    table = threshold_table(some, counts)
    assert len(table) == len(THRESHOLDS) == 101
    for place in range(0, 101, 9):
        found = figures_at(some, THRESHOLDS[place], counts)
        for name in ("accuracy", "f1"):
            estimate = found[name].estimate()
            wanted = [estimate.value, estimate.low, estimate.high]
            row = table[[name, f"{name}_low", f"{name}_high"]].to_numpy()[place]
            assert row.tolist() == pytest.approx(wanted, nan_ok=True)
    assert table["accuracy_all_negative"].iloc[0] == pytest.approx(1 - some.truth.mean())


def test_the_curves_and_areas_are_scikit_learns() -> None:
    some = many()
    table, areas = curve_table(some, resample_counts(some.studies, 10, 0))
    assert areas["auc"] == pytest.approx(roc_auc_score(some.truth, some.probability))
    assert areas["average_precision"] == pytest.approx(average_precision_score(some.truth, some.probability))
    assert areas["prevalence"] == pytest.approx(some.truth.mean())
    missed, recall, _ = roc_curve(some.truth, some.probability, drop_intermediate=False)
    own = table[table["curve"] == "roc"]
    np.testing.assert_allclose(own["y"], np.interp(PLACES, missed, recall))
    precision, recall, _ = precision_recall_curve(some.truth, some.probability)
    reached = [precision[np.flatnonzero(recall >= place - 1e-12)[-1]] for place in PLACES[1:]]
    np.testing.assert_allclose(table.loc[table["curve"] == "precision_recall", "y"].to_numpy()[1:], reached)


def test_the_band_of_a_curve_is_of_the_curves_of_the_resamples() -> None:
    some = many(60, studies=12)
    indices = resamples(12, 25, seed=5)
    roc, _, area = _curves(some, multiplicities(indices))
    for draw, drawn in enumerate(indices):
        rows = np.concatenate([np.flatnonzero(some.study == s) for s in drawn])
        missed, recall, _ = roc_curve(some.truth[rows], some.probability[rows], drop_intermediate=False)
        np.testing.assert_allclose(roc.draws[draw], np.interp(PLACES, missed, recall), atol=1e-12)
        assert area.draws[draw] == pytest.approx(average_precision_score(some.truth[rows], some.probability[rows]))


def test_the_average_precision_of_a_hand_worked_vector() -> None:
    # in falling order 1 0 1 0 0: precision 1 at recall 1/2, 2/3 at recall 1
    _, _, area = _curves(cells([1, 0, 1, 0, 0], [0.9, 0.8, 0.7, 0.2, 0.1]), resample_counts(5, 4, 0))
    assert area.value == pytest.approx((1 + 2 / 3) / 2)


def test_one_class_has_no_curve_and_no_area() -> None:
    for truth in ([0, 0, 0], []):
        table, areas = curve_table(cells(truth, np.full(len(truth), 0.3)), resample_counts(3, 5, 0)[:, : len(truth)])
        assert table["y"].isna().all() and np.isnan([areas["auc"], areas["average_precision"]]).all()
        assert not areas["measurable"]


def test_the_brier_score_stands_beside_the_best_constants() -> None:
    row = calibration_row(cells([1, 0, 0, 0], [0.8, 0.4, 0.0, 0.2]), resample_counts(4, 30, 0))
    assert row["brier"] == pytest.approx((0.04 + 0.16 + 0 + 0.04) / 4)
    assert row["constant"] == pytest.approx(0.25 * 0.75)
    assert row["difference"] == pytest.approx(0.06 - 0.1875)
    some = many()
    assert calibration_row(some, resample_counts(some.studies, 5, 0))["brier"] == pytest.approx(
        brier_score_loss(some.truth, some.probability)
    )


def test_no_constants_of_the_labels_have_a_lower_brier_score() -> None:
    some = many()
    best = calibration_row(some, resample_counts(some.studies, 5, 0))["constant"]
    shares = np.array([some.truth[some.column == c].mean() if (some.column == c).any() else 0 for c in range(8)])
    assert np.mean((shares[some.column] - some.truth) ** 2) == pytest.approx(best)
    for step in (-0.02, 0.02):
        assert np.mean((shares[some.column] + step - some.truth) ** 2) > best


def test_bins_hold_equal_counts_and_equal_probabilities_share_one() -> None:
    sizes = np.bincount(bins_of(RNG.random(200)))
    assert sizes.tolist() == [20] * 10
    assert len(np.bincount(bins_of(RNG.random(29)))) == 2
    tied = np.array([0.01] * 70 + [0.5] * 30)
    assert len({*bins_of(tied)[:70]}) == len({*bins_of(tied)[70:]}) == 1
    assert bins_of(np.zeros(0)).size == 0


def test_the_reliability_table_and_its_error_are_those_of_the_hand_worked_bins() -> None:
    probability = np.concatenate([np.full(10, 0.1), np.full(10, 0.6)])
    truth = np.concatenate([np.eye(10)[0] + np.eye(10)[1], np.ones(9), [0]])  # 2 of 10, 9 of 10
    some = cells(truth, probability)
    counts = resample_counts(20, 200, 0)
    table = reliability_table(some, counts)
    assert table["cells"].tolist() == [10, 10]
    np.testing.assert_allclose(table[["probability", "fractured"]], [[0.1, 0.2], [0.6, 0.9]])
    assert (table["fractured_low"] <= table["fractured"]).all() and (
        table["fractured"] <= table["fractured_high"]
    ).all()
    assert calibration_row(some, counts)["error"] == pytest.approx((0.1 + 0.3) / 2)


def test_a_label_nobody_knows_counts_at_no_level() -> None:
    truth = np.tile([1, 1, 0, 0, 0, 0, 0, 0.0], (3, 1))
    truth[1, 2:4], truth[2, 0] = NAN, NAN
    levels = study_levels(truth, np.full((3, 8), 0.5), np.full(3, 0.4), np.full(3, 0.6))
    sizes = {level.level: len(level.truth) for level in levels}
    assert sizes == {"patient": 2, "vertebra": 19, "C1": 3, "C2": 2, "C3": 2, "C4": 3, "C5": 3, "C6": 3, "C7": 3}
    for level in levels:
        assert sum(tally.sum() for tally in tallies(level, level.chosen)) == sizes[level.level]
    patient, vertebra = levels[:2]
    assert tallies(patient, patient.chosen)[3].sum() == 2  # 0.5 is called at 0.4, and not at 0.6
    assert tallies(vertebra, vertebra.chosen)[3].sum() == 0


def test_the_balanced_threshold_is_the_middle_of_the_step_that_separates_most() -> None:
    truth = np.array([1.0] * 5 + [0.0] * 6 + [NAN])
    probability = np.array([0.9, 0.8, 0.7, 0.6, 0.1, 0.75, 0.4, 0.3, 0.2, 0.05, 0.0, 0.99])
    point = balanced_point(truth, probability)
    assert point.threshold == pytest.approx(0.5)  # 4 of 5 found, 1 of 6 called: no other sum is as large
    assert [point.sensitivity, point.specificity] == pytest.approx([4 / 5, 5 / 6])
    assert (point.positives, point.negatives, point.assumed) == (5, 6, "")


def test_with_too_few_of_a_class_the_threshold_is_assumed_and_says_so() -> None:
    for few, name in ((0.0, "4 not fractured"), (1.0, "4 fractured")):
        point = balanced_point(np.array([few] * 4 + [1 - few] * 9), np.linspace(0, 1, 13))
        assert point.threshold == 0.5 and point.assumed.startswith(name)

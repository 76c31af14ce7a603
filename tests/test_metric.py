"""The metric against vectors worked out elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from cspine.errors import CspineError
from cspine.metric import NORMALISATIONS, best_constant, exam_losses, exam_weights, weighted_log_loss
from small_cohort import random_exams

NOTHING = [0] * 8
A = (
    [[1, 0, 1, 0, 0, 0, 0, 0], NOTHING],
    [[0.9, 0.1, 0.8, 0.2, 0.05, 0.05, 0.1, 0.1], [0.2, 0.1, 0.1, 0.05, 0.05, 0.1, 0.1, 0.2]],
)
B = (
    [NOTHING, [1, 0, 0, 0, 0, 1, 1, 0], [1, 0, 0, 0, 0, 0, 0, 1]],
    [
        [0.3, 0.02, 0.05, 0.01, 0.01, 0.03, 0.10, 0.12],
        [0.75, 0.05, 0.10, 0.02, 0.08, 0.55, 0.40, 0.15],
        [0.60, 0.03, 0.20, 0.02, 0.04, 0.05, 0.15, 0.35],
    ],
)
C = ([[1, 1, 1, 0, 0, 0, 0, 0], NOTHING], [[1, 1, 0, 0, 0, 0, 0, 0], NOTHING])
D = (A[0], [[0.5] * 8] * 2)
VECTORS = [
    pytest.param(A, 0.140723928, 0.135342308, [0.116506637, 0.164941219], id="A"),
    pytest.param(B, 0.324465506, 0.340850484, [0.203712455, 0.325154849, 0.444529212], id="B"),
    pytest.param(C, 1.501685930, 1.866960886, [3.003371860, 0], id="C-clipped"),
    pytest.param(D, 0.693147181, 0.693147181, [0.693147181, 0.693147181], id="D-half"),
]


@pytest.mark.parametrize(("vector", "per_exam", "pooled", "exams"), VECTORS)
def test_the_metric_gives_the_reference_values(
    vector: tuple[list[list[int]], list[list[float]]], per_exam: float, pooled: float, exams: list[float]
) -> None:
    truth, probability = vector
    assert weighted_log_loss(truth, probability, "per_exam") == pytest.approx(per_exam, abs=1e-9)
    assert weighted_log_loss(truth, probability, "pooled") == pytest.approx(pooled, abs=1e-9)
    np.testing.assert_allclose(exam_losses(truth, probability), exams, atol=1e-9)


def test_the_two_normalisations_differ_where_exams_differ_in_positives() -> None:
    truth, probability = random_exams(20, seed=1)
    per_exam, pooled = (weighted_log_loss(truth, probability, form) for form in NORMALISATIONS)
    assert abs(per_exam - pooled) > 1e-4


def test_a_label_weighs_as_the_competition_says() -> None:
    np.testing.assert_array_equal(exam_weights([NOTHING, [1, 1, 0, 0, 0, 0, 0, 1]], "pooled"), [14, 23])


@pytest.mark.parametrize(
    ("truth", "probability", "message"),
    [
        ([[2] + [0] * 7], [[0.5] * 8], "truth of row 0, patient_overall: found 2"),
        ([NOTHING], [[0.5] * 7 + [1.5]], "probability of row 0, C7: found 1.5"),
        ([NOTHING], [[0.5, float("nan")] + [0.5] * 6], "probability of row 0, C1: found nan"),
        ([NOTHING], [[0.5] * 7], "shape"),
        ([[0] * 7], [[0.5] * 7], "shape"),
        (np.zeros((0, 8)), np.zeros((0, 8)), "no study"),
    ],
)
def test_a_wrong_value_is_refused_by_row_and_label(truth: object, probability: object, message: str) -> None:
    with pytest.raises(CspineError, match=message):
        weighted_log_loss(truth, probability)  # type: ignore[arg-type]


def test_an_unknown_normalisation_is_answered_with_the_known_ones() -> None:
    with pytest.raises(CspineError, match="per_exam, pooled"):
        weighted_log_loss([NOTHING], [[0.5] * 8], "raw")


def constant_loss(truth: np.ndarray, constant: np.ndarray, form: str) -> float:
    return weighted_log_loss(truth, np.tile(constant, (len(truth), 1)), form)


@pytest.mark.parametrize("form", NORMALISATIONS)
def test_the_best_constant_is_what_an_optimiser_finds(form: str) -> None:
    truth, _ = random_exams(40, seed=2)
    found = minimize(lambda z: constant_loss(truth, 1 / (1 + np.exp(-z)), form), np.zeros(8), method="BFGS", tol=1e-9)
    np.testing.assert_allclose(1 / (1 + np.exp(-found.x)), best_constant(truth, form), atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(step=arrays(np.float64, 8, elements=st.floats(-0.01, 0.01)), form=st.sampled_from(NORMALISATIONS))
def test_every_step_away_from_the_best_constant_costs(step: np.ndarray, form: str) -> None:
    truth, _ = random_exams(40, seed=3)
    best = best_constant(truth, form)
    assert constant_loss(truth, best + step, form) >= constant_loss(truth, best, form) - 1e-12


def test_the_best_constants_of_the_two_forms_are_not_the_same() -> None:
    truth, _ = random_exams(40, seed=2)
    positives = truth.mean(axis=0)
    np.testing.assert_allclose(best_constant(truth, "pooled"), 2 * positives / (1 + positives))
    assert best_constant(truth, "per_exam")[0] < best_constant(truth, "pooled")[0] - 0.01

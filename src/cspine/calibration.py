"""Platt calibration of study probabilities: slope and intercept for the vertebrae, and for the patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cspine.metric import Floats, check_normalisation, label_weights

EDGE = 1e-6  #: probabilities are kept this far from 0 and 1 before the logit is taken
LEAST_SLOPE = 0.05  #: a calibrator may flatten a ranking, never turn it round
LEAVE_ONE_OUT_UP_TO, PARTS = 40, 10  #: beyond so many studies, ten parts say the same at a tenth of the cost


@dataclass(frozen=True)
class Line:
    """Calibrated logit = slope * logit + intercept."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, probability: Floats) -> Floats:
        """Probabilities of any shape, calibrated; a rising function."""
        return _sigmoid(self.slope * logit(probability) + self.intercept)


@dataclass(frozen=True)
class Platt:
    """The calibrator of a study's 8 labels."""

    patient: Line = Line()
    vertebrae: Line = Line()

    def __call__(self, probability: Floats) -> Floats:
        """(studies, 8) -> (studies, 8), in the order of LABELS."""
        return np.column_stack([self.patient(probability[:, :1]), self.vertebrae(probability[:, 1:])])


def fit_platt(truth: Floats, probability: Floats, normalisation: str, prior_strength: float) -> Platt:
    """Least metric loss plus ``prior_strength / 2 * ((slope - 1)^2 + intercept^2)`` for each line.

    The loss is summed over the studies with weights of mean 1 for each study, so the prior counts against
    studies. ASSUME: a strength of 1. A study has about half its weight in the vertebrae and half in the
    patient; at p(1-p) of some 0.15 a dozen of them say about as much of an intercept as the prior does, and
    hundreds overrule it.

    Args:
        truth: (studies, 8), 0, 1 or NaN (unknown, which has no weight), in the order of LABELS.
        probability: (studies, 8) uncalibrated.
        normalisation: a form of the metric, see ``cspine.metric``.
        prior_strength: above 0; also what keeps the fit finite when one class is missing.
    """
    check_normalisation(normalisation)
    weights = label_weights(truth)
    per_exam = normalisation == "per_exam"
    weights = weights / (weights.sum(axis=1, keepdims=True) if per_exam else weights.sum(axis=1).mean())
    truth = np.where(np.isnan(truth), 0.0, truth)
    return Platt(
        patient=_fit_line(truth[:, :1], probability[:, :1], weights[:, :1], prior_strength),
        vertebrae=_fit_line(truth[:, 1:], probability[:, 1:], weights[:, 1:], prior_strength),
    )


def cross_fitted(truth: Floats, probability: Floats, normalisation: str, prior_strength: float) -> Floats:
    """Each study calibrated by a fit on others, (studies, 8), for a fair comparison with no calibration."""
    studies = len(truth)
    parts = studies if studies <= LEAVE_ONE_OUT_UP_TO else PARTS
    part = np.empty(studies, dtype=np.int64)
    part[np.lexsort((np.arange(studies), truth[:, 0]))] = np.arange(studies) % parts  # each part gets both classes
    calibrated = np.empty_like(probability)
    for one in range(parts):
        held = part == one
        calibrated[held] = fit_platt(truth[~held], probability[~held], normalisation, prior_strength)(probability[held])
    return calibrated


def _fit_line(truth: Floats, probability: Floats, weight: Floats, strength: float) -> Line:
    from scipy.optimize import minimize  # a third of a second to import; who applies a fit does without

    x, y, w = logit(probability).ravel(), truth.ravel(), weight.ravel()

    def objective(line: Floats) -> tuple[float, Floats]:
        slope, intercept = line
        z = slope * x + intercept
        loss = float(w @ (np.logaddexp(0.0, z) - y * z)) + strength / 2 * ((slope - 1) ** 2 + intercept**2)
        pull = w * (_sigmoid(z) - y)
        return loss, np.array([pull @ x + strength * (slope - 1), pull.sum() + strength * intercept])

    bounds = [(LEAST_SLOPE, None), (None, None)]
    found = minimize(objective, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    return Line(float(found.x[0]), float(found.x[1]))


def logit(probability: Floats) -> Floats:
    """Log odds, of any shape; finite for 0 and 1 too."""
    inside = np.clip(probability, EDGE, 1 - EDGE)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -z)))

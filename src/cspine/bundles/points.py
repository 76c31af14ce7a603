"""From which probability on a patient, or a vertebra, is called suspicious.

ASSUME: the highest threshold at which the wanted share of the fractures of the folds' select studies is found; one for
patients, and one for all vertebrae of the suspicious patients together: a single level has too few fractures to choose
by. The error analysis has thresholds that favour neither side (``balanced_point``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cspine.metric import Floats

LEAST_POSITIVES = 5  #: with fewer a threshold is not chosen but assumed
ASSUMED = 0.5


@dataclass(frozen=True)
class Point:
    """A threshold, and what it does on the studies it was chosen on: on others it does less.

    Attributes:
        threshold: a probability of this much, or more, is suspicious.
        sensitivity: share of the fractured found; None without one.
        specificity: share of the others left alone; None without one.
        positives: fractured ones.
        negatives: others.
        assumed: why the threshold was not chosen; "" where it was.
    """

    threshold: float
    sensitivity: float | None
    specificity: float | None
    positives: int
    negatives: int
    assumed: str = ""


def point_of(truth: Floats, probability: Floats, sensitivity: float) -> Point:
    """The highest threshold that finds the share ``sensitivity`` of the fractured.

    Args:
        truth: 0 or 1; below 0 or NaN = unknown, left out.
        probability: of the same shape.
        sensitivity: above 0, up to 1.
    """
    positives, negatives = _classes(truth, probability)
    if len(positives) < LEAST_POSITIVES:
        return _point(ASSUMED, positives, negatives, assumed=_too_few(positives, "fractured"))
    return _point(float(positives[max(1, int(np.ceil(sensitivity * len(positives) - 1e-9))) - 1]), positives, negatives)


def balanced_point(truth: Floats, probability: Floats) -> Point:
    """The threshold with the most sensitivity + specificity (Youden, Cancer 1950), the highest among equals.

    Of a step between two probabilities it takes the middle, where other studies are most likely to fall on either side
    as these did.

    Args:
        truth: 0 or 1; below 0 or NaN = unknown, left out.
        probability: of the same shape.
    """
    positives, negatives = _classes(truth, probability)
    for some, name in ((positives, "fractured"), (negatives, "not fractured")):
        if len(some) < LEAST_POSITIVES:
            return _point(ASSUMED, positives, negatives, assumed=_too_few(some, name))
    tried = np.unique(np.concatenate([positives, negatives]))[::-1]
    found = np.searchsorted(-positives, -tried, side="right") / len(positives)
    called = np.searchsorted(-negatives, -tried, side="right") / len(negatives)
    best = int(np.argmax(np.round(found - called, 12)))
    below = tried[best + 1] if best + 1 < len(tried) else 0.0
    return _point(float((tried[best] + below) / 2), positives, negatives)


def _classes(truth: Floats, probability: Floats) -> tuple[Floats, Floats]:
    """Falling probabilities of the fractured and of the others, as far as they are known."""
    known = truth >= 0
    positives, negatives = (probability[known & some] for some in (truth > 0.5, truth <= 0.5))
    return np.sort(positives)[::-1], np.sort(negatives)[::-1]


def _point(threshold: float, positives: Floats, negatives: Floats, assumed: str = "") -> Point:
    found = float((positives >= threshold).mean()) if len(positives) else None
    spared = float((negatives < threshold).mean()) if len(negatives) else None
    return Point(threshold, found, spared, len(positives), len(negatives), assumed)


def _too_few(some: Floats, name: str) -> str:
    return f"{len(some)} {name} among the select studies, {LEAST_POSITIVES} needed"

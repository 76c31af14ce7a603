"""From which probability on a patient, or a vertebra, is called suspicious.

ASSUME: the highest threshold at which the wanted share of the fractures of the folds' select studies is found; one for
patients, and one for all vertebrae of the suspicious patients together: a single level has too few fractures to choose
by.
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
    known = truth >= 0
    positives = np.sort(probability[known & (truth > 0.5)])[::-1]
    negatives = probability[known & (truth <= 0.5)]
    assumed = ""
    if len(positives) < LEAST_POSITIVES:
        threshold, assumed = ASSUMED, f"{len(positives)} fractured among the select studies, {LEAST_POSITIVES} needed"
    else:
        threshold = float(positives[max(1, int(np.ceil(sensitivity * len(positives) - 1e-9))) - 1])
    found = float((positives >= threshold).mean()) if len(positives) else None
    spared = float((negatives < threshold).mean()) if len(negatives) else None
    return Point(threshold, found, spared, len(positives), len(negatives), assumed)

"""From the evidence of one study to its labels: positive slices, targets, and what each cell counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cspine.metric import Floats
from cspine.pseudo.config import PseudoConfig
from cspine.pseudo.runs import run_around_peak
from cspine.studies import UNKNOWN, VERTEBRAE

Marks = NDArray[np.bool_]  # (slices, 7) of one study


@dataclass(frozen=True)
class Marked:
    """One study's pseudo-labels; all arrays are (slices, 7).

    Attributes:
        over: positive by the rule (threshold or top).
        run: positive because the study's label asks for a run somewhere; never where ``over`` has one.
        value: 0..1, the evidence; in a run that the study's label asked for, as a share of its peak.
        target: 0..1, what is taught.
        confidence: 0..1, what a cell counts in the loss.
    """

    over: Marks
    run: Marks
    value: Floats
    target: Floats
    confidence: Floats

    @property
    def positive(self) -> Marks:
        """By either rule."""
        return self.over | self.run


def mark_study(
    evidence: Floats,
    label: NDArray[np.integer | np.bool_],
    config: PseudoConfig,
    thresholds: tuple[float, ...] | None = None,
) -> Marked:
    """Positive slices of one study (in z-order), and its targets.

    Args:
        evidence: (slices, 7), see ``evidence_of``.
        label: (7,) of train.csv: 1, 0 or UNKNOWN. An unknown vertebra is positive where the model says so, and the
            study's label neither forbids nor demands it.
        config: see PseudoConfig.
        thresholds: (7,) instead of the config's one.
    """
    least = np.array(thresholds if thresholds is not None else (float(config.threshold),) * len(VERTEBRAE))
    over = _highest(evidence, label, config.top_slices) if config.positives == "top" else evidence >= least
    if config.agree_with_study:
        over &= label != 0
    run, value = np.zeros_like(over), np.array(evidence, np.float64)
    if config.at_least_one_run:
        for vertebra in np.flatnonzero((label == 1) & ~over.any(axis=0)):
            first, last = run_around_peak(evidence[:, vertebra], config.run_fraction, config.run_slices)
            run[first:last, vertebra] = True
            # it is there, so its most probable slice shows it
            value[first:last, vertebra] /= evidence[:, vertebra].max(initial=np.finfo(float).tiny)
    if config.agree_with_study:
        value[:, label == 0] = 0.0
    target = value if config.target == "soft" else (over | run).astype(np.float64)
    return Marked(over, run, value, target, _confidence(value, target, label, config))


def _highest(evidence: Floats, label: NDArray[np.integer | np.bool_], count: int) -> Marks:
    """The ``count`` slices of most evidence of each vertebra known to be fractured; none without any evidence.

    An unknown vertebra is left to the threshold of a half: it may have no such slice at all.
    """
    order = np.argsort(-evidence, axis=0, kind="stable")[:count]
    highest = np.zeros(evidence.shape, np.bool_)
    np.put_along_axis(highest, order, True, axis=0)
    return np.where(label == UNKNOWN, evidence >= 0.5, highest & (label == 1) & (evidence > 0))


def _confidence(value: Floats, target: Floats, label: NDArray[np.integer | np.bool_], config: PseudoConfig) -> Floats:
    """1, or by how much the evidence is on the label's side: 2q - 1 of the probability q of the label, 0 at the least.

    Whole vertebrae are known from train.csv and count fully.
    """
    if config.confidence == "none":
        return np.ones_like(target)
    of_label = np.where(target >= 0.5, value, 1 - value)
    sure = (np.asarray(label) == 0) & config.agree_with_study
    return np.where(sure, 1.0, np.clip(2 * of_label - 1, 0.0, 1.0))

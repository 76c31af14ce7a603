"""Intervals by drawing studies with replacement: studies are independent observations, their slices are not.

All resamples are computed at once from how often each study was drawn, which makes a thousand of them cheap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cspine.hashing import seed_of

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value over all studies and its percentile interval over the resamples (NaN where there is none)."""

    value: float
    low: float
    high: float


def resamples(studies: int, draws: int, seed: int) -> NDArray[np.int64]:
    """Indices of the drawn studies, (draws, studies): a function of the seed and the sizes only."""
    generator = np.random.default_rng(seed_of("bootstrap", seed, studies))
    return generator.integers(0, studies, size=(draws, studies), dtype=np.int64)


def multiplicities(indices: NDArray[np.int64]) -> Floats:
    """How often each study occurs in each resample: (draws, studies) -> (draws, studies)."""
    draws, studies = indices.shape
    flat = indices + np.arange(draws)[:, None] * studies
    return np.bincount(flat.ravel(), minlength=draws * studies).reshape(draws, studies).astype(np.float64)


def interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of the finite ``values``; (NaN, NaN) when there is none."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_estimate(values: Floats, counts: Floats, weights: Floats | None = None, level: float = 0.95) -> Estimate:
    """The (weighted) mean of one value per study, with its interval.

    Args:
        values: (studies,), e.g. ``metric.exam_losses``.
        counts: (draws, studies) from ``multiplicities``.
        weights: (studies,), e.g. ``metric.exam_weights``; equal when None.
    """
    weight = np.ones(len(values)) if weights is None else weights
    drawn = (counts @ (values * weight)) / (counts @ weight)
    return Estimate(float(np.average(values, weights=weight)), *interval(drawn, level))


def paired_difference(
    first: Floats, second: Floats, counts: Floats, weights: Floats | None = None, level: float = 0.95
) -> Estimate:
    """``first`` minus ``second``, on the same studies in every resample: negative where the first is less."""
    return mean_estimate(first - second, counts, weights, level)


def auc(truth: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve by ranks, ties counting half, of what is known (NaN is not); NaN of one class only."""
    from scipy.stats import rankdata  # half a second of imports, which most that resample do not need

    known = _known(truth)
    positive = (np.asarray(truth) == 1)[known]
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(np.asarray(score, dtype=np.float64)[known])
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def resampled_aucs(truth: ArrayLike, score: ArrayLike, counts: Floats) -> Floats:
    """The AUC of every resample, (draws,); NaN for a resample with one class only.

    Studies whose truth is NaN (unknown) count in none. Each positive study beats the negatives that score below it
    and half of those that tie, as often as both were drawn: one sort for all resamples, then sums over how often each
    study was drawn.
    """
    score, known = np.asarray(score, dtype=np.float64), _known(truth)
    order = np.argsort(score, kind="stable")
    order = order[known[order]]
    ordered, positive = score[order], (np.asarray(truth) == 1)[order]
    drawn = counts[:, order]
    negatives = np.zeros((len(drawn), len(order) + 1))
    np.cumsum(np.where(positive, 0.0, drawn), axis=1, out=negatives[:, 1:])
    below = negatives[:, np.searchsorted(ordered, ordered[positive], side="left")]
    not_above = negatives[:, np.searchsorted(ordered, ordered[positive], side="right")]
    of_positives = drawn[:, positive]
    won = (of_positives * (below + not_above)).sum(axis=1) / 2
    pairs = of_positives.sum(axis=1) * negatives[:, -1]
    return np.asarray(np.divide(won, pairs, out=np.full(len(drawn), np.nan), where=pairs > 0))


def auc_estimate(truth: ArrayLike, score: ArrayLike, counts: Floats, level: float = 0.95) -> Estimate:
    """The AUC over all studies with its interval."""
    return Estimate(auc(truth, score), *interval(resampled_aucs(truth, score, counts), level))


def _known(truth: ArrayLike) -> NDArray[np.bool_]:
    return ~np.isnan(np.asarray(truth, dtype=np.float64))

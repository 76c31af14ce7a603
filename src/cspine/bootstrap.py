"""Intervals by drawing studies with replacement: studies are independent observations, their slices are not.

One mechanism for everything that has an interval: the studies are drawn once (``resample_counts``), a figure is
computed on all of them and on every resample (``Measured``), and two figures on the same resamples have a paired
difference (``Measured.minus``). All resamples are computed at once from how often each study was drawn, which makes a
thousand of them cheap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cspine.hashing import seed_of

Floats = NDArray[np.float64]
AT_ONCE = 4_000_000  # numbers of a block of resamples, when each study counts many times over


@dataclass(frozen=True)
class Estimate:
    """A value over all studies and its percentile interval over the resamples (NaN where there is none)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Measured:
    """A value over all studies, and on every resample of them."""

    value: float
    draws: Floats  # (draws,), NaN where a resample has none, e.g. an AUC of one class

    def estimate(self, level: float = 0.95) -> Estimate:
        """The value with its interval."""
        return Estimate(self.value, *interval(self.draws, level))

    def minus(self, other: Measured | float) -> Measured:
        """The difference, paired: on the same studies in every resample. A number is the same in all."""
        if isinstance(other, Measured):
            return Measured(self.value - other.value, self.draws - other.draws)
        return Measured(self.value - other, self.draws - other)


@dataclass(frozen=True)
class MeasuredCurve:
    """A figure at several places (thresholds, bins, points of a curve), each as in ``Measured``."""

    values: Floats  # (places,)
    draws: Floats  # (draws, places)

    def bounds(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """The pointwise interval: lower and upper ends, (places,) each."""
        ends = np.array([interval(column, level) for column in self.draws.T], dtype=np.float64).reshape(-1, 2)
        return ends[:, 0], ends[:, 1]


def resamples(studies: int, draws: int, seed: int) -> NDArray[np.int64]:
    """Indices of the drawn studies, (draws, studies): a function of the seed and the sizes only."""
    generator = np.random.default_rng(seed_of("bootstrap", seed, studies))
    return generator.integers(0, studies, size=(draws, studies), dtype=np.int64)


def multiplicities(indices: NDArray[np.int64]) -> Floats:
    """How often each study occurs in each resample: (draws, studies) -> (draws, studies)."""
    draws, studies = indices.shape
    flat = indices + np.arange(draws)[:, None] * studies
    return np.bincount(flat.ravel(), minlength=draws * studies).reshape(draws, studies).astype(np.float64)


def resample_counts(studies: int, draws: int, seed: int) -> Floats:
    """How often each study occurs in each of the resamples of this seed: (draws, studies)."""
    return multiplicities(resamples(studies, draws, seed))


def interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of the finite ``values``; (NaN, NaN) when there is none."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def ratio(parts: Floats, wholes: Floats, counts: Floats) -> Measured:
    """A sum over studies by another one, e.g. found fractures by fractures; NaN where the second is 0.

    Args:
        parts: (studies,), what each study adds above the line.
        wholes: (studies,), what it adds below.
        counts: (draws, studies) from ``resample_counts``.
    """
    return Measured(float(divided(parts.sum(), wholes.sum())), divided(counts @ parts, counts @ wholes))


def ratio_curve(parts: Floats, wholes: Floats, counts: Floats) -> MeasuredCurve:
    """``ratio`` at several places: ``parts`` and ``wholes`` are (studies, places)."""
    return MeasuredCurve(divided(parts.sum(axis=0), wholes.sum(axis=0)), divided(counts @ parts, counts @ wholes))


def mean(values: Floats, counts: Floats, weights: Floats | None = None) -> Measured:
    """The (weighted) mean of one value per study.

    Args:
        values: (studies,), e.g. ``metric.exam_losses``.
        counts: (draws, studies) from ``resample_counts``.
        weights: (studies,), e.g. ``metric.exam_weights``; equal when None.
    """
    weight = np.ones(len(values)) if weights is None else weights
    return ratio(values * weight, weight, counts)


def average(found: Sequence[Measured], draws: int) -> Measured:
    """The plain mean of several figures on the same resamples; NaN of none."""
    if not found:
        return Measured(float("nan"), np.full(draws, np.nan))
    return Measured(float(np.mean([m.value for m in found])), np.mean([m.draws for m in found], axis=0))


def measured_auc(
    truth: ArrayLike, score: ArrayLike, counts: Floats, study: NDArray[np.int64] | None = None
) -> Measured:
    """The AUC over all observations, and on every resample of the studies.

    Args:
        truth: (observations,) 0, 1 or NaN (unknown: counts in nothing).
        score: (observations,).
        counts: (draws, studies) from ``resample_counts``.
        study: (observations,) the study of each, where a study has several (slices, vertebrae); one each when None.
    """
    return Measured(auc(truth, score), resampled_aucs(truth, score, counts, study))


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


def resampled_aucs(
    truth: ArrayLike, score: ArrayLike, counts: Floats, study: NDArray[np.int64] | None = None
) -> Floats:
    """The AUC of every resample, (draws,); NaN for a resample with one class only.

    Observations whose truth is NaN (unknown) count in none. Each positive one beats the negatives that score below it
    and half of those that tie, as often as both were drawn: one sort for all resamples, then sums over how often each
    study was drawn. Where a study has many observations its pairs with each other study are counted once instead. All
    sums are of whole and half numbers, so both ways end in the same bits.
    """
    score, known = np.asarray(score, dtype=np.float64), _known(truth)
    order = np.argsort(score, kind="stable")
    order = order[known[order]]
    ordered, positive = score[order], (np.asarray(truth) == 1)[order]
    left, right = (np.searchsorted(ordered, ordered[positive], side=side) for side in ("left", "right"))
    if study is not None and counts.shape[1] * len(left) <= counts.shape[0] * len(order):
        return _aucs_by_pairs(counts, study[order], positive, left, right)
    found = []
    for drawn in drawn_in_order(counts, order if study is None else study[order]):
        negatives = np.zeros((len(drawn), len(order) + 1))
        np.cumsum(np.where(positive, 0.0, drawn), axis=1, out=negatives[:, 1:])
        of_positives = drawn[:, positive]
        won = (of_positives * (negatives[:, left] + negatives[:, right])).sum(axis=1) / 2
        found.append(divided(won, of_positives.sum(axis=1) * negatives[:, -1]))
    return np.concatenate(found)


def _aucs_by_pairs(
    counts: Floats,
    study: NDArray[np.int64],
    positive: NDArray[np.bool_],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
) -> Floats:
    """The same by the pairs that each study's positives win against each other study's negatives.

    Args:
        counts: (draws, studies).
        study: (observations,) of each, by rising score; ``positive`` likewise.
        left: (positives,) how many observations score below each; ``right``: not above it.
    """
    studies, of_positive = counts.shape[1], study[positive]
    won = np.zeros((studies, studies))
    for number in range(studies):
        negatives = np.flatnonzero((study == number) & ~positive)
        below = np.searchsorted(negatives, left) + np.searchsorted(negatives, right)
        won[:, number] = np.bincount(of_positive, below / 2, studies)
    positives, negatives = (np.bincount(study[which], minlength=studies) for which in (positive, ~positive))
    return divided(((counts @ won) * counts).sum(axis=1), (counts @ positives) * (counts @ negatives))


def drawn_in_order(counts: Floats, study: NDArray[np.int64]) -> Iterator[Floats]:
    """How often each observation was drawn, (some draws, observations), in blocks of draws that fit the memory."""
    block = max(1, AT_ONCE // max(1, len(study)))
    for start in range(0, len(counts), block):
        yield counts[start : start + block, study]


def divided(parts: ArrayLike, wholes: ArrayLike) -> Floats:
    """``parts`` by ``wholes``, NaN where the whole is 0."""
    above, below = np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)
    return np.asarray(np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0))


def _known(truth: ArrayLike) -> NDArray[np.bool_]:
    return ~np.isnan(np.asarray(truth, dtype=np.float64))

"""Runs of neighbouring slices: a fracture is no island, and a fractured vertebra has one somewhere."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cspine.metric import Floats


def run_around_peak(probability: Floats, fraction: float, longest: int) -> tuple[int, int]:
    """The slices [first, last) around the peak that reach ``fraction`` of it, the likelier neighbour first.

    Empty (0, 0) where the model gives nothing at all: a peak of 0 points nowhere.
    """
    peak = int(np.argmax(probability))
    if not probability[peak] > 0:
        return 0, 0
    least = fraction * probability[peak]
    padded = np.concatenate([[-1.0], probability, [-1.0]])
    first, last = peak, peak + 1
    while last - first < longest:
        before, after = padded[first], padded[last + 1]  # shifted by the padding
        if max(before, after) < least:
            break
        first, last = (first - 1, last) if before > after else (first, last + 1)
    return first, last


def smoothed(probability: Floats, slices: float) -> Floats:
    """A Gaussian of so many slices' standard deviation along z over (slices, ...); at the ends the last slice again."""
    from scipy.ndimage import gaussian_filter1d  # a tenth of a second, which most configs do not need

    return np.asarray(gaussian_filter1d(probability, slices, axis=0, mode="nearest"))


def in_one_run(score: Floats, log_length: Floats) -> Floats:
    """The probability of each slice to lie in the run, given that exactly one run of slices is fractured: (slices,).

    Every run [first, last] has the weight  prior(its length) / (places for that length) * exp(sum of its scores),
    and a slice's probability is the share of all weight in runs that hold it.

    Args:
        score: (slices,) log of how much likelier what the model says is with the fracture in the slice than without.
        log_length: (longest,) log prior of a run of 1, 2, ... slices.
    """
    slices, longest = len(score), min(len(score), len(log_length))
    sums = np.concatenate([[0.0], np.cumsum(score)])
    starts, ends, places = _all_runs(slices, longest)
    weights = sums[ends] - sums[starts]
    weights += np.repeat(log_length[:longest], places)
    weights -= np.repeat(np.log(places), places)
    weights -= weights.max()
    np.exp(weights, out=weights)
    change = np.zeros(slices + 1)  # of the weight of the runs that hold a slice, from one slice to the next
    total, first = 0.0, 0
    for length, count in enumerate(places.tolist(), start=1):
        weight = weights[first : first + count]
        total += weight.sum()
        change[:count] += weight
        change[length:] -= weight
        first += count
    return np.clip(np.cumsum(change)[:slices] / total, 0.0, 1.0)


@lru_cache(maxsize=64)
def _all_runs(slices: int, longest: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """First slices and ends of all runs of 1, 2, ... ``longest`` slices, the shortest first, and how many of each."""
    lengths = np.arange(1, longest + 1)
    places = slices - lengths + 1
    starts = np.concatenate([np.arange(count, dtype=np.int32) for count in places])
    return starts, starts + np.repeat(lengths, places).astype(np.int32), places


def log_lengths(lengths: NDArray[np.int64] | list[int], longest: int) -> Floats:
    """Log prior of runs of 1..``longest`` slices: log-normal, by the mean and spread of the logs of ``lengths``.

    ASSUME: two runs as wide as an octave are added to what was seen, so that few or equal lengths rule nothing out.
    """
    logs = np.log(np.asarray(lengths, np.float64))
    centre = float(logs.mean())
    spread = float(np.sqrt(((logs - centre) ** 2).sum() + 2 * np.log(2) ** 2) / np.sqrt(len(logs) + 2))
    at = np.log(np.arange(1, longest + 1))
    density = -((at - centre) ** 2) / (2 * spread**2) - at
    return np.asarray(density - np.logaddexp.reduce(density))

"""Draws for many examples at once: each a function of (seed, pass, example), the same in any order and on any machine.

SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"): its k-th number is a hash of
state + k * GOLDEN, so that a whole batch is a few operations of numpy. numpy's own generators would be made one by one
for each example, 15 microseconds each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cspine.hashing import seed_of

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
Words = NDArray[np.uint64]


def uniforms(seed: int, items: Sequence[tuple[int, int]], count: int) -> NDArray[np.float64]:
    """``count`` numbers in 0 <= x < 1 for each of ``items`` (pass, i), (n, count)."""
    passes, places = np.asarray(items, np.uint64).reshape(-1, 2).T
    root = np.full(len(passes), seed_of("draws on the device", seed), np.uint64)
    state = hashed(hashed(root + GOLDEN * passes) + GOLDEN * places)
    return (numbers(state, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def numbers(state: Words, count: int) -> Words:
    """The first ``count`` numbers of SplitMix64 from each of ``state`` (n,): (n, count)."""
    steps = np.arange(1, count + 1, dtype=np.uint64)
    return hashed(state[:, None] + GOLDEN * steps)


def hashed(words: Words) -> Words:
    """SplitMix64's finaliser; each bit of the result hangs on all of the word's."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))

"""Drawing some of many, with counts that are met exactly."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """``total`` things shared out by weight, by largest remainder, so that the counts add up exactly."""
    exact = total * np.asarray(weights, np.float64) / np.sum(weights)
    counts = np.floor(exact).astype(int)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return [int(c) for c in counts]


def count_of(share: float, total: int) -> int:
    """The rounded ``share`` of ``total``; a share above 0 of something gives 1 or more."""
    return max(1, round(share * total)) if share > 0 and total else 0


def pick(
    rng: np.random.Generator, among: Iterable[int], count: int, one_of: Sequence[Collection[int]] = ()
) -> set[int]:
    """``count`` of ``among`` (all of them if there are fewer), with one of each collection of ``one_of`` first."""
    order = [int(i) for i in rng.permutation(sorted(among))]
    first = [next(i for i in order if i in group) for group in one_of if any(i in group for i in order)]
    return set(list(dict.fromkeys([*first, *order]))[:count])

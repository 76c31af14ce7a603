"""Which fractured vertebrae does a boxed slice show? A hidden chain over the boxed slices of one study, head to feet.

The state of a slice is the set of vertebrae that its box means: one, or up to MOST neighbours. A set weighs the product
of what speaks for each of its vertebrae in that slice (``box_evidence``), times TOGETHER for each beyond the first.
From slice to slice a set stays, or goes over into another, towards the feet; the further apart the slices, the more so.
At the end, each fractured vertebra that no slice has shown counts MISSED. Forward and backward over all slices (Rabiner
1989) give the probability of each vertebra in each slice.

ASSUME: the five numbers below. They are of the order that the phantom shows and the real boxes suggest (runs of boxed
slices as many as fractured vertebrae in 147 of 235 studies, fewer in 63); docs/labels.md says how little hangs on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST = 3  # vertebrae fractured in one slice, neighbours; a tilted neck shows three
TOGETHER = 0.3  # of two vertebrae shown, both fractured in one slice: as 0.3 to 2
STAY = 0.9  # the next slice means the same vertebrae
BACK = 0.05  # going over to a set that begins or ends nearer to the head, beside 1 for any other
MISSED = 0.05  # a fractured vertebra is in no boxed slice


@dataclass(frozen=True)
class Sets:
    """The sets of vertebrae that a slice can mean, as columns of numbers over the study's candidates 0 .. k - 1."""

    members: NDArray[np.bool_]  # (sets, k)
    code: Ints  # (sets,): the members as bits, for counting who was shown

    @property
    def ends(self) -> tuple[Ints, Ints]:
        """First and last member of each set."""
        count = self.members.shape[1]
        return self.members.argmax(axis=1), count - 1 - self.members[:, ::-1].argmax(axis=1)


def level_probabilities(strength: Floats, z: Ints, levels: Ints, due: NDArray[np.bool_]) -> Floats:
    """The probability that the box of each slice means each vertebra, (slices, k): 1 or more in the sum of each slice.

    Args:
        strength: (slices, k), above 0: what speaks for each candidate in each boxed slice.
        z: (slices,) z_index of the boxed slices, rising.
        levels: (k,) places of the candidates among C1..C7, rising.
        due: (k,) candidates known to be fractured: they are expected in some slice. The others (unknown) may be shown.
    """
    sets = sets_of(levels)
    weights = _weights(strength, sets)
    into = np.arange(2 ** len(levels))[:, None] | sets.code  # who was shown, after one more slice of each set
    steps = [transitions(sets, int(after - before)) for before, after in pairwise(z)]
    posterior = _forward(weights, steps, into, sets) * _backward(weights, steps, into, _endings(due))
    of_sets = posterior.sum(axis=1)
    of_sets /= of_sets.sum(axis=1, keepdims=True)
    return np.clip(of_sets @ sets.members, 0.0, 1.0)


def sets_of(levels: Ints) -> Sets:
    """Each candidate alone, and up to MOST of them that are neighbours in the spine."""
    places = range(len(levels))
    runs = [range(first, last) for first in places for last in range(first + 1, min(first + MOST, len(levels)) + 1)]
    whole = [run for run in runs if levels[run[-1]] - levels[run[0]] == len(run) - 1]
    members = np.array([[place in run for place in places] for run in whole])
    return Sets(members, members @ (1 << np.arange(len(levels))))


def transitions(sets: Sets, gap: int) -> Floats:
    """What going from each set to each weighs, (sets, sets), over ``gap`` slices (1 = the next one).

    Weights, not probabilities: made to add up to 1, the way back would cost nothing where there is no other.
    """
    first, last = sets.ends
    back = (first[None, :] < first[:, None]) | (last[None, :] < last[:, None])
    leave = np.where(back, BACK, 1.0)
    np.fill_diagonal(leave, 0.0)
    if len(leave) == 1:
        return np.ones((1, 1))
    stay = STAY**gap
    return stay * np.eye(len(leave)) + (1 - stay) * leave / (len(leave) - 1)


def _weights(strength: Floats, sets: Sets) -> Floats:
    """What each set weighs in each slice, (slices, sets), the heaviest of a slice 1."""
    sizes = sets.members.sum(axis=1)
    logs = np.log(strength) @ sets.members.T + (sizes - 1) * np.log(TOGETHER)
    return np.asarray(np.exp(logs - logs.max(axis=1, keepdims=True)))


def _endings(due: NDArray[np.bool_]) -> Floats:
    """What it weighs to end having shown just these: (2^k,)."""
    shown = (np.arange(2 ** len(due))[:, None] >> np.arange(len(due))) & 1
    return np.asarray(MISSED ** ((shown == 0) & due).sum(axis=1).astype(np.float64))


def _forward(weights: Floats, steps: list[Floats], into: Ints, sets: Sets) -> Floats:
    """(slices, 2^k, sets): the weight of all ways to a slice, by who was shown so far, up to a factor per slice."""
    found = np.zeros((len(weights), *into.shape))
    columns = np.arange(into.shape[1])
    found[0, sets.code, columns] = weights[0] / weights[0].sum()
    for at, step in enumerate(steps, start=1):
        np.add.at(found[at], (into, columns), (found[at - 1] @ step) * weights[at])
        found[at] /= found[at].sum()
    return found


def _backward(weights: Floats, steps: list[Floats], into: Ints, endings: Floats) -> Floats:
    """(slices, 2^k, sets): the weight of all ways from a slice to the end, up to a factor per slice."""
    found = np.empty((len(weights), *into.shape))
    found[-1] = endings[:, None]
    columns = np.arange(into.shape[1])
    for at in range(len(steps) - 1, -1, -1):
        found[at] = (found[at + 1][into, columns] * weights[at + 1]) @ steps[at].T
        found[at] /= found[at].max()
    return found

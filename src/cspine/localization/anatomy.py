"""Presence put in anatomical order: from the head to the feet C1, C2, ... C7, each in one run of slices.

A slice shows a range of consecutive vertebrae, ``MOST_AT_ONCE`` at most, or none: above C1, below C7, or between two.
From slice to slice the range moves towards the feet or stays, and leaves no vertebra out. A scan may begin and end
anywhere. Of all such ways through a study the most probable one is taken (Viterbi), slices judged independently.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cspine.studies import VERTEBRAE

MOST_AT_ONCE = 3  #: ASSUME: vertebrae in one axial slice; necks are bent, and spinous processes reach down
CERTAIN = 1e-4  # probabilities are kept this far from 0 and 1: no single slice decides
COUNT = len(VERTEBRAE)


def in_order(presence: NDArray[np.floating]) -> NDArray[np.int8]:
    """Which vertebrae each slice of one study shows: the most probable way that is anatomically possible.

    Args:
        presence: (slices, 7) probabilities that the slice shows C1..C7, the most cranial slice first.

    Returns:
        (slices, 7), 0 or 1, without a violation by ``order_violations``. What is in order already stays as it is, if
        no slice shows more than MOST_AT_ONCE.
    """
    if not len(presence):
        return np.zeros((0, COUNT), np.int8)
    p = np.clip(presence.astype(np.float64), CERTAIN, 1 - CERTAIN)
    shown, follows = _states()
    scores = np.log(p) @ shown.T + np.log1p(-p) @ (1 - shown).T
    return shown[_best_way(scores, follows)].astype(np.int8)


def order_violations(shown: NDArray[np.integer]) -> int:
    """How often one study's (slices, 7) breaks the order: further runs of a vertebra, and neighbours out of order.

    Every run of a vertebra after its first counts; and so does each pair of successive vertebrae, of those that are
    shown at all, of which the lower one begins or ends before the upper one.
    """
    there = shown > 0
    begins = there & ~np.vstack([np.zeros((1, COUNT), bool), there[:-1]]) if len(there) else there
    further = int(np.maximum(begins.sum(axis=0) - 1, 0).sum())
    levels = np.flatnonzero(there.any(axis=0))
    if not len(levels):
        return 0
    first = there.argmax(axis=0)[levels]
    last = len(there) - 1 - there[::-1].argmax(axis=0)[levels]
    return further + int(((np.diff(first) < 0) | (np.diff(last) < 0)).sum())


def _states() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What a slice may show, (states, 7), and which state may be that of the slice after another's (after, before)."""
    # a state is (first, last) vertebra shown; nothing is (n, n - 1): all before n are passed
    states = [(a, b) for a in range(COUNT + 1) for b in range(a - 1, min(a + MOST_AT_ONCE, COUNT))]
    first, last = np.array(states).T
    levels = np.arange(COUNT)
    shown = (first[:, None] <= levels) & (levels <= last[:, None])
    onward = (first[:, None] >= first) & (last[:, None] >= last)
    unbroken = first[:, None] <= last + 1
    return shown.astype(np.float64), onward & unbroken


def _best_way(scores: NDArray[np.float64], follows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The states of all slices with the largest sum of scores, each following the one before."""
    cost = np.where(follows, 0.0, -np.inf)
    came_from = np.zeros(scores.shape, np.int64)
    total = scores[0]
    for z in range(1, len(scores)):
        arriving = cost + total
        came_from[z] = arriving.argmax(axis=1)
        total = arriving.max(axis=1) + scores[z]
    way = np.empty(len(scores), np.int64)
    way[-1] = total.argmax()
    for z in range(len(scores) - 1, 0, -1):
        way[z - 1] = came_from[z, way[z]]
    return way

"""Which vertebrae break together: counts as in the real training set, neighbours more often than not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cspine.phantom.draws import apportion

#: Studies of the real training set in which C1..C7 is fractured (computed from its train.csv).
REAL_FRACTURES = (146, 285, 73, 108, 162, 277, 393)
#: Its fractured studies by the number of fractured vertebrae, 1 to 6 (computed from the same file).
HOW_MANY = (623, 239, 64, 26, 7, 2)
#: ASSUME: how much rarer a further fracture is with each level that lies between it and the nearest one.
PER_LEVEL_BETWEEN = 0.2
ATTEMPTS = 20

Counts = npt.NDArray[np.int64]


def draw_fractures(studies: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """The fractured levels (0 = C1, rising) of ``studies`` fractured studies, in random order.

    How many studies have 1, 2, ... fractures follows HOW_MANY, how often each level breaks REAL_FRACTURES, both by
    largest remainder; with as many fractures as levels, every level breaks somewhere.
    """
    sizes = np.repeat(np.arange(1, len(HOW_MANY) + 1), apportion(studies, HOW_MANY))[::-1]
    room = np.array(apportion(int(sizes.sum()), REAL_FRACTURES))
    if room.sum() >= len(room):
        for level in np.flatnonzero(room == 0):
            room[level] += 1
            room[np.argmax(room)] -= 1
    several = int(np.count_nonzero(sizes > 1))
    drawn = []
    for place, size in enumerate(sizes[:several]):
        levels = _draw_together(int(size), room, sizes[place + 1 :], rng)
        room[levels] -= 1
        drawn.append(tuple(sorted(levels)))
    drawn += [(int(level),) for level in rng.permutation(np.repeat(np.arange(len(room)), room))]
    return [drawn[i] for i in rng.permutation(studies)]


def _draw_together(size: int, room: Counts, others: Counts, rng: np.random.Generator) -> list[int]:
    """``size`` levels for one study that leave enough different levels for the studies still to come."""
    for _ in range(ATTEMPTS):
        chosen: list[int] = []
        for _ in range(size):
            weight = room.astype(float)
            weight[chosen] = 0
            if chosen:
                distance = np.abs(np.arange(len(room))[:, None] - chosen).min(axis=1)
                weight *= PER_LEVEL_BETWEEN ** np.maximum(distance - 1, 0)
            if not weight.any():
                break
            chosen.append(int(rng.choice(len(room), p=weight / weight.sum())))
        left = room.copy()
        left[chosen] -= 1
        if len(chosen) == size and _can_be_dealt(left, others):
            return chosen
    # the fullest levels to the study that needs most: with the largest studies first, this never fails
    return [int(level) for level in np.argsort(-room, kind="stable")[:size]]


def _can_be_dealt(room: Counts, sizes: Counts) -> bool:
    """Whether studies of these sizes can share out the levels, none twice in a study (Gale 1957, Ryser 1957)."""
    fullest = np.cumsum(np.sort(room)[::-1])
    most = np.minimum(sizes[:, None], np.arange(1, len(room) + 1)).sum(axis=0)
    return bool((fullest <= most).all())

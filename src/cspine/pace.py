"""How long the parts of a training take, so that it can stop in time."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator

from cspine.budget import seconds_left

RECENT_STEPS = 5  # the slowest of them counts: a first step waits for its data, a later one for other people's jobs
SLOW_DISK = 50e6  # bytes a second, until a save was measured: network disks are that slow
FORWARD_SHARE = 0.5  # of a step, until an evaluation was measured: a third computes (no gradients), the rest is margin


class Pace:
    """Seconds of a step, a save and an evaluation: as measured in this process, before that as estimated.

    Args:
        saved_bytes: roughly what a save writes.
        evaluation_batches: how many batches an evaluation goes through.
    """

    def __init__(self, saved_bytes: int, evaluation_batches: int) -> None:
        self.batches = evaluation_batches
        self.steps: deque[float] = deque(maxlen=RECENT_STEPS)
        self.saves: deque[float] = deque([saved_bytes / SLOW_DISK], maxlen=1)
        self.evaluations: deque[float] = deque(maxlen=1)

    @contextlib.contextmanager
    def timed(self, part: deque[float]) -> Iterator[None]:
        """Measure what is done within, for ``part`` (steps, saves or evaluations); broken off, it does not count."""
        start = time.monotonic()
        yield
        part.append(time.monotonic() - start)

    def has_time(self, evaluates: bool) -> bool:
        """Whether another two steps and a save, and an evaluation if one is next, would end before the deadline."""
        step = max(self.steps, default=0.0)
        needed = 2 * step + self.saves[0]
        if evaluates:
            needed += self.evaluations[0] if self.evaluations else self.batches * step * FORWARD_SHARE
        return needed < seconds_left()

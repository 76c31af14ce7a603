"""Which examples are taught in which step: a function of (seed, epoch, step), so that a killed run finds its place."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cspine.errors import CspineError
from cspine.examples import Item
from cspine.hashing import seed_of


class Stream:
    """Members in seeded permutations, one after the other without end; a pass holds each member once."""

    def __init__(self, members: NDArray[np.int64], *seed: str | int) -> None:
        self.members, self.seed = members, seed
        self._pass = lru_cache(maxsize=2)(self._permuted)

    def taken(self, start: int, stop: int) -> list[Item]:
        """Places start .. stop - 1 of the stream as (pass, member): no item ever comes twice."""
        count = len(self.members)
        return [(at // count, int(self._pass(at // count)[at % count])) for at in range(start, stop)]

    def _permuted(self, number: int) -> NDArray[np.int64]:
        order = np.random.default_rng(seed_of(*self.seed, number)).permutation(len(self.members))
        return self.members[order]


class Sampler:
    """The batches of a training.

    ``natural``: each epoch is a permutation of the training set; with a fixed number of steps per epoch, permutations
    follow each other across epochs. ``balanced``: positive and negative examples each in permutations of their own,
    followed until they are used up, ``positive_share`` of each batch from the first; shares that are no whole number of
    examples alternate, so that they are met over the steps. An epoch has as many steps as a natural one.
    """

    def __init__(
        self,
        positive: NDArray[np.bool_],
        batch_size: int,
        epoch_steps: int,
        sampling: Literal["natural", "balanced"],
        positive_share: float,
        seed: int,
    ) -> None:
        self.count, self.batch_size, self.seed = len(positive), batch_size, seed
        # a last batch of one example is left out: batch normalisation needs two
        self.steps = epoch_steps or self.count // batch_size + (self.count % batch_size > 1)
        self.whole_passes = epoch_steps == 0
        self.everything = Stream(np.arange(self.count), "order", seed)
        self.streams: tuple[Stream, Stream] | None = None
        if sampling == "balanced":
            self.share = positive_share
            self.streams = self._two_streams(positive)

    def batch(self, epoch: int, step: int) -> list[Item]:
        """The examples (pass, i) of one step; their augmentation is a function of the two."""
        if self.streams is not None:
            return self._balanced(epoch * self.steps + step, self.streams)
        if self.whole_passes:
            start = epoch * self.count + step * self.batch_size
            return self.everything.taken(start, min(start + self.batch_size, (epoch + 1) * self.count))
        start = (epoch * self.steps + step) * self.batch_size
        return self.everything.taken(start, start + self.batch_size)

    def size(self, step: int) -> int:
        """How many examples a step of an epoch has: all as many, or the last one fewer."""
        if self.streams is not None or not self.whole_passes:
            return self.batch_size
        return min(self.batch_size, self.count - step * self.batch_size)

    def batches(self, epoch: int, step: int, epochs: int) -> Iterator[list[Item]]:
        """All batches from (epoch, step) to the end of the last epoch."""
        for number in range(epoch * self.steps + step, epochs * self.steps):
            yield self.batch(*divmod(number, self.steps))

    def _balanced(self, number: int, streams: tuple[Stream, Stream]) -> list[Item]:
        positives = [int((number + i) * self.batch_size * self.share + 0.5) for i in (0, 1)]
        negatives = [(number + i) * self.batch_size - positives[i] for i in (0, 1)]
        items = streams[0].taken(*positives) + streams[1].taken(*negatives)
        # mixed, so that each part of an accumulated batch holds both kinds
        order = np.random.default_rng(seed_of("balanced", self.seed, number)).permutation(len(items))
        return [items[i] for i in order]

    def _two_streams(self, positive: NDArray[np.bool_]) -> tuple[Stream, Stream]:
        members = np.flatnonzero(positive), np.flatnonzero(~positive)
        if not all(map(len, members)):
            raise CspineError(
                f"training.sampling: balanced needs positive and negative examples; the training set has "
                f"{len(members[0])} and {len(members[1])}; use natural, or see labels in the config"
            )
        return Stream(members[0], "positives", self.seed), Stream(members[1], "negatives", self.seed)

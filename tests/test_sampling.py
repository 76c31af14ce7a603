"""The order of examples: each once per pass, positive ones at their share, the same wherever it is taken up again."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine.errors import CspineError
from cspine.examples import Item
from cspine.sampling import Sampler

POSITIVE = np.arange(40) % 5 == 0  # 8 of 40


def sampler(
    positive: NDArray[np.bool_] = POSITIVE, size: int = 8, steps: int = 0, share: float = 0.0, seed: int = 1
) -> Sampler:
    return Sampler(positive, size, steps, "balanced" if share else "natural", share, seed)


def taught(sampler: Sampler, epochs: int, first: int = 0) -> list[list[Item]]:
    return list(sampler.batches(first, 0, epochs))


def test_a_natural_epoch_is_one_pass_over_the_data() -> None:
    for epoch in (0, 1):
        batches = [sampler(size=7).batch(epoch, step) for step in range(6)]
        assert [len(b) for b in batches] == [7, 7, 7, 7, 7, 5]
        assert sorted(i for b in batches for _, i in b) == list(range(40))
        assert {number for b in batches for number, _ in b} == {epoch}


def test_a_last_batch_of_one_example_is_left_out() -> None:
    assert sampler(size=13).steps == 3  # 39 of 40: batch normalisation would raise at the last
    assert sampler(size=19).steps == 3  # 19 + 19 + 2


def test_fixed_steps_follow_one_pass_with_the_next_across_epochs() -> None:
    items = [item for batch in taught(sampler(size=8, steps=3), epochs=5) for item in batch]
    assert len(items) == 5 * 3 * 8 == 120
    assert sorted(items) == [(number, i) for number in range(3) for i in range(40)]


def test_balanced_batches_hold_the_share_of_positives() -> None:
    batches = taught(sampler(size=8, share=0.375), epochs=3)
    assert len(batches) == 3 * 5
    assert {sum(POSITIVE[i] for _, i in batch) for batch in batches} == {3}
    assert {len(batch) for batch in batches} == {8}


def test_a_share_that_is_no_whole_number_is_met_over_the_steps() -> None:
    counts = [sum(POSITIVE[i] for _, i in batch) for batch in taught(sampler(size=4, share=0.375), epochs=4)]
    assert set(counts) == {1, 2} and sum(counts) == 4 * 10 * 1.5


@pytest.mark.parametrize("share", [0.0, 0.375, 0.9])
def test_no_example_comes_again_before_its_kind_is_used_up(share: float) -> None:
    items = [item for batch in taught(sampler(share=share), epochs=6) for item in batch]
    assert max(Counter(items).values()) == 1  # (pass, i): no augmentation is drawn twice
    for kind in (POSITIVE, ~POSITIVE):
        seen = Counter(i for _, i in items if kind[i])
        assert max(seen.values()) - min(seen.get(int(i), 0) for i in np.flatnonzero(kind)) <= 1


@pytest.mark.parametrize(("steps", "share"), [(0, 0.0), (3, 0.0), (0, 0.375), (3, 0.375)])
def test_the_order_goes_on_where_it_was_left(steps: int, share: float) -> None:
    whole = taught(sampler(steps=steps, share=share), epochs=3)
    resumed = list(sampler(steps=steps, share=share).batches(1, 2, 3))
    assert resumed == whole[sampler(steps=steps).steps + 2 :]
    assert taught(sampler(steps=steps, share=share, seed=2), epochs=3) != whole


@pytest.mark.parametrize("positive", [np.zeros(6, bool), np.ones(6, bool)])
def test_balancing_needs_both_kinds(positive: NDArray[np.bool_]) -> None:
    with pytest.raises(CspineError, match=r"training.sampling: balanced needs positive and negative .* [06] and [06]"):
        sampler(positive, share=0.5)

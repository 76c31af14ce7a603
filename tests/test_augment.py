"""Augmentation: one slice as the source does it, a stack without mixing its slices; each by its own draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine.augment import Augmentation, AugmentConfig

OFF: dict[str, Any] = {"crop_scale": 1.0, "horizontal_flip": False, "vertical_flip": False}
OFF |= {"rotation": 0.0, "rgb_shift": 0.0, "clahe": 0.0}
ALONE: dict[str, dict[str, Any]] = {
    "crop": {"crop_scale": 0.6},
    "horizontal flip": {"horizontal_flip": True},
    "vertical flip": {"vertical_flip": True},
    "rotation": {"rotation": 30.0},
    "shift": {"rgb_shift": 30.0},
    "clahe": {"clahe": 3.0},
}
ALL = {key: value for change in ALONE.values() for key, value in change.items()}
PIXELS = 40
CHANNELS = [1, 3, 5, 6]


def augmentation(probability: float = 1.0, stacked: bool = True, **changes: Any) -> Augmentation:
    return Augmentation(AugmentConfig(probability=probability, **(OFF | changes)), PIXELS, stacked)


def noise(channels: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (PIXELS, PIXELS, channels)).astype(np.uint8)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("changes", [*ALONE.values(), ALL], ids=[*ALONE, "all"])
def test_a_stack_of_equal_slices_stays_one(channels: int, changes: dict[str, Any]) -> None:
    augment = augmentation(**changes)
    for seed in range(5):
        stack = np.repeat(noise(1, seed), channels, axis=2)
        result = augment(stack, seed)
        assert result.shape == stack.shape and result.dtype == np.uint8
        assert (result == result[:, :, :1]).all()
        assert not np.array_equal(result, stack)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("changes", [*ALONE.values(), ALL], ids=[*ALONE, "all"])
def test_a_slice_of_a_stack_comes_out_the_same_whatever_its_neighbours_show(
    channels: int, changes: dict[str, Any]
) -> None:
    augment, stack = augmentation(**changes), noise(channels)
    result = augment(stack, 3)
    for changed in range(channels):
        other = stack.copy()
        other[:, :, changed] = noise(1, seed=9)[:, :, 0]
        rest = [c for c in range(channels) if c != changed]
        assert np.array_equal(augment(other, 3)[:, :, rest], result[:, :, rest])


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", ["crop", "horizontal flip", "vertical flip", "rotation"])
def test_every_slice_of_a_stack_is_moved_alike(channels: int, name: str) -> None:
    augment, stack = augmentation(**ALONE[name]), noise(channels)
    alone = [augment(np.ascontiguousarray(stack[:, :, c : c + 1]), 4) for c in range(channels)]
    difference = np.abs(augment(stack, 4).astype(int) - np.concatenate(alone, axis=2))
    assert difference.max() <= 1  # OpenCV may round a pixel otherwise with more channels


def test_a_stack_gets_lighter_or_darker_as_one_and_a_slice_is_tinted() -> None:
    grey = np.full((PIXELS, PIXELS, 3), 100, np.uint8)
    as_one = {tuple(augmentation(rgb_shift=20.0)(grey, seed)[0, 0]) for seed in range(20)}
    assert all(len(set(levels)) == 1 for levels in as_one) and len(as_one) > 5
    tinted = [augmentation(rgb_shift=20.0, stacked=False)(grey, seed)[0, 0] for seed in range(20)]
    assert any(len(set(levels)) == 3 for levels in tinted)
    assert max(abs(int(level) - 100) for levels in [*as_one, *tinted] for level in levels) <= 20


def test_the_same_seed_gives_the_same_pixels_in_any_order() -> None:
    one, other, image = augmentation(0.5, **ALL), augmentation(0.5, **ALL), noise(5)
    first = [one(image, seed) for seed in (1, 2, 3)]
    again = [other(image, seed) for seed in (3, 2, 1)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({a.tobytes() for a in first}) == 3


@pytest.mark.parametrize("stacked", [True, False])
def test_the_augmentations_are_drawn_apart_from_each_other(stacked: bool) -> None:
    """albumentations 2.0.8 seeds all steps of a pipeline alike: then either all six happen or none."""
    augment = augmentation(0.3, stacked, **ALL)
    drawn: list[list[bool]] = []
    for step in augment.pipeline.transforms:
        seen: list[bool] = []
        drawn.append(seen)
        step.should_apply = lambda *_, decide=step.should_apply, seen=seen, **__: seen.append(decide()) or seen[-1]
    for seed in range(600):
        augment(noise(3), seed)
    happened = np.array(drawn)
    assert happened.shape == (6, 600) and np.abs(happened.mean(axis=1) - 0.3).max() < 0.07
    assert np.abs(np.corrcoef(happened) - np.eye(6)).max() < 0.15

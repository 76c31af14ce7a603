"""Augmentation of whole studies: drawn from the example's own seed, and each of it does what its key says."""

from __future__ import annotations

import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cspine.errors import CspineError
from cspine.volumes.study_augmentation import AXES, AugmentConfig, StudyAugmentation
from small_cubes import AUGMENT, cube_of

OFF = AugmentConfig(**AUGMENT | dict.fromkeys((key for key in AUGMENT if key.endswith("probability")), 0.0))
ALL = AugmentConfig(**AUGMENT | dict.fromkeys((key for key in AUGMENT if key.endswith("probability")), 1.0))
SIDE = 24
CUBE = cube_of("C2 C5", seed=3, side=SIDE)


def changed(seed: int = 0, config: AugmentConfig = OFF, **keys: Any) -> np.ndarray:
    return StudyAugmentation(replace(config, **keys), SIDE)(CUBE, seed)


def test_nothing_happens_to_a_volume_where_nothing_may() -> None:
    np.testing.assert_array_equal(changed(), CUBE)
    of_no_size = replace(ALL, rotation=0.0, scale=0.0, shift=0.0, noise=0.0, flip_axes=[], anisotropy_probability=0.0)
    np.testing.assert_array_equal(changed(config=of_no_size), CUBE)


@pytest.mark.parametrize("axis", list(AXES))
def test_a_mirror_turns_round_the_axis_of_its_name_and_only_that(axis: str) -> None:
    np.testing.assert_array_equal(changed(flip_probability=1.0, flip_axes=[axis]), np.flip(CUBE, AXES[axis]))


def test_each_axis_is_mirrored_with_the_probability_and_independently() -> None:
    found = [changed(seed, flip_probability=0.5, flip_axes=["left_right", "head_feet"]) for seed in range(40)]
    kinds = [np.flip(CUBE, axes) for axes in ((), (0,), (2,), (0, 2))]
    counts = [sum(np.array_equal(one, kind) for one in found) for kind in kinds]
    assert sum(counts) == 40 and min(counts) > 2


def test_a_shift_moves_by_no_more_than_its_share_and_brings_in_air() -> None:
    for seed in range(5):
        found = changed(seed, affine_probability=1.0, rotation=0.0, scale=0.0, shift=0.25)
        air = [int((found.max(axis=tuple({0, 1, 2} - {axis})) == 0).sum()) for axis in range(3)]
        assert max(air) <= 0.25 * SIDE and sum(air) > 0


def test_thicker_slices_blur_one_axis_and_leave_mean_and_range() -> None:
    found = changed(anisotropy_probability=1.0, anisotropy=4.0)
    roughness = [np.abs(np.diff(one.astype(float), axis=axis)).mean() for one in (CUBE, found) for axis in range(3)]
    ratios = np.array(roughness[3:]) / np.array(roughness[:3])
    assert (ratios < 0.8).sum() == 1
    assert found.mean() == pytest.approx(CUBE.mean(), rel=0.1) and found.max() <= CUBE.max()


def test_noise_is_no_stronger_than_its_share_of_the_grey_levels() -> None:
    strengths = [(changed(seed, noise_probability=1.0, noise=0.1).astype(float) - CUBE).std() for seed in range(20)]
    assert 0.1 * 255 * 0.5 < max(strengths) < 0.1 * 255 * 1.05
    assert len({round(s, 3) for s in strengths}) == 20


def test_the_same_seed_gives_the_same_bytes_whatever_was_drawn_before_and_leaves_others_draws_alone() -> None:
    torch.manual_seed(1)
    first = changed(5, ALL)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))
    changed(6, ALL)
    np.testing.assert_array_equal(changed(5, ALL), first)
    assert not np.array_equal(changed(7, ALL), first)


def test_another_process_draws_the_same() -> None:
    script = (
        "import zlib; from test_study_augmentation import ALL, changed;"
        "print(zlib.crc32(b''.join(changed(seed, ALL).tobytes() for seed in range(3))))"
    )
    here = zlib.crc32(b"".join(changed(seed, ALL).tobytes() for seed in range(3)))
    command, folder = [sys.executable, "-c", script], Path(__file__).parent
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    assert int(said.stdout) == here


def test_a_wrong_axis_and_slices_that_would_become_no_thicker_are_refused() -> None:
    with pytest.raises(CspineError, match=r"augment\.flip_axes: found sideways; expected some of head_feet"):
        replace(OFF, flip_axes=["sideways"])
    with pytest.raises(CspineError, match=r"augment\.anisotropy: found 1.0; expected 1.5 or more"):
        replace(ALL, anisotropy=1.0)

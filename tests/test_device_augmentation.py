"""Augmentation on the device: albumentations' distributions, its images for the same parameters, draws of one's own."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from cspine.augment import Augmentation, AugmentConfig
from cspine.on_device.augmentation import BatchAugmentation
from cspine.on_device.draws import numbers, uniforms
from cspine.on_device.parameters import (
    AFFINE,
    ANGLE,
    CLIP,
    COLUMNS,
    CROP,
    FLIP,
    HOLE,
    LEVELS,
    NOTHING,
    SHIFT,
    drawn,
    moved,
)

OFF: dict[str, Any] = {"crop_scale": 1.0, "horizontal_flip": False, "vertical_flip": False}
OFF |= {"rotation": 0.0, "rgb_shift": 0.0, "clahe": 0.0}
ALONE: dict[str, dict[str, Any]] = {
    "crop": {"crop_scale": 0.5},
    "horizontal flip": {"horizontal_flip": True},
    "vertical flip": {"vertical_flip": True},
    "rotation": {"rotation": 30.0},
    "shift": {"rgb_shift": 30.0},
    "clahe": {"clahe": 4.0},
    "brightness": {"brightness": 0.3},
    "shift and size": {"shift_scale": 0.2},
    "hole": {"cutout": 0.4},
}
ALL = {key: value for change in ALONE.values() for key, value in change.items()}
SIDE = 40
DRAWN = 800
SAME = 1e-3  # a pair of equal distributions is called different once in a thousand; seeds are fixed


def config_of(probability: float = 1.0, **changes: Any) -> AugmentConfig:
    return AugmentConfig(probability=probability, **(OFF | changes))


def texture(channels: int, seed: int, side: int = SIDE) -> NDArray[np.uint8]:
    """Smooth grey levels from 0 to 255, (side, side, channels)."""
    noise = np.random.default_rng(seed).normal(size=(side, side, channels)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3).reshape(side, side, channels)
    return ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)


def row_of(augmentation: Augmentation) -> NDArray[np.float32]:
    """What albumentations drew last, as a row of parameters."""
    row, middle = NOTHING.copy(), augmentation.pixels / 2 - 0.5
    for step in augmentation.pipeline.transforms:
        given, name = step.params, type(step).__name__
        if not given:
            continue
        if name == "RandomResizedCrop":
            x0, y0, x1, y1 = given["crop_coords"]
            row[CROP] = [x0, y0, x1 - x0, y1 - y0]
        elif name in ("HorizontalFlip", "VerticalFlip"):
            row[FLIP.start + (name == "VerticalFlip")] = 1
        elif name == "Rotate":
            row[ANGLE] = np.rad2deg(np.arctan2(given["matrix"][0, 1], given["matrix"][0, 0]))
        elif name == "RGBShift":
            row[SHIFT] = np.trunc(given["noise_map"])
        elif name in ("CLAHE", "ClaheBySlice"):
            row[CLIP] = given["clip_limit"]
        elif name == "RandomBrightnessContrast" and step.contrast_limit == (0.0, 0.0):
            row[SHIFT] = given["beta"]
        elif name == "RandomBrightnessContrast":
            row[LEVELS] = [given["alpha"], given["beta"]]
        elif name == "Affine":
            size, shift = np.diag(given["matrix"])[:2], given["matrix"][:2, 2]
            row[AFFINE] = [*np.rint(shift - middle * (1 - size)), *size]
        elif name == "CoarseDropout":
            row[HOLE] = given["holes"][0]
    return row.astype(np.float32)


def on_device(config: AugmentConfig, image: NDArray[np.uint8], row: NDArray[np.float32], stacked: bool) -> Any:
    batch = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
    return BatchAugmentation(config, stacked)(batch, torch.from_numpy(row[None]))[0].numpy().transpose(1, 2, 0)


def test_the_numbers_are_splitmix64s() -> None:
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert numbers(np.array([1234567], np.uint64), 5)[0].tolist() == known


def test_a_draw_is_a_function_of_seed_pass_and_example_whatever_else_is_in_the_batch() -> None:
    items = [(0, 3), (1, 3), (0, 4), (2**20, 7)]
    together = uniforms(5, items, 6)
    alone = np.concatenate([uniforms(5, [item], 6) for item in reversed(items)])[::-1]
    assert np.array_equal(together, alone) and len(np.unique(together)) == together.size
    assert not np.isin(uniforms(6, items, 6), together).any()
    assert np.array_equal(uniforms(5, items, 3), together[:, :3])
    many = uniforms(0, [(0, i) for i in range(2000)], 4)
    assert stats.kstest(many.ravel(), "uniform").pvalue > SAME
    assert np.abs(np.corrcoef(many.T) - np.eye(4)).max() < 0.1


@pytest.mark.parametrize(("name", "stacked"), [*((name, True) for name in ALONE), ("shift", False)])
def test_parameters_are_distributed_as_albumentations_draws_them(name: str, stacked: bool) -> None:
    config = config_of(**ALONE[name])
    augmentation, image = Augmentation(config, SIDE, stacked), np.zeros((SIDE, SIDE, 3), np.uint8)
    theirs = []
    for seed in range(DRAWN):
        augmentation(image, seed)
        theirs.append(row_of(augmentation))
    ours, expected = drawn(config, SIDE, stacked, 0, [(0, i) for i in range(DRAWN)]), np.stack(theirs)
    assert ours.shape == (DRAWN, COLUMNS) and (ours != NOTHING.astype(np.float32)).any(axis=1).mean() > 0.95
    for column in range(COLUMNS):
        assert stats.ks_2samp(ours[:, column], expected[:, column]).pvalue > SAME, column
    # of what is drawn together, too: sides of a crop and its corner, ends of a hole
    for part in (CROP, AFFINE, HOLE, SHIFT):
        for sums in ([1, 1, 0, 0], [0, 0, 1, -1], [1, 0, 1, 0], [0, 1, 0, -1]):
            one, other = (values[:, part] @ np.array(sums[: part.stop - part.start]) for values in (ours, expected))
            assert stats.ks_2samp(one, other).pvalue > SAME


def test_each_augmentation_happens_as_often_as_asked_and_apart_from_the_others() -> None:
    rows = drawn(config_of(0.3, **ALL), SIDE, False, 1, [(2, i) for i in range(4000)])
    changed = rows != NOTHING.astype(np.float32)
    parts = [CROP, slice(4, 5), slice(5, 6), ANGLE, SHIFT, CLIP, LEVELS, AFFINE, HOLE]
    happened = np.stack([changed[:, part].any(axis=1) for part in parts])
    assert np.abs(happened.mean(axis=1) - 0.3).max() < 0.03
    assert np.abs(np.corrcoef(happened) - np.eye(len(parts))).max() < 0.06


def test_turning_one_augmentation_off_moves_no_other() -> None:
    items = [(0, i) for i in range(50)]
    whole = drawn(config_of(0.5, **ALL), SIDE, True, 0, items)
    without = drawn(config_of(0.5, **(ALL | {"rotation": 0.0})), SIDE, True, 0, items)
    assert (whole[:, ANGLE] != 0).any() and not without[:, ANGLE].any()
    assert np.array_equal(np.delete(whole, ANGLE.start, 1), np.delete(without, ANGLE.start, 1))


CASES = [(name, stacked, SIDE) for name in ALONE for stacked in (True, False)]


@pytest.mark.parametrize(("name", "stacked", "side"), [*CASES, ("clahe", True, 45)])  # 45: its tiles are no whole ones
def test_the_same_parameters_give_the_image_that_albumentations_makes(name: str, stacked: bool, side: int) -> None:
    config = config_of(**ALONE[name])
    augmentation, differences = Augmentation(config, side, stacked), []
    for seed in range(4):
        image = texture(3, seed, side) if stacked else np.repeat(texture(1, seed, side), 3, axis=2)
        expected = augmentation(image, seed)
        differences.append(np.abs(on_device(config, image, row_of(augmentation), stacked).astype(int) - expected))
    off = np.stack(differences)
    if name == "clahe" and not stacked:  # by way of the lightness of the colour, which OpenCV keeps in 8 bits
        assert off.mean() < 0.1 and off.max() <= 3
    else:
        assert off.max() <= 1


def test_a_tinted_slice_is_equalised_by_its_lightness_as_albumentations_does_it() -> None:
    config = config_of(rgb_shift=20.0, clahe=2.0)
    augmentation = Augmentation(config, SIDE)
    for seed in range(4):
        image = np.repeat(texture(1, seed), 3, axis=2)
        expected = augmentation(image, seed)
        found = on_device(config, image, row_of(augmentation), stacked=False)
        off = np.abs(found.astype(int) - expected)
        assert off.mean() < 0.1 and off.max() <= 3
        assert len({tuple(np.unique(found[..., c])) for c in range(3)}) == 3


def test_all_of_them_together_leave_the_same_images_as_albumentations_in_distribution() -> None:
    config, image, many = config_of(0.5, **ALL), texture(3, 0), 200
    augmentation = Augmentation(config, SIDE, stacked=True)
    theirs = np.stack([augmentation(image, seed) for seed in range(many)]).transpose(0, 3, 1, 2)
    rows = torch.from_numpy(drawn(config, SIDE, True, 0, [(0, i) for i in range(many)]))
    batch = torch.from_numpy(image.transpose(2, 0, 1).copy()).expand(many, -1, -1, -1)
    ours = BatchAugmentation(config, stacked=True)(batch, rows).numpy()
    for figure in (
        lambda levels: levels.mean(axis=(1, 2, 3)),
        lambda levels: levels.std(axis=(1, 2, 3)),
        lambda levels: (levels == 0).mean(axis=(1, 2, 3)),
        lambda levels: np.abs(np.diff(levels.astype(float), axis=-1)).mean(axis=(1, 2, 3)),
        lambda levels: levels[:, 0, SIDE // 2, SIDE // 2].astype(float),
    ):
        assert stats.ks_2samp(figure(ours), figure(theirs)).pvalue > SAME


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_slices_of_a_stack_are_augmented_alike_and_without_their_neighbours(channels: int) -> None:
    config, count = config_of(**ALL), 8
    rows = torch.from_numpy(drawn(config, SIDE, True, 0, [(0, i) for i in range(count)]))
    equal = torch.from_numpy(texture(1, 1)[None, :, :, 0]).expand(count, channels, -1, -1)
    found = BatchAugmentation(config, stacked=True)(equal, rows)
    assert (found == found[:, :1]).all() and not torch.equal(found, equal)
    other = equal.clone()
    other[:, 0] = 255 - other[:, 0]
    assert torch.equal(BatchAugmentation(config, stacked=True)(other, rows)[:, 1:], found[:, 1:])


def test_an_image_comes_out_the_same_whatever_else_is_in_the_batch_and_with_nothing_drawn_as_it_was() -> None:
    config, count = config_of(0.5, **ALL), 12
    images = torch.from_numpy(np.stack([texture(3, i).transpose(2, 0, 1) for i in range(count)]))
    rows = torch.from_numpy(drawn(config, SIDE, False, 0, [(0, i) for i in range(count)]))
    augment = BatchAugmentation(config, stacked=False)
    together = augment(images, rows)
    assert torch.equal(together, torch.cat([augment(images[i : i + 1], rows[i : i + 1]) for i in range(count)]))
    assert torch.equal(together, augment(images, rows))
    nothing = torch.from_numpy(NOTHING.astype(np.float32)).expand(count, -1)
    assert torch.equal(augment(images, nothing), images)


@pytest.mark.parametrize("crop_scale", [1.0, 0.5])
def test_places_move_with_the_image_as_albumentations_moves_them(crop_scale: float) -> None:
    changes = {"horizontal_flip": True, "vertical_flip": True, "rotation": 30.0, "shift_scale": 0.2}
    config = config_of(0.7, **changes | {"crop_scale": crop_scale})
    augmentation = Augmentation(config, SIDE, stacked=True, places=True)
    places = np.array([[0.3, 0.6], [0.5, 0.5], [np.nan, np.nan], [0.9, 0.1]])
    # of a crop albumentations scales from the middle of its first pixel, which is not where its image is scaled from
    near = 1e-4 if crop_scale == 1 else 0.25 / SIDE
    for seed in range(20):
        _, expected = augmentation.with_places(texture(1, 0), places, seed)
        found = moved(places[None], row_of(augmentation)[None], SIDE)[0]
        assert found == pytest.approx(expected, abs=near, nan_ok=True)


@pytest.mark.gpu
@pytest.mark.parametrize("stacked", [True, False])
def test_a_gpu_gives_the_images_of_the_cpu_and_the_same_bytes_each_time(stacked: bool) -> None:
    config, count = config_of(0.5, **ALL), 64
    images = torch.from_numpy(np.stack([texture(3, i).transpose(2, 0, 1) for i in range(count)]))
    rows = torch.from_numpy(drawn(config, SIDE, stacked, 0, [(0, i) for i in range(count)]))
    augment = BatchAugmentation(config, stacked)
    expected, found = augment(images, rows), augment(images.cuda(), rows.cuda())
    off = (found.cpu().int() - expected.int()).abs()
    # a level rounded otherwise before CLAHE is another table, so few pixels may be further off than one
    assert off.float().mean() < 0.1 and (off > 1).float().mean() < 0.02
    assert torch.equal(found, augment(images.cuda(), rows.cuda()))

"""A study as a cube and back: where things lie, what is taught about unknown slices, what a slice is said to show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cspine.errors import CspineError
from cspine.localization.columns import BOX, MIDDLE, OUTPUTS, OWN_BOX, RATIO
from cspine.masks.extents import COLUMNS, extent_of
from cspine.masks.laying import UNKNOWN
from cspine.studies import PRESENCE
from cspine.volumes.augmentation import AugmentConfig, CubeAugmentation
from cspine.volumes.cubes import Cube, linear, nearest
from cspine.volumes.found import dice_of, outputs_of
from cspine.volumes.loss import SegmentationLoss
from cspine.volumes.networks import network_of
from training_makers import config_of

CLASSES = len(SegmentationLoss.outputs)
COLUMN = {name: place for place, name in enumerate(OUTPUTS)}


def blocks(slices: int, pixels: int) -> np.ndarray:
    """Labels of a stack: C1..C7 and a thoracic vertebra as blocks under each other, in the left upper quarter."""
    labels = np.zeros((slices, pixels, pixels), np.uint8)
    edges = np.linspace(0, slices, 9).round().astype(int)
    for level in range(8):
        labels[edges[level] : edges[level + 1], pixels // 8 : pixels // 2, pixels // 4 : pixels // 2] = level + 1
    return labels


def certain(labels: np.ndarray) -> np.ndarray:
    """Probabilities (classes, ...) of a segmentation that is sure of ``labels``."""
    return np.eye(CLASSES, dtype=np.float32)[labels].transpose(3, 0, 1, 2)


def square(slices: int, pixels: int) -> np.ndarray:
    return np.tile([pixels, pixels], (slices, 1))


# ------------------------------------------------------------------------------------------------------ the geometry


@pytest.mark.parametrize(("samples", "wanted"), [(7, 16), (16, 7), (300, 32), (1, 4), (12, 12)])
def test_every_value_is_a_weighted_mean_of_its_neighbours_and_keeps_its_place(samples: int, wanted: int) -> None:
    weights = linear(samples, wanted)
    assert weights.shape == (wanted, samples) and np.allclose(weights.sum(1), 1)
    places = (np.arange(samples) + 0.5) / samples  # a ramp stays a ramp, but where an end cuts its triangle
    inner = slice(1, -1) if wanted > 2 else slice(0, 0)
    assert np.allclose((weights @ places)[inner], ((np.arange(wanted) + 0.5) / wanted)[inner], atol=0.5 / samples)
    assert np.abs(nearest(samples, wanted) - ((np.arange(wanted) + 0.5) * samples / wanted - 0.5)).max() <= 0.5


def test_a_cube_of_the_studys_own_size_is_the_study() -> None:
    stack = np.random.default_rng(0).integers(0, 256, (12, 12, 12)).astype(np.uint8)
    cube = Cube(12, 12, 12)
    assert np.array_equal(cube.of(stack), stack) and np.array_equal(cube.labels_of(stack), stack)


def test_a_coarser_cube_has_means_so_that_nothing_thin_is_lost() -> None:
    stack = np.zeros((64, 32, 32), np.uint8)
    stack[30] = 200  # one bright slice of 64
    cells = Cube(64, 32, 8).of(stack)
    assert cells.shape == (8, 8, 8) and cells.max() >= 15 and cells[0].max() == 0


@pytest.mark.parametrize(("slices", "pixels", "side"), [(40, 48, 32), (24, 32, 32), (90, 64, 32)])
def test_a_segmentation_in_the_cube_comes_back_to_its_slices_and_shares(slices: int, pixels: int, side: int) -> None:
    labels, cube = blocks(slices, pixels), Cube(slices, pixels, side)
    found = outputs_of(certain(cube.labels_of(labels)), cube, square(slices, pixels), 1.0)
    truth = np.stack([extent_of(image) for image in labels])
    counts = truth[:, : len(RATIO)]
    present = found[:, : len(PRESENCE)] >= 0.5
    assert (present != (counts[:, : len(PRESENCE)] > 0)).sum() <= 14  # at most a slice at each end of each vertebra
    ratios = found[:, COLUMN[RATIO[0]] : COLUMN[RATIO[0]] + len(RATIO)]
    assert np.abs(ratios - counts / counts.max(0)).mean() < 0.05
    boxes = found[:, [COLUMN[name] for name in BOX]]
    assert np.nanmax(np.abs(boxes - truth[:, [COLUMNS.index(name) for name in BOX]])) <= 1.5 / side
    inner = present & (counts[:, : len(PRESENCE)] > 0)
    middles = found[:, [COLUMN[name] for name in MIDDLE]].reshape(slices, -1, 2)
    wanted = truth[:, [COLUMNS.index(name) for name in MIDDLE]].reshape(slices, -1, 2)
    assert np.nanmax(np.abs(middles - wanted)[inner]) <= 1 / side
    own = found[:, [COLUMN[name] for name in OWN_BOX]].reshape(slices, -1, 4)
    wanted = truth[:, [COLUMNS.index(name) for name in OWN_BOX]].reshape(slices, -1, 4)
    assert np.nanmax(np.abs(own - wanted)[inner]) <= 1.5 / side


def test_a_study_shown_upside_down_or_shifted_gives_the_slices_of_that_order() -> None:
    labels, cube = blocks(48, 32), Cube(48, 32, 16)
    there = outputs_of(certain(cube.labels_of(labels)), cube, square(48, 32), 1.0)
    back = outputs_of(certain(cube.labels_of(labels[::-1])), cube, square(48, 32), 1.0)
    assert np.allclose(there, back[::-1], atol=1e-5, equal_nan=True)
    shifted = np.roll(labels, 6, axis=0)  # C1 begins six slices later, and the rest wraps to the head
    found = outputs_of(certain(cube.labels_of(shifted)), cube, square(48, 32), 1.0)
    first = [int(np.flatnonzero(part[:, 0] >= 0.5)[0]) for part in (there, found)]
    assert first[1] - first[0] == 6


def test_places_of_a_padded_and_cut_view_are_shares_of_the_stored_slice() -> None:
    pixels, rows, columns, centre = 32, 100, 60, 0.5  # the view: the middle 50 of a square of 100
    labels = np.zeros((8, pixels, pixels), np.uint8)
    labels[:, 0:16, 16:32] = 3  # of the view's upper right quarter: rows 25 to 50, columns 50 - 20 to 75 - 20
    cube = Cube(8, pixels, 32)
    found = outputs_of(certain(cube.labels_of(labels)), cube, np.tile([rows, columns], (8, 1)), centre)[4]
    assert found[[COLUMN[name] for name in BOX]] == pytest.approx([30 / 60, 25 / 100, 55 / 60, 50 / 100], abs=1e-6)
    middle = [found[COLUMN[f"middle_C3_{axis}"]] for axis in "xy"]
    assert middle == pytest.approx([42.5 / 60, 37.5 / 100], abs=1e-6)
    assert np.isnan(found[COLUMN["middle_C4_x"]]) and found[COLUMN["ratio_C4"]] == 0


def test_dice_counts_the_slices_that_a_plane_shows_and_knows_nothing_of_absent_vertebrae() -> None:
    labels, cube = blocks(32, 32), Cube(32, 32, 32)
    absent = np.where(labels == 7, 0, labels)
    sure = certain(cube.labels_of(absent))
    assert np.allclose(dice_of(sure, cube, dict(enumerate(absent)))[:6], 1)
    assert np.isnan(dice_of(sure, cube, dict(enumerate(absent)))[6])
    half = dice_of(sure, cube, {z: image for z, image in enumerate(labels) if z < 16})
    assert np.allclose(half[:4], 1) and np.isnan(half[4:]).all()
    assert np.isnan(dice_of(sure, cube, {})).all()
    wider = labels.copy()
    wider[labels == 0] = 1
    assert dice_of(sure, cube, dict(enumerate(wider)))[0] < 0.1


# ---------------------------------------------------------------------------------------------------------- the loss


def a_batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, CLASSES, 8, 8, 8, generator=generator)
    return logits, torch.randint(0, CLASSES, (3, 8, 8, 8), generator=generator).to(torch.uint8), torch.ones(3)


def test_what_is_said_about_unknown_slices_costs_nothing() -> None:
    logits, target, weight = a_batch()
    loss = SegmentationLoss(config_of())
    target[:, 5:] = UNKNOWN
    other = logits.clone()
    other[:, :, 5:] = 100 * torch.randn(3, CLASSES, 3, 8, 8)
    assert torch.allclose(loss(logits, target, weight), loss(other, target, weight))
    inside = logits.clone()
    inside[:, :, 4] += torch.randn(3, CLASSES, 8, 8)
    assert not torch.allclose(loss(logits, target, weight), loss(inside, target, weight))


def test_a_study_of_which_nothing_is_known_counts_neither_above_nor_below_the_line() -> None:
    logits, target, weight = a_batch()
    loss = SegmentationLoss(config_of())
    target[2] = UNKNOWN
    assert torch.allclose(loss(logits, target, weight), loss(logits[:2], target[:2], weight[:2]))
    assert loss(logits[2:], target[2:], weight[2:]) == 0


def test_a_sure_and_right_answer_costs_nothing_and_a_sure_and_wrong_one_much() -> None:
    _, target, weight = a_batch()
    loss = SegmentationLoss(config_of())
    right = 50 * torch.from_numpy(np.eye(CLASSES, dtype=np.float32)[target.numpy()]).permute(0, 4, 1, 2, 3)
    assert loss(right, target, weight) < 1e-3 < 20 < loss(right.roll(1, dims=1), target, weight)


def test_the_parts_of_a_batch_add_up_to_the_whole_batchs_loss() -> None:
    logits, target, weight = a_batch()
    target[0, 2:] = UNKNOWN
    weight[1] = 0.25
    loss = SegmentationLoss(config_of())
    norms = loss.norms(target, weight)
    parts = sum(loss.value(loss.sums(logits[i : i + 1], target[i : i + 1], weight[i : i + 1]), norms) for i in range(3))
    assert torch.allclose(torch.as_tensor(parts), loss(logits, target, weight), atol=1e-6)


def test_labels_of_voxels_cannot_be_blended() -> None:
    with pytest.raises(CspineError, match=r"training\.mixup: found 0\.4; labels of voxels cannot be blended"):
        SegmentationLoss(config_of(mixup=0.4))


# --------------------------------------------------------------------------------------------------- the augmentation

AUGMENT = AugmentConfig(1.0, True, 15.0, 0.1, 0.1, 0.1)


def test_a_cube_and_its_labels_move_together() -> None:
    labels = Cube(32, 32, 32).labels_of(blocks(32, 32))
    cells = np.where(labels > 0, 200, 40).astype(np.uint8)
    turned, moved = CubeAugmentation(AugmentConfig(1.0, True, 15.0, 0.1, 0.1, 0.0), 32)(cells, labels, seed=3)
    assert not np.array_equal(moved, labels)
    assert ((turned > 120) == (moved > 0)).mean() > 0.98  # rims are rounded in two ways
    assert set(np.unique(moved)) <= set(np.unique(labels))  # moved, never blended


def test_the_same_seed_moves_alike_and_another_one_otherwise() -> None:
    labels = Cube(16, 16, 16).labels_of(blocks(16, 16))
    cells = np.random.default_rng(0).integers(0, 256, (16, 16, 16)).astype(np.uint8)
    one, again = CubeAugmentation(AUGMENT, 16), CubeAugmentation(AUGMENT, 16)
    again(cells, labels, 8)  # what came before does not matter
    first = one(cells, labels, 5)
    assert all(map(np.array_equal, first, again(cells, labels, 5)))
    assert not np.array_equal(first[0], one(cells, labels, 6)[0])


def test_what_is_off_changes_nothing() -> None:
    labels = Cube(16, 16, 16).labels_of(blocks(16, 16))
    cells = np.random.default_rng(0).integers(0, 256, (16, 16, 16)).astype(np.uint8)
    off = CubeAugmentation(AugmentConfig(1.0, False, 0.0, 0.0, 0.0, 0.0), 16)
    assert all(map(np.array_equal, (cells, labels), off(cells, labels, 1)))


# ------------------------------------------------------------------------------------------------------- the networks


@pytest.mark.parametrize("name", ["unet", "segresnet", "dynunet"])
def test_every_network_gives_a_class_for_every_cell_of_each_study_by_itself(name: str) -> None:
    torch.manual_seed(0)
    network = network_of(name, 16, [4, 8, 16], 0.0, CLASSES).eval()
    cubes = torch.randn(2, 1, 16, 16, 16)
    with torch.inference_mode():
        both, first = network(cubes), network(cubes[:1])
    assert both.shape == (2, CLASSES, 16, 16, 16) and torch.allclose(both[:1], first, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "cube", "channels", "words"),
    [
        ("vnet", 16, [4, 8], "no 3D network 'vnet'; expected one of dynunet, segresnet, unet"),
        ("unet", 18, [4, 8, 16], "found 18; 3 levels of channels halve it 2 times, so a multiple of 4 is expected"),
        ("unet", 16, [4], "expected those of 2 levels or more"),
        ("segresnet", 16, [4, 6], "its channels double from level to level"),
    ],
)
def test_a_network_that_cannot_be_made_is_answered_with_what_can(
    name: str, cube: int, channels: list[int], words: str
) -> None:
    with pytest.raises(CspineError, match=words):
        network_of(name, cube, channels, 0.0, CLASSES)

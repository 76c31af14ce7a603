"""The slice localizer: places move with the image, what is unknown teaches nothing, outputs stand where they belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from cspine.augment import Augmentation, AugmentConfig
from cspine.evaluation import evaluate
from cspine.localization.columns import BOX, MIDDLE, OUTPUTS, OWN_BOX, RATIO
from cspine.localization.losses import TARGETS, LocalizerLoss
from cspine.methods import slice_cnn, slice_localizer
from cspine.methods.slice_localizer import LocalizerExamples, NetworkConfig
from cspine.precision import Precision
from cspine.studies import PRESENCE
from cspine.tables import read_table
from small_localizations import AUGMENT, NETWORK, PIXELS_A_SIDE, Localizer, write_data
from training_makers import config_of

OFF: dict[str, Any] = AUGMENT | {
    "probability": 1.0,
    "horizontal_flip": False,
    "rotation": 0.0,
    "brightness": 0.0,
    "shift_scale": 0.0,
    "cutout": 0.0,
}
SIDE = 64
MOVING = {
    "horizontal flip": {"horizontal_flip": True},
    "vertical flip": {"vertical_flip": True},
    "rotation": {"rotation": 25.0},
    "shift and scale": {"shift_scale": 0.2},
    "crop": {"crop_scale": 0.6},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slices")
    write_data(folder)
    return folder


def examples(folder: Path, augment: dict[str, Any] | None = None) -> LocalizerExamples:
    table = Localizer(folder).build(0)
    return slice_localizer.examples(table, [folder / "train.parquet"], NetworkConfig(**NETWORK), augment, seed=3)


def cell(target: Tensor, name: str) -> float:
    return float(target[TARGETS.index(name)])


@pytest.mark.parametrize("changes", MOVING.values(), ids=MOVING)
def test_a_place_goes_where_the_spot_in_the_image_goes(changes: dict[str, Any]) -> None:
    augmentation = Augmentation(AugmentConfig(**(OFF | changes)), SIDE, stacked=True, places=True)
    image = np.zeros((SIDE, SIDE, 1), np.uint8)
    cv2.circle(image, (26, 36), 3, 255, -1)
    place = np.array([[26.5, 36.5], [np.nan, np.nan]]) / SIDE
    for seed in range(6):
        moved, places = augmentation.with_places(image, place, seed)
        level = moved.reshape(SIDE, SIDE).astype(float)
        spot = [(level.sum(axis) * (np.arange(SIDE) + 0.5)).sum() / level.sum() / SIDE for axis in (0, 1)]
        assert places[0] == pytest.approx(spot, abs=0.5 / SIDE) and np.isnan(places[1]).all()
        assert not np.array_equal(moved, image)


def test_asked_for_places_or_not_the_image_is_the_same() -> None:
    config = AugmentConfig(**AUGMENT | {"probability": 1.0})
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    alone = Augmentation(config, SIDE, stacked=True)(image, 5)
    beside, _ = Augmentation(config, SIDE, stacked=True, places=True).with_places(image, np.full((1, 2), 0.5), 5)
    assert np.array_equal(alone, beside) and not np.array_equal(alone, image)


def test_a_flipped_example_has_its_box_and_middles_mirrored_and_its_ratios_as_they_were(folder: Path) -> None:
    plain, flipped = examples(folder), examples(folder, OFF | {"horizontal_flip": True})
    for i in range(0, len(plain), 5):
        (image, target, _), (mirrored, other, _) = plain[0, i], flipped[0, i]
        assert torch.equal(mirrored, image.flip(-1))
        assert [cell(other, name) for name in BOX] == pytest.approx(
            [1 - cell(target, "box_x1"), cell(target, "box_y0"), 1 - cell(target, "box_x0"), cell(target, "box_y1")]
        )
        middles = [(cell(target, x), cell(other, x)) for x in MIDDLE[::2]]
        assert [b for _, b in middles] == pytest.approx([1 - a for a, _ in middles], nan_ok=True)
        assert [cell(other, name) for name in (*RATIO, *PRESENCE)] == [cell(target, n) for n in (*RATIO, *PRESENCE)]


def test_the_targets_of_a_slice_are_what_its_mask_says(folder: Path) -> None:
    data = examples(folder)
    target = data[0, 3][1]  # study 1.0, the second slice of C2: rows 10 to 15, columns 6 to 13
    assert [cell(target, name) for name in BOX] == pytest.approx(np.array([6, 10, 14, 16]) / PIXELS_A_SIDE)
    assert [cell(target, name) for name in ("ratio_C2", "present_C2", "ratio_C1")] == [1, 1, 0]
    assert cell(target, "middle_C2_y") == pytest.approx(13 / PIXELS_A_SIDE) and np.isnan(cell(target, "middle_C1_x"))
    assert data.positive().all()


def test_what_an_augmentation_moves_out_of_the_view_is_unknown() -> None:
    corners = np.array([[-0.4, 0.2], [-0.1, 0.2], [-0.4, 0.5], [-0.1, 0.5]])
    assert np.isnan(slice_localizer._box_of(corners)).all()
    assert slice_localizer._box_of(corners + np.array([0.3, 0])).tolist() == pytest.approx([0, 0.2, 0.2, 0.5])
    inside = slice_localizer._inside(np.array([[0.5, 1.01], [0.5, 1.0], [np.nan, np.nan]]))
    assert np.isnan(inside).tolist() == [True, True, False, False, True, True]


def loss_of(**changes: Any) -> LocalizerLoss:
    return LocalizerLoss(config_of(**changes))


def batch(count: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(count, len(TARGETS), generator=generator)
    target[1, 8:26] = float("nan")  # no box and no middle
    return torch.randn(count, len(TARGETS), generator=generator), target, torch.rand(count, generator=generator) + 0.5


def test_an_unknown_place_counts_in_no_sum_no_norm_and_no_gradient() -> None:
    loss = loss_of(presence_weight=1.0)
    logits, target, weight = batch()
    logits.requires_grad_()
    loss(logits, target, weight).backward()
    assert logits.grad is not None and not logits.grad[1, 8:26].any() and logits.grad[0].all()
    rest = [0, 2, 3, 4, 5]
    of_rest = loss.sums(logits[rest], target[rest], weight[rest]) / loss.norms(target[rest], weight[rest])
    of_all = loss.sums(logits, target, weight) / loss.norms(target, weight)
    assert torch.allclose(of_all[1:3], of_rest[1:3]) and not torch.allclose(of_all[0], of_rest[0])


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    loss = loss_of(presence_weight=0.5)
    logits, target, weight = batch()
    whole = loss.sums(logits, target, weight)
    first, rest = (loss.sums(logits[p], target[p], weight[p]) for p in (slice(0, 1), slice(1, 6)))
    assert torch.allclose(whole, first + rest) and len(whole) == len(loss.terms) == len(loss.coefficients) == 4


def test_the_right_answer_has_the_least_loss_of_places_and_ratios() -> None:
    loss = loss_of(presence_weight=1.0)
    _, target, weight = batch()
    right = torch.logit(target.nan_to_num(0.5).clamp(1e-6, 1 - 1e-6))
    assert loss.sums(right, target, weight)[1:3].abs().max() < 1e-6  # no error of box and middles
    for shift in (-0.3, 0.3):
        assert (loss.sums(right + shift, target, weight) > loss.sums(right, target, weight)).all()


def test_without_a_weight_for_presence_there_is_no_such_output() -> None:
    assert loss_of().outputs == (*RATIO, *BOX, *MIDDLE) and loss_of().terms == ("loss", "box_loss", "middle_loss")
    assert loss_of(presence_weight=1.0).outputs == TARGETS


class Fixed(torch.nn.Module):
    """Answers with the logits it was made with."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, pixels: Tensor) -> Tensor:
        return self.logits


def test_the_history_counts_hits_on_the_ratios_of_the_seven() -> None:
    logits, target, weight = batch(2)
    target[:, :8] = torch.tensor([1.0, 1, 0, 0, 0, 0, 0, 0])
    logits[:, :8] = torch.tensor([5.0, -5, -5, -5, -5, -5, 5, 5])  # C1 found, C2 missed, C7 called; T does not count
    loss = loss_of(presence_weight=1.0)
    batches = [(torch.zeros(2, 1), target, weight)]
    row = evaluate(Fixed(logits), loss, batches, torch.device("cpu"), Precision("fp32", "cpu"))
    assert (row["select_sensitivity"], row["select_specificity"]) == (0.5, 0.8)
    assert {"select_loss", "select_box_loss", "select_middle_loss", "select_presence_loss"} < row.keys()


@pytest.mark.parametrize("presence_weight", [0.0, 1.0])
def test_every_output_stands_in_its_column_and_places_are_shares_of_the_stored_slice(
    folder: Path, monkeypatch: pytest.MonkeyPatch, presence_weight: float
) -> None:
    index = read_table(folder / "slices.parquet").query("StudyInstanceUID == '1.0'")
    index = index.assign(rows=np.int16(32), columns=np.int16(64))  # twice as wide as high: padded to a square
    outputs = loss_of(presence_weight=presence_weight).outputs
    shares = np.tile(np.linspace(0.3, 0.7, len(outputs), dtype=np.float32), (len(index), 1))
    monkeypatch.setattr(slice_cnn, "outputs_of", lambda *_: iter([shares[:5], shares[5:]]))
    network = slice_localizer.build(NetworkConfig(**NETWORK), outputs=len(outputs))
    cpu = torch.device("cpu")
    (table,) = slice_localizer.localize(network, [index], [folder / "train.parquet"], cpu, Precision("fp32", "cpu"), 5)
    assert list(table.columns) == list(OUTPUTS) and table.index.equals(index.index)
    assert table[list(OWN_BOX)].isna().all(axis=None)
    said = dict(zip(outputs, shares[0].tolist(), strict=True))
    row = table.iloc[0]
    assert [row[name] for name in RATIO] == pytest.approx([said[name] for name in RATIO])
    kind = "present" if presence_weight else "ratio"
    assert [row[name] for name in PRESENCE] == pytest.approx([said[f"{kind}_C{n}"] for n in range(1, 8)])
    assert row["box_x0"] == pytest.approx(said["box_x0"])
    assert row["middle_C4_y"] == pytest.approx((said["middle_C4_y"] * 64 - 16) / 32)


def test_ratio_box_and_presence_are_learnt_from_a_few_slices(folder: Path) -> None:
    localizer = Localizer(folder, steps=60)
    localizer.build(0)
    localizer.train(0)
    history = read_table(localizer.file("history.parquet", 0))
    assert history["train_loss"].iloc[-1] < 1.6  # 2.6 at the start
    found = localizer.predict(0).query("StudyInstanceUID == '1.0' or StudyInstanceUID == '1.5'")
    assert found[list(BOX)].notna().all(axis=None)

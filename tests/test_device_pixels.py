"""Batches finished on the device: from RAM or held there the same bytes, for each kind of example what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import default_collate

from cspine import runtime
from cspine.cache.reading import SliceCache
from cspine.checkpoint import Checkpoints
from cspine.errors import CspineError
from cspine.examples import Item, in_order, loader
from cspine.localization.columns import BOX
from cspine.localization.losses import TARGETS
from cspine.methods import slice_cnn, slice_localizer, vertebra_crop, vertebra_sequence
from cspine.methods.presence_cnn import PresenceExamples
from cspine.methods.slice_cnn import NetworkConfig, SliceExamples
from cspine.on_device import pixels as device_pixels
from cspine.precision import Precision
from cspine.studies import UID, VERTEBRAE
from cspine.tables import read_table
from cspine.tracking import Silent
from cspine.training import Task, Trained, fit
from cspine.volumes.study_examples import StudyExamples
from small_localizations import AUGMENT, NETWORK, Localizer, write_data
from small_vertebrae import vertebrae_table, write_cache
from training_makers import config_of, equal

CPU = torch.device("cpu")
OFF: dict[str, Any] = {"probability": 1.0, "crop_scale": 1.0, "horizontal_flip": False, "vertical_flip": False}
OFF |= {"rotation": 0.0, "rgb_shift": 0.0, "clahe": 0.0}
ITEMS: list[Item] = [(0, 3), (2, 1), (0, 17), (1, 8)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slices")
    write_data(folder)
    return folder


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, pixels_in="device")


def put(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    monkeypatch.setenv(runtime.VARIABLE, json.dumps({"device": "cpu", **settings}))


def slices(folder: Path, augment: dict[str, Any] | None = AUGMENT, **changes: Any) -> SliceExamples:
    table = Localizer(folder).build(0).assign(weight=1.0, **dict.fromkeys(VERTEBRAE, 0.0))
    table["C2"] = (np.arange(len(table)) % 3 == 0).astype(float)
    network = NetworkConfig(**NETWORK | changes)
    return slice_cnn.examples(table, [folder / "train.parquet"], network, augment, seed=3)


def taught(
    folder: Path, place: Path, dies_at: int | None = None, **changes: Any
) -> tuple[dict[str, Tensor], Trained | None]:
    """The weights of a short training on the device, and what it left; killed in the step ``dies_at``."""
    config = config_of(epoch_steps=5, epochs=1, ema=0.5, **{"augment_on": "device", **changes})
    data, select = slices(folder), slices(folder, None)
    if dies_at is not None:
        prepare, left = data.prepare, iter(range(dies_at))
        data.prepare = lambda batch: prepare(batch) if next(left, None) is not None else _killed()  # type: ignore[method-assign]
    torch.manual_seed(0)
    network = slice_cnn.build(NetworkConfig(**NETWORK))
    task = Task(network, slice_cnn.loss(config), data, select, config, 3, Checkpoints(place), Silent())
    if dies_at is None:
        return network.state_dict(), fit(task)
    with pytest.raises(KeyboardInterrupt):
        fit(task)
    return network.state_dict(), None


def _killed() -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize("changes", [{"neighbours": 1}, {"neighbours": 0}, {"neighbours": 0, "colour": "learned"}])
def test_a_slice_that_is_not_augmented_is_the_same_one_by_one_in_a_batch_and_held(
    folder: Path, changes: dict[str, Any]
) -> None:
    one_by_one = slices(folder, None, **changes)
    expected = default_collate([one_by_one[item] for item in ITEMS])
    held = slices(folder, None, **changes)
    assert held.hold_pixels(CPU) == ""
    (batch,) = loader(held, [ITEMS], workers=3)  # nothing is left for workers to read, so none is started
    assert batch[0].shape == (4, 2 * changes["neighbours"] + 1 if changes["neighbours"] else 1)
    for found, wanted in zip(held.prepare(batch), expected, strict=True):
        assert torch.equal(found.nan_to_num(), wanted.nan_to_num()) and found.dtype == wanted.dtype


@pytest.mark.parametrize("changes", [{"neighbours": 1}, {"neighbours": 0}])
def test_an_augmented_batch_is_the_same_from_ram_and_held_and_item_by_item(
    folder: Path, changes: dict[str, Any]
) -> None:
    results = []
    for is_held in (False, True):
        data = slices(folder, **changes)
        data.augment_on_device()
        assert not is_held or data.hold_pixels(CPU) == ""
        (batch,) = loader(data, [ITEMS], workers=0)
        results.append(data.prepare(batch))
        alone = [data.prepare([tensor[None] for tensor in data[item]])[0][0] for item in ITEMS]
        assert torch.equal(torch.stack(alone), results[-1][0])
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(*results, strict=True))
    assert results[0][0].dtype == torch.uint8 and results[0][0].shape == (4, 3, 32, 32)
    as_they_are = slices(folder, None, **changes)
    assert not torch.equal(results[0][0], torch.stack([as_they_are[item][0] for item in ITEMS]))


def test_a_training_has_the_same_bytes_from_ram_and_held_and_others_when_it_is_augmented_on_the_cpu(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(monkeypatch)
    from_ram, history = taught(folder, tmp_path / "ram")
    on_cpu, _ = taught(folder, tmp_path / "cpu", augment_on="cpu")
    put(monkeypatch, pixels_in="device")
    capsys.readouterr()
    held, other = taught(folder, tmp_path / "held")
    assert equal(from_ram, held) and history is not None and other is not None and history.history == other.history
    assert "pixels: 40 slices of 32 px take 41.0 kB of the" in capsys.readouterr().err
    fallen_back, _ = taught(folder, tmp_path / "back", augment_on="cpu")
    assert equal(on_cpu, fallen_back) and not equal(on_cpu, held)
    said = capsys.readouterr().err
    assert "pixels of train stay in RAM: they are augmented on the CPU; expected training.augment_on: device" in said


def test_cut_off_a_training_on_the_device_goes_on_to_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, pixels_in="device", checkpoint_steps=1)
    whole, _ = taught(folder, tmp_path / "whole")
    taught(folder, tmp_path / "cut", dies_at=3)
    assert equal(taught(folder, tmp_path / "cut")[0], whole)


def test_pixels_that_do_not_fit_stay_in_ram_and_a_line_says_how_large_they_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_pixels, "free_bytes", lambda device: 60_000)
    data = slices(folder, None)
    why_not = data.hold_pixels(CPU)
    assert why_not.startswith("40 slices of 32 px take 41.0 kB, more than 60% of the 60.0 kB that are free on cpu")
    assert not data.held and not data.batched and len(data[0, 0]) == 3


def test_what_worker_processes_are_given_holds_no_pixels(folder: Path) -> None:
    data = slices(folder, None)
    data.hold_pixels(CPU)
    state = data.__getstate__()
    assert state["pixels_held"].pixels.numel() == 0 and data.pixels_held is not None
    assert data.pixels_held.pixels.numel() == 40 * 32**2


@pytest.mark.parametrize("changes", [{"neighbours": 1}, {"neighbours": 0}])
def test_predictions_are_the_same_bytes_wherever_the_pixels_lie(
    folder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    network = slice_cnn.build(NetworkConfig(**NETWORK | changes))
    index = read_table(folder / "slices.parquet")
    tables = [rows for _, rows in index[index["cohort"] == "train"].groupby(UID)]
    tables[1] = tables[1].iloc[[6, 2, 3]]  # some of a study's slices, in any order
    results = []
    for place in ("ram", "device"):
        put(monkeypatch, pixels_in=place)
        found = slice_cnn.predict_slices(network, tables, [folder / "train.parquet"], CPU, Precision("fp32", "cpu"), 3)
        results.append(list(found))
    assert [len(batch) for batch in results[0]] == [len(batch) for batch in results[1]]
    assert np.array_equal(np.concatenate(results[0]), np.concatenate(results[1]))


@pytest.mark.parametrize("apart", [False, True])
def test_the_slices_of_a_vertebra_are_augmented_alike_on_the_device(tmp_path: Path, apart: bool) -> None:
    shard = write_cache(tmp_path / "shard-0.parquet")
    if apart:
        settings = vertebra_crop.NetworkConfig("test_resnet", "none", 32, "pooled", 8, "all")
        data = vertebra_crop.examples(vertebrae_table(), [shard], settings, OFF | {"rotation": 30.0}, 0)
        plain = vertebra_crop.examples(vertebrae_table(), [shard], settings, None, 0)
    else:
        network = vertebra_sequence.NetworkConfig("test_convnext", "none", 32, 3, 8, 1, 0.0)
        data = vertebra_sequence.examples(vertebrae_table(), [shard], network, OFF | {"rotation": 30.0}, 0)
        plain = vertebra_sequence.examples(vertebrae_table(), [shard], network, None, 0)
    data.augment_on_device()
    items = [(0, 4), (1, 4)]
    pixels, targets, weights = data.prepare(data.batch(items))
    expected = default_collate([plain[item] for item in items])
    assert pixels.shape == expected[0].shape and torch.equal(targets, expected[1]) and torch.equal(weights, expected[2])
    assert not torch.equal(pixels[0], pixels[1]) and not torch.equal(pixels, expected[0])
    equal_before = [(a, b) for a in range(6) for b in range(6) if not apart and torch.equal(*expected[0][0, [a, b]])]
    assert apart or len(equal_before) > 6
    assert all(torch.equal(pixels[0, a], pixels[0, b]) for a, b in equal_before)
    assert "only those of slices can" in data.hold_pixels(CPU)


def test_a_localizers_places_are_mirrored_with_the_slice_on_the_device(folder: Path) -> None:
    table = Localizer(folder).build(0)
    network, shard = slice_localizer.NetworkConfig(**NETWORK), [folder / "train.parquet"]
    plain = slice_localizer.examples(table, shard, network, None, 3)
    data = slice_localizer.examples(table, shard, network, OFF | {"horizontal_flip": True}, 3)
    data.augment_on_device()
    pixels, targets, _ = data.prepare(data.batch(ITEMS))
    images, before, _ = default_collate([plain[item] for item in ITEMS])
    x0, y0, x1, _ = (TARGETS.index(name) for name in BOX)
    assert torch.equal(pixels, images.flip(-1))
    assert torch.allclose(
        targets[:, [x0, y0, x1]], torch.stack([1 - before[:, x1], before[:, y0], 1 - before[:, x0]], 1)
    )


def test_presence_is_taught_on_the_device_as_the_masks_say_it(folder: Path) -> None:
    network, table = NetworkConfig(**NETWORK), Localizer(folder).build(0)
    from cspine.augment import AugmentConfig

    data = PresenceExamples(table, [folder / "train.parquet"], network, AugmentConfig(**AUGMENT), 0)
    expected = torch.stack([data[item][1] for item in ITEMS])
    data.augment_on_device()
    assert torch.equal(data.prepare(data.batch(ITEMS))[1], expected) and torch.equal(data[0, 3][1], expected[0])


def test_volumes_are_refused_by_the_name_of_the_key(folder: Path) -> None:
    table = Localizer(folder).build(0).drop_duplicates(UID)
    with pytest.raises(CspineError, match=r"training.augment_on: found device, but StudyExamples .* expected cpu"):
        StudyExamples(table, [folder / "train.parquet"], 1, None, 0).augment_on_device()


def test_the_loader_of_held_examples_gives_batches_in_their_order_and_knows_how_many(folder: Path) -> None:
    data = slices(folder, None)
    data.hold_pixels(CPU)
    batches = loader(data, in_order([len(data)], 7), 0, again=True)
    rows = torch.cat([batch[0][:, 1] for batch in batches])
    assert len(batches) == -(-len(data) // 7) == len(list(batches))
    cache = SliceCache([folder / "train.parquet"])
    assert data.pixels_held is not None
    for i in (0, 9, len(data) - 1):
        expected = cache[data.uids[data.study_of[i]], int(data.z_indices[i])]
        assert np.array_equal(data.pixels_held.pixels[rows[i]].numpy(), expected)


@pytest.mark.gpu
def test_on_a_gpu_a_batch_is_the_same_from_ram_and_held_there(folder: Path) -> None:
    batches = []
    for is_held in (False, True):
        data = slices(folder)
        data.augment_on_device()
        assert not is_held or data.hold_pixels(torch.device("cuda")) == ""
        (batch,) = loader(data, [ITEMS], workers=0, pin=True)
        batches.append(data.prepare([tensor.to("cuda", non_blocking=True) for tensor in batch]))
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(*batches, strict=True))
    assert batches[1][0].is_cuda and batches[1][0].shape == (4, 3, 32, 32)


@pytest.mark.slow  # each process imports torch anew
def test_processes_that_read_change_no_byte_of_a_batch_and_none_of_what_is_held(folder: Path) -> None:
    batches, held = [], []
    for workers in (0, 2):
        data = slices(folder)
        data.augment_on_device()
        batches.append([data.prepare(batch) for batch in loader(data, [ITEMS, ITEMS[:2]], workers)])
        assert data.hold_pixels(CPU, workers) == "" and data.pixels_held is not None
        held.append(data.pixels_held.pixels)
    for one, other in zip(*batches, strict=True):
        assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(one, other, strict=True))
    assert torch.equal(*held)

"""What every system keeps to, whichever family it is of: the blocks of config.yaml, on a small world of their unit."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cspine.blocks import block
from cspine.config import complete_config, read_yaml
from cspine.devices import device_of
from cspine.errors import CspineError
from cspine.hashing import canonical_json, file_digest
from cspine.layers import Config, in_member, merged
from cspine.methods.registry import FAMILIES, family_of, unit_of
from cspine.models import read_model
from cspine.running import typed_config
from cspine.stages.train import TrainConfig, train
from cspine.tables import read_table
from small_units import STUDIES, World, world_of

ROOT = Path(__file__).parent.parent
SCHEMA = read_yaml(ROOT / "workflow/schemas/config.schema.yaml")
DEFAULT = complete_config(read_yaml(ROOT / "config.yaml"), SCHEMA)
SYSTEMS = sorted(DEFAULT["methods"])
#: one system for each network: what hangs on the network alone is shown once
NETWORKS = {canonical_json([b["family"], b["network"], b["members"][:1]]): n for n, b in DEFAULT["methods"].items()}
DISTINCT = sorted(NETWORKS.values())
FEW = {"epochs": 1, "epoch_steps": 2, "batch_size": 4, "warmup_steps": 0, "loss": "bce"}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, World]:
    return {unit: world_of(tmp_path_factory.mktemp(unit), unit) for unit in ("slice", "vertebra", "study")}


def method_of(name: str, **training: Any) -> Config:
    """A system's block with a training of a few steps; of several members the first."""
    found: Config = DEFAULT["methods"][name]
    return merged(found, {"training": {**FEW, **training}})


def config_of(name: str, **training: Any) -> TrainConfig:
    """What the stage ``train`` is given for it."""
    methods = {**DEFAULT["methods"], name: method_of(name, **training)}
    at = {"method": name, "fold": "0", "round": "0"}
    at |= {"member": "0"} if methods[name]["members"] else {}
    config = typed_config("train", block({**DEFAULT, "methods": methods}, "train", **at))
    assert isinstance(config, TrainConfig)
    return config


def trained(world: World, name: str, place: Path, **training: Any) -> Path:
    """The model of a short training."""
    (scratch := place / "scratch").mkdir(parents=True)
    files = [place / file for file in ("model.safetensors", "history.parquet", "state.safetensors")]
    model, history, state = files
    train(world.training_set, world.shards, model, history, state, scratch, config=config_of(name, **training))
    return model


def judged(world: World, name: str, model: Path, device: str = "cpu") -> NDArray[np.float32]:
    """What a finished model says: (slices, 7), with presence (slices, 14), or (studies, 8)."""
    family = importlib.import_module(family_of(config_of(name).family).module)
    where, precision = device_of(device, "fp32")
    network = family.load(model)
    predict = family.predict_slices if unit_of(config_of(name).family) == "slice" else family.predict_studies
    found = list(predict(network, world.tables, world.shards, where, precision, 4, 0))
    return np.concatenate(found) if unit_of(config_of(name).family) == "slice" else np.stack(found)


def of_unit(worlds: dict[str, World], name: str) -> World:
    return worlds[unit_of(DEFAULT["methods"][name]["family"])]


def test_every_family_is_used_by_a_method_or_a_localizer_of_the_config() -> None:
    blocks = [*DEFAULT["methods"].values(), *DEFAULT["localizers"].values()]
    assert {found["family"] for found in blocks} == set(FAMILIES)


@pytest.mark.parametrize("name", DISTINCT)
def test_a_system_is_trained_saved_rebuilt_without_its_config_and_repeats(
    name: str, worlds: dict[str, World], tmp_path: Path
) -> None:
    world = of_unit(worlds, name)
    one, other = (trained(world, name, tmp_path / place) for place in ("one", "other"))
    assert file_digest(one) == file_digest(other), "the same seed gave other bytes"
    found = judged(world, name, one)
    said = 14 if in_first_member(name)["training"]["presence_weight"] > 0 else 7
    assert found.shape == ((STUDIES * 12, said) if world is worlds["slice"] else (STUDIES, 8))
    assert found.dtype == np.float32 and np.nanmin(found) >= 0 and np.nanmax(found) <= 1
    assert not np.isnan(found).all(axis=1).any(), "a study that nobody judges"
    assert np.array_equal(found, judged(world, name, one), equal_nan=True)
    members = DEFAULT["methods"][name]["members"]
    assert read_model(one)[1]["network"]["name"] == in_first_member(name)["network"]["name"]
    assert len(members) != 1, "one member is no ensemble"


def in_first_member(name: str) -> Config:
    found: Config = DEFAULT["methods"][name]
    return in_member(found, 0) if found["members"] else found


@pytest.mark.parametrize("name", DISTINCT)
def test_a_study_is_judged_by_itself_alone(name: str, worlds: dict[str, World], tmp_path: Path) -> None:
    world = of_unit(worlds, name)
    model = trained(world, name, tmp_path)
    alone = World(world.folder, world.shards, world.training_set, world.tables[3:4])
    rows = slice(36, 48) if world is worlds["slice"] else slice(3, 4)
    assert np.array_equal(judged(alone, name, model), judged(world, name, model)[rows], equal_nan=True)


@pytest.mark.parametrize("name", DISTINCT)
def test_a_system_learns_one_batch_by_heart(name: str, worlds: dict[str, World]) -> None:
    """Half of the studies are brighter and fractured: after some steps on them the loss is a fraction of the first."""
    world, config = of_unit(worlds, name), config_of(name, learning_rate=3e-3)
    family = importlib.import_module(family_of(config.family).module)
    torch.manual_seed(0)
    loss, settings = family.loss(config.training), family.NetworkConfig(**config.network)
    network = family.build(settings, None, outputs=len(loss.outputs)).train()
    data = family.examples(read_table(world.training_set), world.shards, settings, None, 0)
    spread = np.linspace(0, len(data) - 1, 8).round().astype(int)
    pixels, targets, weights = (torch.stack(part) for part in zip(*(data[0, int(i)] for i in spread), strict=True))
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(network(pixels), targets, weights)
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
    assert min(losses[-5:]) < 0.35 * losses[0], losses[::10]


@pytest.mark.parametrize("name", DISTINCT)
def test_an_unknown_network_is_answered_with_known_ones(name: str) -> None:
    config = config_of(name)
    family = importlib.import_module(family_of(config.family).module)
    with pytest.raises(CspineError, match=r"network\.name.*(near it|expected one of)"):
        family.build(family.NetworkConfig(**{**config.network, "name": "efficientnet_v9"}))


def test_an_unknown_method_is_answered_with_the_known_ones() -> None:
    with pytest.raises(CspineError, match=r"no method 'resnet'; the methods are: .*semi_supervised"):
        complete_config({**read_yaml(ROOT / "config.yaml"), "set": "submission.method=resnet"}, SCHEMA)


@pytest.mark.gpu
@pytest.mark.parametrize("name", SYSTEMS)
def test_the_gpu_agrees_with_the_cpu(name: str, worlds: dict[str, World], tmp_path: Path) -> None:
    world = of_unit(worlds, name)
    model = trained(world, name, tmp_path)
    cpu, gpu = (judged(world, name, model, device) for device in ("cpu", "cuda"))
    assert np.allclose(cpu, gpu, atol=2e-3, equal_nan=True), np.nanmax(np.abs(cpu - gpu))

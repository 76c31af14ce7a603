"""Every system at its source's size: training steps and the prediction of a study, on this machine's device.

    python benchmarks/systems.py [--preset presets/rsna.yaml] [--methods cnn_3d,multi_head] [--seconds 2]

For each method of the config: its network with random weights, the optimiser steps of its own training (its loss,
optimiser, precision and batch) on examples that are on the device already, the prediction of studies of 352 slices (the
real set's mean) from a cache, decoding included, and the most memory that torch held for either. A batch that the
device does not hold goes through in parts, as in a training. Localizers are asked the same. Pixels are noise in the
shape of a neck: speed does not depend on what is seen. Nothing is judged.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import ROOT
from systems_worlds import SLICES, World, world_of

from cspine.batching import Batch, is_out_of_memory
from cspine.config import complete_config, read_yaml
from cspine.devices import device_of
from cspine.layers import Config, in_member, in_round, merged
from cspine.methods.registry import family_of
from cspine.optimisation import Optimisation, teach
from cspine.training_config import TrainingConfig

TRIED = {"slice": 128, "vertebra": 32, "study": 8}  # examples of a step where the config says auto


@dataclass(frozen=True)
class Costs:
    """What one system takes on this device."""

    weights: int
    batch: int
    parts: int
    step: float  # seconds
    study: float  # seconds
    training_gb: float
    predicting_gb: float

    def row(self, name: str) -> str:
        """A line of the table."""
        batch = f"{self.batch}" + (f" in {self.parts}" if self.parts > 1 else "")
        rate = self.batch / self.step
        return (
            f"{name:22} {self.weights / 1e6:8.1f} {batch:>10} {1000 * self.step:9.0f} {rate:10.1f} "
            f"{self.training_gb:8.2f} {self.study:9.2f} {self.predicting_gb:8.2f}"
        )


COLUMNS = {"weights": (8, "million"), "batch": (10, ""), "step": (9, "ms"), "examples": (10, "a second")}
COLUMNS |= {"training": (8, "GB"), "study": (9, "s"), "predict": (8, "GB")}
HEAD = "\n".join(
    f"{name:22} " + " ".join(f"{text:>{width}}" for text, width in cells)
    for name, cells in (
        ("system", [(name, width) for name, (width, _) in COLUMNS.items()]),
        ("", [(unit, width) for width, unit in COLUMNS.values()]),
    )
)


def costs_of(block: Config, world: World, judges: bool, device: str, seconds: float) -> Costs:
    """Train a few steps and predict a few studies."""
    family: Any = importlib.import_module(family_of(block["family"]).module)
    place, precision = device_of(device, block["training"]["precision"])
    training = TrainingConfig(**block["training"])
    settings = family.NetworkConfig(**{**block["network"], "weights": "none"})
    loss = family.loss(training)
    network = family.build(settings, None, outputs=len(loss.outputs)).to(place)
    if block["network"].get("trainable") == "head":
        network.frozen = True
    unit = family_of(block["family"]).unit if judges else "slice"
    size = TRIED[unit] if training.batch_size == "auto" else int(training.batch_size)
    weights = sum(p.numel() for p in network.parameters())
    step, parts, training_gb = float("nan"), 1, float("nan")
    if judges:
        data = family.examples(world.table, [world.shard], settings, None, 0)
        example = [tensor.to(place) for tensor in data[0, 0]]
        batch = [tensor.expand(size, *tensor.shape).contiguous() for tensor in example]
        optimisation = Optimisation(network, replace(training, warmup_steps=0), precision, 1_000_000)
        step, parts, training_gb = _stepped(optimisation, loss, batch, precision, seconds)
        del optimisation, batch
    study, predicting_gb = _predicted(family, network, world, place, precision, judges, seconds)
    return Costs(weights, size, parts, step, study, training_gb, predicting_gb)


def _stepped(optimisation: Any, loss: Any, batch: Any, precision: Any, seconds: float) -> tuple[float, int, float]:
    """(seconds of a step, parts of its batch, GB), in as few parts as the device allows."""
    size, parts = len(batch[0]), 1
    network = optimisation.network.train()
    place = next(network.parameters()).device
    while True:
        rows = Batch(size, parts).rows(size)

        def step(rows: list[slice] = rows) -> None:
            teach(optimisation, loss, batch, rows, precision)
            optimisation.step(1)

        try:
            taken, memory = _timed(step, place, seconds)
            return taken, parts, memory
        except RuntimeError as error:
            if not is_out_of_memory(error) or parts * 2 > size // 2:
                raise
            optimisation.optimiser.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            parts *= 2


def _predicted(
    family: Any, network: Any, world: World, place: torch.device, precision: Any, judges: bool, seconds: float
) -> tuple[float, float]:
    """(seconds of a study, GB)."""
    ask = family.localize if not judges else getattr(family, "predict_slices", None) or family.predict_studies
    with torch.no_grad():
        network.eval()

        def study() -> None:
            for _ in ask(network, world.tables, [world.shard], place, precision, 32, 0):
                pass

        taken, memory = _timed(study, place, seconds)
        return taken / len(world.tables), memory


def _timed(work: Callable[[], None], place: torch.device, seconds: float) -> tuple[float, float]:
    """(seconds a time, most GB held), after a first time that does not count."""
    on_gpu = place.type == "cuda"
    work()
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    taken: list[float] = []
    while sum(taken) < seconds or len(taken) < 2:
        begun = time.perf_counter()
        work()
        if on_gpu:
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - begun)
    return float(np.median(taken)), torch.cuda.max_memory_allocated() / 1e9 if on_gpu else float("nan")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="presets/rsna.yaml")
    parser.add_argument("--methods", default="", help="names, separated by commas; all without")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    config = merged(read_yaml(ROOT / "config.yaml"), read_yaml(ROOT / given.preset) if given.preset else {})
    config = complete_config(config, read_yaml(ROOT / "workflow/schemas/config.schema.yaml"))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() and given.device != "cpu" else "cpu"
    print(
        f"{given.preset or 'config.yaml'} on {device}, torch {torch.__version__}; a study of {SLICES} slices\n\n{HEAD}"
    )
    torch.backends.cudnn.benchmark = True  # as in a training
    wanted = set(given.methods.split(",")) - {""}
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("localizers", "methods"):
            for name, whole in config[kind].items():
                if not wanted or name in wanted:
                    _print(name, kind == "methods", whole, config, Path(folder), given)


def _print(name: str, judges: bool, whole: Config, config: Config, folder: Path, given: Any) -> None:
    block = whole
    if judges:
        block = in_round(whole, 0)
        block = in_member(block, 0) if block["members"] else block
    view = config["views"][block["view"]]
    try:
        world = world_of(folder, block, view, judges)
        print(costs_of(block, world, judges, given.device, given.seconds).row(name), flush=True)
    except (RuntimeError, MemoryError) as error:
        print(f"{name:22} {str(error).splitlines()[0][:90]}", flush=True)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()

"""The ways that ``one_gpu.py`` measures: each returns images a second, of training steps or of predicting."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
from noisy_slices import study_name
from torch.utils.data import DataLoader, Dataset, default_collate

from cspine.checkpoint import Checkpoints
from cspine.methods import slice_cnn
from cspine.optimisation import Optimisation, teach
from cspine.precision import Precision
from cspine.runtime import VARIABLE
from cspine.studies import UID, VERTEBRAE
from cspine.tracking import Silent
from cspine.training import Task, fit
from cspine.training_config import TrainingConfig

STUDIES, SLICES, UNCOUNTED = 4, 150, 6
SOURCE = {"probability": 0.3, "crop_scale": 0.7, "horizontal_flip": True, "vertical_flip": True}  # presets/rsna.yaml
SOURCE |= {"rotation": 15, "rgb_shift": 20, "clahe": 2.0, "brightness": 0.0, "shift_scale": 0.0, "cutout": 0.0}
PLAIN: dict[str, Any] = {
    "accumulate": 1,
    "learning_rate": 1e-4,
    "optimizer": "adamw",
    "weight_decay": 0.02,
    "schedule": "constant",
}
PLAIN |= {"warmup_steps": 0, "min_learning_rate": 0.0, "ema": 0.0, "mixup": 0.0, "loss": "bce", "focal_gamma": 2.0}
PLAIN |= {"patient_term": False, "presence_weight": 0.0, "any_fracture_weight": 0.0, "sampling": "natural"}
PLAIN |= {"positive_share": 0.5, "patience": 0, "keep": "last", "precision": "auto", "clip_gradient": 0.0, "threads": 1}


@dataclass(frozen=True)
class Bench:
    """What all rows of one size share."""

    network: slice_cnn.NetworkConfig
    shard: Path
    folder: Path
    batch: int
    steps: int
    workers: int
    device: torch.device
    precision: Precision

    def config(self, **changes: Any) -> TrainingConfig:
        settings = PLAIN | {"epochs": 1, "epoch_steps": self.steps, "batch_size": self.batch}
        return TrainingConfig(**settings | changes)

    def table(self) -> pd.DataFrame:
        rows = [(study_name(study), z) for study in range(STUDIES) for z in range(SLICES)]
        table = pd.DataFrame(rows, columns=[UID, "z_index"]).assign(weight=1.0, **dict.fromkeys(VERTEBRAE, 0.0))
        return table.assign(C4=(np.arange(len(table)) % 7 == 0).astype(float))

    def examples(self, augmented: bool) -> slice_cnn.SliceExamples:
        how: Any = _augment_config()(**SOURCE) if augmented else None
        table = self.table() if augmented else self.table().head(self.batch)  # what a training watches
        return slice_cnn.SliceExamples(table, [self.shard], 0, how, 0)

    def built(self) -> Any:
        torch.manual_seed(0)
        return slice_cnn.build(self.network).to(self.device)


def _augment_config() -> Any:
    try:
        from cspine.augment import AugmentConfig
    except ImportError:  # no albumentations: what is augmented on the device needs none
        return SimpleNamespace
    return AugmentConfig


def rate_of(times: list[float], batch: int) -> float:
    """Images a second between the first batches, in which kernels are chosen and processes start, and the last."""
    begun = min(UNCOUNTED, len(times) - 2)
    return (len(times) - 1 - begun) * batch / (times[-1] - times[begun])


def already_there(bench: Bench, compiled: bool = False) -> float:
    """The step on one batch that is there."""
    config, loss = bench.config(), slice_cnn.loss(bench.config())
    network = bench.built().train()
    optimisation = Optimisation(network, config, bench.precision, 10**6)
    if compiled:
        network.compile(dynamic=False)
    data = bench.examples(augmented=False)
    batch = [tensor.to(bench.device) for tensor in default_collate([data[0, i] for i in range(len(data))])]
    times: list[float] = []
    for number in range(bench.steps):
        times.append(time.perf_counter())
        teach(optimisation, loss, batch, [slice(0, len(batch[0]))], bench.precision)  # waits for the device itself
        optimisation.step(number + 1)
    return rate_of(times, len(batch[0]))


class _OneByOne(Dataset[Any]):
    """The same slices, augmented on the CPU, as any Dataset has them."""

    def __init__(self, data: slice_cnn.SliceExamples) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> Any:
        pixels, targets, _ = self.data[0, i]
        return pixels, targets[: len(VERTEBRAE)]


def _standard(bench: Bench, data: slice_cnn.SliceExamples, shuffle: bool) -> Iterator[Any]:
    on_gpu = bench.device.type == "cuda"
    settings: dict[str, Any] = {"num_workers": bench.workers, "pin_memory": on_gpu, "drop_last": True}
    settings |= {"persistent_workers": bench.workers > 0, "multiprocessing_context": "spawn" if bench.workers else None}
    batches = DataLoader(_OneByOne(data), bench.batch, shuffle, **settings)
    while True:
        yield from batches


def _scaled(pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
    there = pixels.to(device, non_blocking=True).float().div_(255).sub_(0.5).div_(0.5)
    return there.contiguous(memory_format=torch.channels_last)


def plain_loop(bench: Bench) -> float:
    """timm, a standard DataLoader, albumentations; nothing of this project's loop. It never waits for the device."""
    network = timm.create_model(bench.network.name, num_classes=len(VERTEBRAE)).to(bench.device).train()
    network = network.to(memory_format=torch.channels_last)
    optimiser, loss = torch.optim.AdamW(network.parameters(), 1e-4), torch.nn.BCEWithLogitsLoss()
    times: list[float] = []
    for _, (pixels, targets) in zip(range(bench.steps), _standard(bench, bench.examples(True), True), strict=False):
        if len(times) in (UNCOUNTED, bench.steps - 1):
            _wait(bench.device)
        times.append(time.perf_counter())
        with bench.precision.autocast():
            value = loss(network(_scaled(pixels, bench.device)).float(), targets.to(bench.device))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return rate_of(times, bench.batch)


class _Timed(slice_cnn.SliceExamples):
    """Notes when a batch is handed to ``prepare``: the step before has ended by then."""

    times: list[float]

    def prepare(self, batch: Any) -> Any:
        self.times.append(time.perf_counter())
        return super().prepare(batch)


def our_loop(bench: Bench, augment_on: Any, pixels_in: str = "ram", compiled: bool = False) -> float:
    """``training.fit`` as a stage calls it."""
    put(bench, pixels_in)
    config = bench.config(augment_on=augment_on, compile=compiled)
    data = _Timed(bench.table(), [bench.shard], 0, _augment_config()(**SOURCE), 0)
    data.times = []
    with tempfile.TemporaryDirectory(dir=bench.folder) as place:
        task = Task(
            *(bench.built(), slice_cnn.loss(config), data, bench.examples(augmented=False)),
            *(config, 0, Checkpoints(Path(place)), Silent()),
        )
        fit(task)
    return rate_of(data.times, bench.batch)


def predicted_there(bench: Bench) -> float:
    """The network on one batch that is there."""
    network, data = bench.built().eval(), bench.examples(augmented=False)
    times: list[float] = []
    batch = torch.stack([data[0, i][0] for i in range(len(data))]).to(bench.device)
    for _ in range(bench.steps):
        times.append(time.perf_counter())
        slice_cnn._shares(network, batch, bench.device, bench.precision)
    return rate_of(times, len(batch))


def plain_prediction(bench: Bench) -> float:
    """timm and a standard DataLoader."""
    network = timm.create_model(bench.network.name, num_classes=len(VERTEBRAE)).to(bench.device).eval()
    network = network.to(memory_format=torch.channels_last)
    times: list[float] = []
    data = slice_cnn.SliceExamples(bench.table(), [bench.shard], 0, None, 0)
    for _, (pixels, _targets) in zip(range(bench.steps), _standard(bench, data, False), strict=False):
        times.append(time.perf_counter())
        with torch.inference_mode(), bench.precision.autocast():
            network(_scaled(pixels, bench.device)).float().sigmoid().cpu()
    return rate_of(times, bench.batch)


def our_prediction(bench: Bench, pixels_in: str) -> float:
    """``predict_slices``, whole studies again and again."""
    put(bench, pixels_in)
    tables = [rows for _, rows in bench.table().groupby(UID)] * max(1, bench.steps * bench.batch // (STUDIES * SLICES))
    given = (bench.built(), tables, [bench.shard], bench.device, bench.precision, bench.batch, bench.workers)
    times: list[float] = []
    done: list[int] = []
    for values in slice_cnn.predict_slices(*given):
        times.append(time.perf_counter())
        done.append(len(values))
    first = min(UNCOUNTED, len(times) - 2)
    return sum(done[first + 1 :]) / (times[-1] - times[first])


def put(bench: Bench, pixels_in: str) -> None:
    settings = {"device": bench.device.type, "pixels_in": pixels_in, "loader_workers": bench.workers}
    os.environ[VARIABLE] = json.dumps(settings)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()

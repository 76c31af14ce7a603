"""Small networks, made-up examples and plain settings for the tests of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cspine.checkpoint import Checkpoints
from cspine.examples import Examples
from cspine.losses import FractureLoss
from cspine.tracking import Silent
from cspine.training import Task, Trained, fit
from cspine.training_config import TrainingConfig

PLAIN: dict[str, Any] = {
    "epochs": 2,
    "epoch_steps": 0,
    "batch_size": 4,
    "accumulate": 1,
    "learning_rate": 1e-2,
    "optimizer": "adam",
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup_steps": 0,
    "min_learning_rate": 0.0,
    "ema": 0.0,
    "mixup": 0.0,
    "loss": "competition",
    "focal_gamma": 2.0,
    "patient_term": False,
    "presence_weight": 0.0,
    "any_fracture_weight": 0.0,
    "sampling": "natural",
    "positive_share": 0.375,
    "patience": 0,
    "keep": "last",
    "precision": "fp32",
    "clip_gradient": 0.0,
    "threads": 1,
}


def config_of(**changes: Any) -> TrainingConfig:
    """A training with everything off, but for ``changes``."""
    return TrainingConfig(**(PLAIN | changes))


class Noise(Examples):
    """Examples drawn from (pass, i) with targets drawn from i; dies once at the item asked for the n-th time."""

    def __init__(self, count: int, dies_at: int | None = None) -> None:
        self.count, self.left = count, dies_at
        self.asked: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        self.asked.append(item)
        fractured = self.fractured(item[1])
        generator = torch.Generator().manual_seed(1000 * item[0] + item[1])
        shown = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 0.0, float("nan") if item[1] % 3 else 1.0])
        target = torch.cat([fractured, shown, fractured.amax(0, keepdim=True), torch.ones(8)])
        return torch.rand(6, generator=generator) + fractured[:6], target, torch.tensor(1.0)

    def positive(self) -> NDArray[np.bool_]:
        return np.array([bool(self.fractured(i).any()) for i in range(self.count)])

    @staticmethod
    def fractured(i: int) -> Tensor:
        return (torch.rand(7, generator=torch.Generator().manual_seed(i)) < 0.1).float()


def network(outputs: int = 7) -> nn.Module:
    """A network of every kind of layer that draws or remembers: dropout and batch normalisation."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, outputs))


def run(
    model: nn.Module,
    folder: Path,
    data: Examples,
    config: TrainingConfig,
    seed: int = 3,
    select: int = 6,
    start: dict[str, Any] | None = None,
) -> Trained:
    """Train ``model`` on ``data``, watched on ``select`` made-up examples; ``start``: the end of another training."""
    return fit(
        Task(model, FractureLoss(config), data, Noise(select), config, seed, Checkpoints(folder), Silent(), start)
    )


def trained(folder: Path, data: Examples, config: TrainingConfig, seed: int = 3) -> dict[str, Tensor]:
    """The weights that training leaves."""
    model = network(len(FractureLoss(config).outputs))
    run(model, folder, data, config, seed)
    return model.state_dict()


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two networks are the same to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)

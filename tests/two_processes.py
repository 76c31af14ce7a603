"""What two processes do together in the tests of ``distributed``: each calls these functions, and the first one writes.

A second process takes seconds to start, so one pair does many trainings, one after the other.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cspine import budget, peers
from cspine.batching import batch_of
from cspine.checkpoint import Checkpoints
from cspine.distributed import ALONE, Group, joined
from cspine.losses import FractureLoss
from cspine.pausing import Paused
from cspine.stages.predict_slices import PredictConfig, predict_slices
from cspine.stages.predict_studies import PredictStudiesConfig, predict_studies
from cspine.tracking import Silent
from cspine.training import Task, Trained, fit
from cspine.training_config import TrainingConfig
from small_trainings import EVERYTHING, trained
from training_makers import Noise, config_of, network

PLAIN = config_of(batch_size=5, epochs=3)
FULL = config_of(
    epochs=3, batch_size=6, optimizer="adamw", weight_decay=0.05, schedule="cosine", warmup_steps=3, ema=0.9, mixup=0.4,
    sampling="balanced", presence_weight=0.5, any_fracture_weight=0.5, patient_term=True, keep="best",
    clip_gradient=1.0,
)  # fmt: skip
#: 23 examples: the last batch has three, which are one part; 21: the last one, of one, is left out
EXACT: dict[str, tuple[TrainingConfig, int]] = {
    "plain, a last batch of three": (PLAIN, 23),
    "a last batch of one": (PLAIN, 21),
    "everything": (FULL, 22),
    "everything, in parts": (replace(FULL, accumulate=3, sampling="natural"), 22),
    "fixed steps, focal, mixup, sgd": (
        config_of(epochs=2, epoch_steps=4, batch_size=7, loss="focal", optimizer="sgd", mixup=1.0), 22,
    ),
    "a scaled loss": (config_of(batch_size=6, precision="fp16", clip_gradient=0.1), 22),
}  # fmt: skip
DRAWN = config_of(epochs=2, batch_size=6, ema=0.9, mixup=0.4, accumulate=2)
PREDICT = PredictConfig("slice_cnn", "slice", "auto", "auto", 1)


class Weighted(Noise):
    """Examples of unequal weight; the time budget is used up when the n-th is asked for."""

    def __init__(self, count: int, ends_at: int = 0) -> None:
        super().__init__(count)
        self.ends_at = ends_at

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        pixels, target, _ = super().__getitem__(item)
        if len(self.asked) == self.ends_at:
            os.environ[budget.VARIABLE] = "1"
        return pixels, target, torch.tensor(0.2 + item[1] % 5 / 2)


def plain_network(config: TrainingConfig) -> nn.Module:
    """A network without anything that draws or remembers."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Linear(16, len(FractureLoss(config).outputs)))


def run(model: nn.Module, folder: Path, config: TrainingConfig, data: Noise, group: Group = ALONE) -> Trained:
    """Train ``model``, watched on seven examples."""
    loss, kept = FractureLoss(config), Checkpoints(folder)
    return fit(Task(model, loss, data, Weighted(7), config, 3, kept, Silent(), None, group))


def paused(folder: Path, config: TrainingConfig, ends_at: int, group: Group = ALONE) -> str:
    """A training that stops when this process asks for its n-th example, or another one does for its; says why."""
    try:
        run(plain_network(config), folder, config, Weighted(22, ends_at), group)
    except Paused as pause:
        return pause.why
    finally:
        os.environ[budget.VARIABLE] = ""
    raise AssertionError("not paused")


def studies_predicted(folder: Path) -> Path:
    """The predictions of volumes.safetensors for the studies in ``folder``; another one there has no pixels."""
    out, parts = folder / "predictions.parquet", folder / "parts"
    parts.mkdir(exist_ok=True)
    how = PredictStudiesConfig("volume_cnn", "volume", 4, "fp32", 1)
    models, shards = [folder / "model.safetensors"], [folder / "shard-0.parquet"]
    predict_studies(models, folder / "studies.parquet", shards, out, parts, config=how)
    return out


def everything(folder: Path) -> None:
    """All that the tests want of two processes; what comes of it is in ``folder``."""
    os.environ[budget.VARIABLE] = ""
    _trainings(folder)
    _decisions(folder)
    trained(folder, "stage", **EVERYTHING)
    _predictions(folder)


def failing(folder: Path) -> None:
    """The second process finds something wrong, the first waits for it."""
    with joined() as group:
        if not group.leads:
            raise KeyError("a bug of the second")
        group.most(1)


def _trainings(folder: Path) -> None:
    for name, (config, count) in EXACT.items():
        with joined() as group:
            model = plain_network(config)
            history = run(model, folder / name, config, Weighted(count), group).history
            _note(folder, f"{name}-{group.rank}", {"weights": model.state_dict(), "history": history})
    for name in ("drawn", "drawn again"):
        with joined() as group:
            model = network()
            run(model, folder / name, DRAWN, Weighted(22), group)
            _note(folder, f"{name}-{group.rank}", model.state_dict())
    with joined() as group:  # the second process's clock stops it in the fourth step
        why = paused(folder / "two, then one", PLAIN, 0 if group.leads else 8, group)
        _note(folder, f"why-{group.rank}", why)
    with joined() as group:
        model = plain_network(PLAIN)
        run(model, folder / "one, then two", PLAIN, Weighted(22), group)
        _note(folder, f"one, then two-{group.rank}", {"weights": model.state_dict()})


def _decisions(folder: Path) -> None:
    with joined() as group:
        room = 40 if group.leads else 20
        config = config_of(batch_size="auto", accumulate=1)
        batch = batch_of(config, 1000, Checkpoints(folder / f"auto-{group.rank}"), lambda count: count <= room, group)
        said = [group.agreed(None), group.agreed(None if group.leads else "the second"), group.agreed(f"{group.rank}")]
        decided = {"batch": [batch.size, batch.parts], "said": said, "most": group.most(5 + group.rank)}
        _note(folder, f"decisions-{group.rank}", decided)


def _predictions(folder: Path) -> None:
    parts, out = folder / "parts", folder / "predictions.parquet"
    parts.mkdir(exist_ok=True)
    models, slices, shards = [folder / "one.safetensors"], folder / "slices.parquet", [folder / "shard-0.parquet"]
    predict_slices(models, slices, shards, out, parts, config=PREDICT)
    studies_predicted(folder / "volumes")


def _note(folder: Path, name: str, what: Any) -> None:
    torch.save(what, folder / f"{name}.pt")


def in_two(function: str, folder: Path) -> None:
    """Call a function of this module here and in a second process."""
    with peers.beside(f"two_processes:{function}", {"folder": folder}, [{}, {}]):
        globals()[function](folder)

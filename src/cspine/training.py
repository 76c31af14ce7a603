"""The one training loop: order and draws are functions of (seed, epoch, sample), so a kill changes no byte."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cspine.checkpoint import Checkpoints
from cspine.devices import device_of
from cspine.examples import Examples, in_order, loader
from cspine.faults import fault_point
from cspine.hashing import seed_of
from cspine.progress import report, say
from cspine.runtime import Runtime, orphaned, runtime
from cspine.tracking import Tracker

PAUSED = 75  # exit status: saved, go on with the same command (EX_TEMPFAIL of sysexits.h)
THRESHOLD = 0.5  # of the slice figures in the history; ASSUME: the source names none

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained."""

    epochs: int  # passes over the training set
    batch_size: int  # slices per step
    learning_rate: float  # of Adam
    patient_term: bool  # add the patient's loss on the noisy-or of the vertebrae
    threads: int  # torch's threads


@dataclass
class Progress:
    """Where a training stands; saved with every checkpoint."""

    epoch: int = 0
    step: int = 0  # within the epoch
    total_steps: int = 0
    loss_sum: float = 0.0  # over the epoch so far
    history: list[dict[str, float]] | None = None


def fit(
    network: nn.Module,
    loss: Loss,
    train: Examples,
    select: Examples,
    config: TrainingConfig,
    seed: int,
    checkpoints: Checkpoints,
    tracker: Tracker,
) -> list[dict[str, float]]:
    """Train ``network`` in place, going on from the newest checkpoint; returns one row of figures per epoch."""
    settings = runtime()
    torch.set_num_threads(config.threads)
    device = device_of(settings.device)
    network.to(device)
    optimiser = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=config.learning_rate)
    at = _resume(network, optimiser, checkpoints)
    saver = _Saver(network, optimiser, checkpoints, settings)
    history = at.history or []
    while at.epoch < config.epochs:
        for batch in _batches(train, config.batch_size, seed, at.epoch, at.step, settings.loader_workers):
            torch.manual_seed(seed_of("dropout", seed, at.epoch, at.step))
            at.loss_sum += _step(network, loss, optimiser, batch, device)
            at.step += 1
            at.total_steps += 1
            fault_point("train-step")
            steps = _steps(len(train), config.batch_size)
            report("train", at.total_steps, steps * config.epochs, "steps", f"loss {at.loss_sum / at.step:.4f}")
            if orphaned():
                saver.save(at)
                say("train: the workflow that started this training is gone; saved, the same command goes on")
                raise SystemExit(PAUSED)
            saver.save_when_due(at)
        figures = evaluate(network, loss, select, config.batch_size, device, settings.loader_workers)
        row = {"epoch": float(at.epoch), "train_loss": at.loss_sum / max(at.step, 1), **figures}
        history.append(row)
        say(f"train: epoch {at.epoch + 1}/{config.epochs}: " + _sentence(row))
        tracker.log(row, step=at.epoch)
        at = Progress(at.epoch + 1, 0, at.total_steps, 0.0, history)
        saver.save(at)
    return history


def evaluate(
    network: nn.Module, loss: Loss, data: Examples, batch_size: int, device: torch.device, loader_workers: int
) -> dict[str, float]:
    """Figures on ``data``: the loss and, over slice x vertebra cells at 0.5, accuracy beside that of "all negative"."""
    sums = np.zeros(5)  # true positives, positives, true negatives, negatives, weighted loss
    weights = 0.0
    network.eval()
    with torch.inference_mode():
        for slices, target, weight in loader(data, in_order(data, batch_size), loader_workers):
            logits = network(slices.to(device)).float().cpu()
            called, truth = torch.sigmoid(logits) >= THRESHOLD, target >= THRESHOLD
            cells = [(called & truth).sum(), truth.sum(), (~called & ~truth).sum(), (~truth).sum()]
            share = float(weight.sum())
            sums += [*map(float, cells), share * float(loss(logits, target, weight)) if share else 0.0]
            weights += share
    hits, positives, passes, negatives, total = sums
    cells_seen = max(positives + negatives, 1.0)
    return {
        "select_loss": float(total / weights) if weights else float("nan"),
        "select_accuracy": float((hits + passes) / cells_seen),
        "select_accuracy_all_negative": float(negatives / cells_seen),
        "select_sensitivity": float(hits / positives) if positives else float("nan"),
        "select_specificity": float(passes / negatives) if negatives else float("nan"),
    }


class _Saver:
    """Saves by time and, when asked, by steps."""

    def __init__(
        self,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        checkpoints: Checkpoints,
        settings: Runtime,
    ) -> None:
        self.network, self.optimiser = network, optimiser
        self.checkpoints, self.settings = checkpoints, settings
        self.last = time.monotonic()

    def save_when_due(self, at: Progress) -> None:
        by_time = time.monotonic() - self.last >= 60 * self.settings.checkpoint_minutes
        by_steps = self.settings.checkpoint_steps > 0 and at.total_steps % self.settings.checkpoint_steps == 0
        if by_time or by_steps:
            self.save(at)

    def save(self, at: Progress) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": {**vars(at), "history": at.history or []},
        }
        # twice as many as steps: the save after an epoch's evaluation comes after the one of its last step
        self.checkpoints.save(state, step=2 * at.total_steps + (at.step == 0))
        self.last = time.monotonic()


def _resume(network: nn.Module, optimiser: torch.optim.Optimizer, checkpoints: Checkpoints) -> Progress:
    state = checkpoints.latest()
    if state is None:
        return Progress(history=[])
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    at = Progress(**state["progress"])
    say(f"train: goes on at epoch {at.epoch + 1}, step {at.step} ({at.total_steps} steps done)")
    return at


def _step(
    network: nn.Module,
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    batch: Sequence[Tensor],
    device: torch.device,
) -> float:
    network.train()
    slices, target, weight = (tensor.to(device) for tensor in batch)
    optimiser.zero_grad(set_to_none=True)
    value = loss(network(slices), target, weight)
    value.backward()
    optimiser.step()
    return value.item()


def _batches(
    data: Examples, batch_size: int, seed: int, epoch: int, first: int, loader_workers: int
) -> Iterator[Sequence[Tensor]]:
    order = np.random.default_rng(seed_of("order", seed, epoch)).permutation(len(data))
    steps = _steps(len(data), batch_size)
    batches = [[(epoch, int(i)) for i in order[at * batch_size : (at + 1) * batch_size]] for at in range(first, steps)]
    yield from loader(data, batches, loader_workers)


def _steps(examples: int, batch_size: int) -> int:
    # a last batch of one slice is left out: batch normalisation needs two
    return examples // batch_size + (examples % batch_size > 1)


def _sentence(row: dict[str, float]) -> str:
    return (
        f"train loss {row['train_loss']:.4f}, select loss {row['select_loss']:.4f}; select slice cells at {THRESHOLD}: "
        f"accuracy {row['select_accuracy']:.3f} (all negative {row['select_accuracy_all_negative']:.3f}), "
        f"sensitivity {row['select_sensitivity']:.3f}, specificity {row['select_specificity']:.3f}"
    )

"""How weights change: optimiser and schedule by timm's names, averaged weights, scaled and clipped gradients."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import timm.optim
import torch
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from cspine.distributed import ALONE, Group
from cspine.errors import CspineError
from cspine.losses import Loss
from cspine.mixup import Blend
from cspine.precision import Precision
from cspine.training_config import TrainingConfig

#: the schedules of timm that need no more than a length
SCHEDULES = ("constant", "cosine", "poly", "tanh")


class Optimisation:
    """Optimiser, schedule, averaged weights and gradient scaling of one network: stepped, saved and restored as one."""

    def __init__(
        self,
        network: nn.Module,
        config: TrainingConfig,
        precision: Precision,
        total_steps: int,
        group: Group = ALONE,
    ) -> None:
        self.network, self.config, self.group = network, config, group
        self.taught = group.spread(network)  # what a batch goes through
        self.optimiser = optimiser_of(network, config)
        self.schedule = schedule_of(self.optimiser, config, total_steps)
        self.settings = frozenset(key for group in self.optimiser.param_groups for key in group)
        self.scaler = precision.scaler()
        # ASSUME: the decay rises to its value (timm's warm-up), or a short training would average in its random start
        self.average = ModelEmaV3(network, decay=config.ema, use_warmup=True) if config.ema > 0 else None
        self.averaged_before = 0  # steps that went into the average in earlier parts of the training

    @property
    def judged(self) -> nn.Module:
        """The network that is evaluated and kept: the averaged weights where there are any."""
        return self.average.module if self.average is not None else self.network

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self.optimiser.param_groups[0]["lr"])

    def backward(self, value: Tensor) -> None:
        """Add the gradient of ``value``."""
        self.scaler.scale(value).backward()

    def step(self, number: int) -> None:
        """Take the step with this number, counted from 1, and forget the gradient."""
        if self.config.clip_gradient > 0:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_gradient)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        self.schedule.step_update(number)
        if self.average is not None:
            self.average.update(self.network, step=self.averaged_before + number)

    def state(self) -> dict[str, Any]:
        """Everything a later step depends on; the schedule is a function of the step and has no state."""
        found = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "averaged_before": self.averaged_before,
        }
        return found | ({"average": self.average.module.state_dict()} if self.average is not None else {})

    def restore(self, state: dict[str, Any], steps: int) -> None:
        """Go on from ``state``, after ``steps`` steps."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.scaler.is_enabled() and state["scaler"]:  # empty when the first part ran in another precision
            self.scaler.load_state_dict(state["scaler"])
        self.schedule.step_update(steps)
        if self.average is not None:
            self.average.module.load_state_dict(state["average"])
            self.averaged_before = state.get("averaged_before", 0)


def teach(
    optimisation: Optimisation,
    loss: Loss,
    examples: Sequence[Tensor],
    parts: Sequence[slice],
    precision: Precision,
    blend: Blend | None = None,
    counts: bool = True,
) -> float:
    """Add the gradient of the loss of a whole batch, that goes through the network in parts; returns the loss.

    Normalisation layers see one part at a time; everything else is as if the batch went through at once. Of several
    processes each has parts of its own: the norms are those of all of them, and so is the gradient in each.

    Args:
        optimisation: of the network.
        loss: of which the gradient is.
        examples: pixels, targets and weights of ``parts``, and of what they are blended with.
        parts: one after the other, from the first example on.
        precision: of the network.
        blend: of the examples of ``parts``.
        counts: whether they count; else the process only goes along with the others.
    """
    group, own = optimisation.group, slice(0, parts[-1].stop)
    pixels, target, weight = examples
    if blend is not None:
        target, weight = blend.of(target, own), blend.of(weight, own)
    norms = loss.norms(target, weight)
    norms = group.sum(norms if counts else torch.zeros_like(norms))
    total = 0.0
    for rows in parts:
        with contextlib.nullcontext() if rows.stop == own.stop else group.apart(optimisation.taught):
            with precision.autocast():
                logits = optimisation.taught(pixels[rows] if blend is None else blend.of(pixels, rows))
            value = loss.value(loss.sums(logits.float(), target[rows], weight[rows]), norms)
            value = value if counts else 0 * value
            # the network takes the mean of the processes' gradients: times their number it is the sum
            optimisation.backward(value if group.size == 1 else group.size * value)
        total += value.item()
    return float(group.sum(torch.tensor(total, dtype=torch.float64)))


def optimiser_of(network: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """timm's optimiser of that name, over the weights that are trained.

    Raises:
        CspineError: timm has no such optimiser, or it needs what this loop does not do.
    """
    known = [str(name) for name in timm.optim.list_optimizers()]
    if config.optimizer not in known:
        raise CspineError(
            f"training.optimizer: timm has no optimiser {config.optimizer!r}; near it: {_near(config.optimizer, known)}"
        )
    try:
        optimiser = timm.optim.create_optimizer_v2(
            network, config.optimizer, lr=config.learning_rate, weight_decay=config.weight_decay
        )
    except (AssertionError, ImportError, TypeError, ValueError) as error:
        raise CspineError(f"training.optimizer: {config.optimizer} cannot be used: {error}") from error
    if getattr(optimiser, "is_second_order", False):
        raise CspineError(
            f"training.optimizer: {config.optimizer} needs second derivatives, which are not computed; use adamw"
        )
    return optimiser


def schedule_of(optimiser: torch.optim.Optimizer, config: TrainingConfig, total_steps: int) -> Any:
    """timm's schedule of that name over ``total_steps``, asked before each step; poly falls in a straight line.

    Raises:
        CspineError: no such schedule, or a warm-up as long as the training.
    """
    if config.schedule not in SCHEDULES:
        raise CspineError(
            f"training.schedule: no schedule {config.schedule!r}; near it: {_near(config.schedule, SCHEDULES)}"
        )
    fall = -(-total_steps // config.cycles)
    if config.warmup_steps >= fall:
        in_cycles = f", in {config.cycles} cycles" if config.cycles > 1 else ""
        raise CspineError(
            f"training.warmup_steps: found {config.warmup_steps}, but the training has {total_steps} steps in all"
            f"{in_cycles}; expected fewer"
        )
    constant = config.schedule == "constant"
    schedule, _ = create_scheduler_v2(
        optimiser,
        sched="step" if constant else config.schedule,  # older versions of timm have no "constant"; this is what it is
        # with one update per "epoch", all of timm's times are optimiser steps
        num_epochs=fall,
        updates_per_epoch=1,
        step_on_epochs=False,
        decay_epochs=1,
        decay_rate=1.0,  # of "step": none; of "poly": its power
        min_lr=config.min_learning_rate,
        cycle_limit=config.cycles,
        cycle_decay=1.0,  # every fall begins as high as the first
        warmup_epochs=config.warmup_steps,
        warmup_lr=config.learning_rate / max(config.warmup_steps, 1),
    )
    schedule.step_update(0)
    return schedule


def _near(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    return ", ".join(difflib.get_close_matches(name, names, n=5, cutoff=0.4) or names)

"""The one training loop: order and draws are functions of (seed, epoch, step), so a kill changes no byte."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cspine.batching import Batch, Share, batch_of, is_out_of_memory, trial_of
from cspine.checkpoint import Checkpoints
from cspine.devices import device_of
from cspine.distributed import ALONE, Group, lost_others, of_all_processes, statistics_of
from cspine.end_state import end_of, go_on_from
from cspine.errors import CspineError
from cspine.evaluation import evaluate
from cspine.examples import Examples, Item, in_order, loader
from cspine.faults import fault_point
from cspine.hashing import seed_of
from cspine.histories import Row, best_epoch, sentence
from cspine.losses import Loss
from cspine.mixup import blend_of
from cspine.on_device.compiling import compiled
from cspine.on_device.places import arrange
from cspine.optimisation import Optimisation, teach
from cspine.pace import Pace
from cspine.pausing import TIME_IS_UP, Paused, asked, polled, wanted
from cspine.precision import Precision
from cspine.progress import note, report, say
from cspine.runtime import runtime
from cspine.sampling import Sampler
from cspine.tracking import Tracker
from cspine.training_config import TrainingConfig

State = dict[str, Tensor]


@dataclass(frozen=True)
class Task:
    """One training: what is taught to whom, and how."""

    network: nn.Module  # trained in place
    loss: Loss
    train: Examples
    select: Examples  # watched after each epoch
    config: TrainingConfig
    seed: int  # of the order and every draw
    checkpoints: Checkpoints
    tracker: Tracker
    start: dict[str, Any] | None = None  # the end of the training that this one continues (``end_state.end_of``)
    group: Group = ALONE  # the processes that do it together, each with a task of its own that is the same


@dataclass(frozen=True)
class Trained:
    """What a training leaves beside the network."""

    history: list[Row]  # one row of figures per epoch
    batch: Batch  # that it came to
    steps: int
    end: dict[str, Any]  # from where another training can go on (``end_state.end_of``)


@dataclass
class Progress:
    """Where a training stands; saved with every checkpoint."""

    epoch: int = 0
    step: int = 0  # within the epoch
    total_steps: int = 0
    loss_sum: float = 0.0  # over the epoch so far
    learning_rate: float = 0.0  # of the last step
    history: list[Row] = field(default_factory=list)
    best: State | None = None  # the weights of the epoch with the least select loss, when they are to be kept


def fit(task: Task) -> Trained:
    """Train the task's network in place, going on from the newest checkpoint.

    Raises:
        CspineError: a key of ``training`` cannot be met; the message names it.
    """
    config = task.config
    if not len(task.select) and (config.patience or config.keep == "best"):
        raise CspineError(
            "training.patience and training.keep: best go by the loss on `select`, but no slice has that role; "
            "expected patience: 0 and keep: last, or a larger folds.select"
        )
    torch.set_num_threads(config.threads)
    device, precision = device_of(runtime().device, config.precision)
    torch.backends.cudnn.benchmark = device.type == "cuda"  # all steps but one of an epoch have the same size
    task.network.to(device)
    arrange(task.train, task.select, config.augment_on, device)
    fits = trial_of(task.network, task.loss, task.train, config, precision) if device.type == "cuda" else None
    batch = batch_of(config, len(task.train), task.checkpoints, fits, task.group)
    if task.group.size > 1:
        note("device", f"{task.group.size} x {device.type}")
        say(f"train: {task.group.size} processes, each with its part of every batch of {batch.size}")
        if config.accumulate < task.group.size:
            of_all_processes(task.network)
    return _Training(task, device, precision, batch).run()


class _Training:
    """One training on its way."""

    def __init__(self, task: Task, device: torch.device, precision: Precision, batch: Batch) -> None:
        self.task, self.network, self.loss, self.config = task, task.network, task.loss, task.config
        self.train, self.checkpoints, self.tracker, self.seed = task.train, task.checkpoints, task.tracker, task.seed
        self.group = task.group
        self.device, self.precision, self.batch, self.settings = device, precision, batch, runtime()
        config = task.config
        self.sampler = Sampler(
            task.train.positive(), batch.size, config.epoch_steps, config.sampling, config.positive_share, task.seed
        )
        self.total_steps = self.sampler.steps * config.epochs
        self.optimisation = Optimisation(task.network, config, precision, self.total_steps, task.group)
        if config.compile:
            compiled(task.network, device)
        self.pin = device.type == "cuda"
        watched = in_order([len(task.select)], batch.at_once)
        self.watched_batches = len(watched)
        own = self.group.own(watched)
        self.watched = loader(task.select, own, self.settings.loader_workers, self.pin, again=True)
        # weights, their average, and the two moments that most optimisers keep of each
        self.pace = Pace(4 * sum(weights.nbytes for weights in task.network.parameters()), len(self.watched))
        self.saved, self.saved_number = time.monotonic(), -1
        self.began = False  # whether this process has taken a step or an evaluation further
        self.at = self._resumed()

    def run(self) -> Trained:
        """All epochs that are left; ``network`` then holds the weights that are kept.

        Raises:
            Paused: asked to stop, or the time is up; what was done is saved.
        """
        for epoch, row in enumerate(self.at.history):  # what an earlier process told may be lost, if it was killed
            self.tracker.log(row, step=epoch)
        with polled():
            self._together()
        at = self.at
        end = end_of(self.optimisation, at.total_steps)
        kept = at.best if at.best is not None else self.optimisation.judged.state_dict()
        self.network.load_state_dict(kept)
        return Trained(at.history, self.batch, at.total_steps, end)

    def _together(self) -> None:
        """All epochs; when another process is lost, what was done is saved here."""
        try:
            self._epochs()
        except RuntimeError as error:
            if self.group.size > 1 and lost_others(error):
                say(f"train: another process is gone; saved after step {self.at.total_steps}")
                self._save()
            raise

    def _epochs(self) -> None:
        at, config = self.at, self.config
        batches = self._batches(at.epoch, at.step)  # one loader, whose processes start once
        examples = iter(loader(self.train, batches, self.settings.loader_workers, self.pin))
        while at.epoch < config.epochs and not self._stopped_early():
            self._stop_if_due()
            self.network.train()
            while at.step < self.sampler.steps:
                with self.pace.timed(self.pace.steps):
                    self._step(next(examples))
                self._save_when_due()
                self._stop_if_due()
            self._end_of_epoch()

    def _batches(self, epoch: int, step: int) -> Iterator[list[Item]]:
        """What this process loads of every batch from (epoch, step) on."""
        first = epoch * self.sampler.steps + step
        for number, items in enumerate(self.sampler.batches(epoch, step, self.config.epochs), start=first):
            yield [items[place] for place in self._share(*divmod(number, self.sampler.steps)).places]

    def _share(self, epoch: int, step: int, device: torch.device | None = None) -> Share:
        """What this process does of a batch."""
        examples = self.sampler.size(step)
        blend = blend_of(examples, self.config.mixup, device or torch.device("cpu"), self.seed, epoch, step)
        return self.batch.share(self.group.rank, examples, blend)

    def _step(self, examples: Sequence[Tensor]) -> None:
        at = self.at
        # of several processes each draws its own: as many draws, but others than one process's
        rank = (self.group.rank,) if self.group.rank else ()
        torch.manual_seed(seed_of("dropout", self.seed, at.epoch, at.step, *rank))
        share, group = self._share(at.epoch, at.step, self.device), self.group
        before = [values.clone() for values in statistics_of(self.network)] if group.size > 1 else []
        placed = self.train.prepare([tensor.to(self.device, non_blocking=True) for tensor in examples])
        try:
            at.learning_rate = self.optimisation.learning_rate
            value = teach(self.optimisation, self.loss, placed, share.parts, self.precision, share.blend, share.counts)
            self._check(value)
            group.level(self.network)
            self.optimisation.step(at.total_steps + 1)
        except RuntimeError as error:
            for values, kept in zip(statistics_of(self.network), before, strict=False):
                values.copy_(kept)  # the step was not taken
            if not is_out_of_memory(error):
                raise
            raise _memory_error(self.batch) from error
        at.loss_sum += value
        at.step += 1
        at.total_steps += 1
        fault_point("train-step" if self.group.leads else "peer-step")
        report("train", at.total_steps, self.total_steps, "steps", f"loss {at.loss_sum / at.step:.4f}")
        self.began = True

    def _check(self, value: float) -> None:
        if not math.isfinite(value):
            raise CspineError(
                f"train: the loss is {value} in step {self.at.step + 1} of epoch {self.at.epoch + 1}; expected a "
                "number: lower training.learning_rate, set training.clip_gradient, or use training.precision: fp32"
            )

    def _end_of_epoch(self) -> None:
        at = self.at
        figures = self._evaluated()
        row = {"epoch": float(at.epoch), "steps": float(at.total_steps), "learning_rate": at.learning_rate}
        row |= {"train_loss": at.loss_sum / at.step, **figures}
        at.history.append(row)
        say(f"train: epoch {at.epoch + 1}/{self.config.epochs}: " + sentence(row))
        self.tracker.log(row, step=at.epoch)
        if self.config.keep == "best" and best_epoch(at.history) == at.epoch:
            at.best = {name: t.detach().cpu().clone() for name, t in self.optimisation.judged.state_dict().items()}
        at.epoch, at.step, at.loss_sum = at.epoch + 1, 0, 0.0
        self._save()

    def _evaluated(self) -> Row:
        # A process that begins with an evaluation finishes it whatever the clock says: each gets a little further.
        stop = wanted if self.began else asked
        rounds = -(-self.watched_batches // self.group.size)
        counted = map(self.task.select.prepare, _counted(self.watched))
        watched = _until(lambda: self.group.agreed(stop()), counted, rounds)
        judged, group = self.optimisation.judged, self.group
        try:
            with self.pace.timed(self.pace.evaluations):
                row = evaluate(judged, self.loss, watched, self.device, self.precision, group)
        except Paused:
            self._save()  # as after the epoch's last step: the next process begins with this evaluation
            raise
        self.began = True
        return row

    def _stop_if_due(self) -> None:
        """Save and stop when that is asked for, or when what comes next would end after the deadline."""
        if not self.began:
            return
        why = wanted()
        if why is None and not self.pace.has_time(evaluates=self.at.step == self.sampler.steps):
            why = TIME_IS_UP
        why = self.group.agreed(why)
        if why is not None:
            self._save()
            raise Paused(why)

    def _stopped_early(self) -> bool:
        history, patience = self.at.history, self.config.patience
        if not history or not patience or len(history) - 1 - best_epoch(history) < patience:
            return False
        best = best_epoch(history)
        say(
            f"train: stops after epoch {len(history)}: the select loss has not fallen below "
            f"{history[best]['select_loss']:.4f} (epoch {best + 1}) for {patience} epochs"
        )
        return True

    def _save_when_due(self) -> None:
        by_time = time.monotonic() - self.saved >= 60 * self.settings.checkpoint_minutes
        every = self.settings.checkpoint_steps
        if by_time or (every > 0 and self.at.total_steps % every == 0):
            self._save()

    def _save(self) -> None:
        # twice as many as steps: the save after an epoch's evaluation comes after the one of its last step
        number = 2 * self.at.total_steps + (self.at.step == 0)
        if number != self.saved_number and self.group.leads:
            with self.pace.timed(self.pace.saves):
                self.checkpoints.save({**self.optimisation.state(), "progress": vars(self.at)}, step=number)
        self.saved, self.saved_number = time.monotonic(), number

    def _resumed(self) -> Progress:
        state = self.checkpoints.latest()
        at = Progress(**state["progress"]) if state is not None else Progress()
        furthest = self.group.most(at.total_steps)
        if at.total_steps != furthest:
            raise CspineError(
                f"train: one process finds {at.total_steps} steps done, another {furthest}; expected the same "
                "checkpoints: all machines must share the folder work/"
            )
        if state is not None:
            self.optimisation.restore(state, at.total_steps)
            say(f"train: goes on at epoch {at.epoch + 1}, step {at.step} ({at.total_steps} steps done)")
        elif self.task.start is not None:
            go_on_from(self.optimisation, self.task.start)
        return at


def _counted(batches: DataLoader[Any]) -> Iterator[Sequence[Tensor]]:
    """``batches``, with words on how far the evaluation is where it takes long."""
    for number, batch in enumerate(batches, start=1):
        yield batch
        report("train: evaluation", number, len(batches), "batches", aside=True)


def _until(
    stop: Callable[[], str | None], batches: Iterable[Sequence[Tensor]], rounds: int
) -> Iterator[Sequence[Tensor]]:
    """``batches``, until ``stop`` says why not; it is asked so often, as by processes that have a batch more."""
    left = iter(batches)
    for _ in range(rounds):
        batch = next(left, None)
        if why := stop():
            raise Paused(why)
        if batch is not None:
            yield batch


def _memory_error(batch: Batch) -> CspineError:
    return CspineError(
        f"train: the GPU ran out of memory with {batch.at_once} slices at once (a batch of {batch.size} in "
        f"{batch.parts} parts); raise training.accumulate (the same batch in more parts) or lower training.batch_size, "
        "and see `nvidia-smi` for who else uses the GPU"
    )

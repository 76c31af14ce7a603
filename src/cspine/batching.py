"""How many examples a step has, and in how many parts they go through the network on the device there is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import nn

from cspine.checkpoint import Checkpoints
from cspine.distributed import ALONE, Group
from cspine.errors import CspineError
from cspine.examples import Examples
from cspine.losses import Loss
from cspine.mixup import Blend, blend_of
from cspine.optimisation import Optimisation, teach
from cspine.precision import Precision
from cspine.progress import say
from cspine.training_config import TrainingConfig

CPU_BATCH = 32  # what `auto` is on a CPU: memory is no limit there
LARGEST_BATCH = 512  # ASSUME: above it, steps become few and the learning rate would have to follow
HEADROOM = 8  # what is tried out is larger by an eighth: fragments, and blocks that other steps need


@dataclass(frozen=True)
class Batch:
    """The examples of one optimiser step."""

    size: int
    parts: int  # it goes through the network in so many
    processes: int = 1  # which share them out

    def rows(self, examples: int) -> list[slice]:
        """The parts of a batch of ``examples`` (the last of an epoch is smaller); none of a single example.

        As many for each process, or one for some and none for the others.
        """
        parts = max(1, min(self.parts, examples // 2))
        parts -= parts % self.processes if parts > self.processes else 0
        ends = [examples * i // parts for i in range(parts + 1)]
        return [slice(a, b) for a, b in pairwise(ends)]

    def share(self, rank: int, examples: int, blend: Blend | None) -> Share:
        """What the process of this rank does of a batch of ``examples``, which are blended like this."""
        rows = self.rows(examples)
        each = max(1, len(rows) // self.processes)
        counts = rank < len(rows)
        own = rows[rank * each : (rank + 1) * each] if counts else [slice(0, min(2, examples))]
        first, end = own[0].start, own[-1].stop
        places = list(range(first, end))
        if blend is not None:
            blend, places = blend.within(first, end)
        return Share(places, [slice(r.start - first, r.stop - first) for r in own], blend, counts)

    @property
    def at_once(self) -> int:
        """Examples of the largest part."""
        return -(-self.size // self.parts)


@dataclass(frozen=True)
class Share:
    """What one process does of a batch; alone, all of it."""

    places: list[int]  # of the examples it loads, in the batch: its own, then the partners that these are blended with
    parts: list[slice]  # in which its own go through the network, counted within ``places``
    blend: Blend | None  # of its own
    counts: bool  # False: too small a batch left it none, and it goes along with others' examples, which count nothing


def batch_of(
    config: TrainingConfig,
    examples: int,
    checkpoints: Checkpoints,
    fits: Callable[[int], bool] | None,
    group: Group = ALONE,
) -> Batch:
    """The batch of this training on this device; its size is decided once, its parts by the devices at hand.

    ``auto`` is what one device holds, however many there are: more of them do the same training, in less time.
    """
    on_all = None if fits is None else lambda count: not group.most(not fits(count))
    # 0 where it is not known; one process may already see what the first has written since
    size = group.most(checkpoints.remembered("batch-size") or 0)
    if not size:
        size = resolved_size(config.batch_size, examples, config.accumulate, on_all)
        if group.leads:
            checkpoints.remember("batch-size", size)
    return fitted(size, config.accumulate, on_all, group.size)


def resolved_size(wanted: int | Literal["auto"], examples: int, parts: int, fits: Callable[[int], bool] | None) -> int:
    """The batch size that ``training.batch_size`` stands for; ``auto`` is decided here, once per training.

    Args:
        examples: of the training set; a batch is no larger.
        parts: of ``training.accumulate``.
        fits: whether so many examples at once fit the GPU; None on a CPU, where nothing is tried.

    Raises:
        CspineError: not even two examples fit.
    """
    if wanted != "auto":
        return wanted
    cap = LARGEST_BATCH if fits is not None else CPU_BATCH
    size = 1 << (min(cap, max(examples, 2)).bit_length() - 1)
    while fits is not None and not fits(with_headroom(-(-size // parts))):
        if size <= 2:
            raise _nothing_fits()
        size //= 2
    say(f"train: batch_size auto: {size}")
    return size


def fitted(size: int, parts: int, fits: Callable[[int], bool] | None, processes: int = 1) -> Batch:
    """``size`` examples in ``parts``, or in more where the device holds fewer at once; one line says so.

    Several processes take as many parts each, so that the batch may come to be in a few more.

    Raises:
        CspineError: not even two examples fit.
    """
    parts = -(-parts // processes) * processes
    batch = Batch(size, parts, processes)
    while fits is not None and not fits(batch.at_once):
        if batch.at_once <= 2:
            raise _nothing_fits()
        batch = Batch(size, batch.parts * 2, processes)
    if batch.parts != parts:
        say(
            f"train: {-(-size // parts)} examples at once do not fit this device; the batch of {size} goes through the "
            f"network in {batch.parts} parts instead of {parts}"
        )
    return batch


def with_headroom(examples: int) -> int:
    """Examples to try out so that this many surely fit."""
    return examples + -(-examples // HEADROOM)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU had no memory left; cuDNN and cuBLAS say it in their own words."""
    texts = ("out of memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")
    is_error = isinstance(error, torch.cuda.OutOfMemoryError)
    return is_error or (isinstance(error, RuntimeError) and any(text in str(error) for text in texts))


def trial_of(
    network: nn.Module, loss: Loss, data: Examples, config: TrainingConfig, precision: Precision
) -> Callable[[int], bool]:
    """Whether one real step with so many examples at once fits the network's GPU, tried on a copy of the network."""
    first, device = data[0, 0], next(network.parameters()).device

    def fits(examples: int) -> bool:
        try:
            trial = Optimisation(copy.deepcopy(network).train(), config, precision, config.warmup_steps + 1)
            batch = data.prepare([tensor.expand(examples, *tensor.shape).to(device) for tensor in first])
            blend = blend_of(examples, config.mixup, device, 0)
            teach(trial, loss, batch, [slice(0, examples)], precision, blend)
            trial.step(1)
            return True
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return False
        finally:
            trial = batch = blend = None  # type: ignore[assignment]
            torch.cuda.empty_cache()

    return fits


def _nothing_fits() -> CspineError:
    return CspineError(
        "the GPU's memory holds not even two examples at once; use a smaller network.name or view.pixels, or "
        "another device (runtime.device), and see `nvidia-smi` for who else uses it"
    )

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
from cspine.errors import CspineError
from cspine.examples import Examples
from cspine.losses import Loss
from cspine.mixup import blend_of
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

    def rows(self, examples: int) -> list[slice]:
        """The parts of a batch of ``examples`` (the last of an epoch is smaller); none of a single example."""
        parts = max(1, min(self.parts, examples // 2))
        ends = [examples * i // parts for i in range(parts + 1)]
        return [slice(a, b) for a, b in pairwise(ends)]

    @property
    def at_once(self) -> int:
        """Examples of the largest part."""
        return -(-self.size // self.parts)


def batch_of(
    config: TrainingConfig, examples: int, checkpoints: Checkpoints, fits: Callable[[int], bool] | None
) -> Batch:
    """The batch of this training on this device; its size is decided once, its parts by the device at hand."""
    size = checkpoints.remembered("batch-size")
    if size is None:
        size = resolved_size(config.batch_size, examples, config.accumulate, fits)
        checkpoints.remember("batch-size", size)
    return fitted(size, config.accumulate, fits)


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


def fitted(size: int, parts: int, fits: Callable[[int], bool] | None) -> Batch:
    """``size`` examples in ``parts``, or in more where the device holds fewer at once; one line says so.

    Raises:
        CspineError: not even two examples fit.
    """
    batch = Batch(size, parts)
    while fits is not None and not fits(batch.at_once):
        if batch.at_once <= 2:
            raise _nothing_fits()
        batch = Batch(size, batch.parts * 2)
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

"""torch.compile of a network in training: in place, so that its weights keep their names in every file."""

from __future__ import annotations

import time

import torch
from torch import nn

from cspine.errors import CspineError
from cspine.progress import say


def compiled(network: nn.Module, device: torch.device) -> None:
    """Let ``network`` run compiled from its first step on; copies of it (the averaged weights) do not.

    ``dynamic=False``: an epoch has two sizes of batch at most, each compiled once, and sizes that are known make the
    faster code. That torch can compile on this machine is tried out, not believed: without a C++ compiler (CPU) or
    Triton (GPU) it only says so in the middle of the first step.

    Raises:
        CspineError: it cannot.
    """
    begun = time.perf_counter()
    try:
        torch.compile(_trial, dynamic=False)(torch.ones(2, device=device))
    except Exception as error:  # of inductor, triton or the compiler: many kinds
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CspineError(
            f"training.compile: torch.compile does not work on this machine ({device}): {first}; expected a "
            "C++ compiler (g++) for a CPU, Triton and a card of compute capability 7.0 or more for a GPU, or "
            "training.compile: false"
        ) from error
    network.compile(dynamic=False)
    say(f"train: compiled (tried in {time.perf_counter() - begun:.0f} s); the first step of each size of batch is slow")


def _trial(values: torch.Tensor) -> torch.Tensor:
    return values * 2 + 1

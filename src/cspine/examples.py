"""What is fed to a network: examples addressed by (pass, i), and the batches of them, in whichever process.

An example may come to the device unfinished, with rows of a table of pixels in place of the pixels, or not augmented
yet; ``prepare`` finishes the batch there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cspine.errors import CspineError
from cspine.pools import CONTEXT

Example = tuple[Tensor, ...]  # pixels, targets, weight; and what ``prepare`` needs beside them
Item = tuple[int, int]  # pass over the data, position in the table


class Examples(Dataset[Example], ABC):
    """Pixels, targets and weights; item (pass, i) is a function of the two and of the data's own seed."""

    batched = False  # whether ``batch`` reads them, and not one by one
    held = False  # whether their pixels lie on the device, so that nothing is left to read

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, item: Item) -> Example: ...

    @abstractmethod
    def positive(self) -> NDArray[np.bool_]:
        """Which examples have a positive target, (n,); what balanced sampling goes by."""

    def batch(self, items: Sequence[Item]) -> list[Tensor]:
        """Several examples at once, when ``batched``."""
        raise NotImplementedError

    def prepare(self, batch: Sequence[Tensor]) -> list[Tensor]:
        """Pixels, targets and weights of a loaded batch: what is left to be done to it, on the device it is on."""
        return list(batch)

    def augment_on_device(self) -> None:
        """From now on examples come as they are, with what was drawn for them, and ``prepare`` augments them.

        Raises:
            CspineError: these are augmented on the CPU only.
        """
        raise CspineError(
            f"training.augment_on: found device, but {type(self).__name__} are augmented on the CPU only; expected cpu "
            "(slices and vertebrae can be augmented on the device)"
        )

    def hold_pixels(self, device: torch.device, workers: int = 0) -> str:
        """From now on the pixels of all examples lie on ``device``, read by so many processes.

        Returns:
            why they do not; "" when they do.
        """
        return "only those of slices can"


def in_order(groups: Sequence[int], batch_size: int) -> list[list[Item]]:
    """All examples once, in their own order, for evaluation and prediction; groups of so many share no batch."""
    batches: list[list[Item]] = []
    start = 0
    for count in groups:
        stop = start + count
        batches += [[(0, i) for i in range(at, min(at + batch_size, stop))] for at in range(start, stop, batch_size)]
        start = stop
    return batches


def loader(
    data: Examples, batches: Iterable[list[Item]], workers: int, pin: bool = False, again: bool = False
) -> DataLoader[Any]:
    """Loads ``batches``, in their order; each is to be given to ``data.prepare``.

    Args:
        batches: what to load; asked for one by one.
        workers: processes, which start clean on every system; 0 = in this one, as for data that is ``held``.
        pin: into page-locked memory, from where a GPU fetches while it computes.
        again: it is gone through several times, and the processes stay.
    """
    workers = 0 if data.held else workers
    settings: dict[str, Any] = {
        "num_workers": workers,
        "multiprocessing_context": CONTEXT if workers else None,
        "pin_memory": pin,
        "persistent_workers": again and workers > 0,
    }
    if data.batched:
        return DataLoader(_Batches(data), sampler=batches, batch_size=None, **settings)
    return DataLoader(data, batch_sampler=batches, **settings)


class _Batches(Dataset[list[Tensor]]):
    """Whole batches of examples."""

    def __init__(self, data: Examples) -> None:
        self.data = data

    def __getitem__(self, items: Sequence[Item]) -> list[Tensor]:
        return self.data.batch(items)

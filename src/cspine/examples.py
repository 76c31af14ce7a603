"""What is fed to a network: examples addressed by (pass, i), and the batches of them, in whichever process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cspine.pools import CONTEXT

Example = tuple[Tensor, Tensor, Tensor]  # pixels, targets, weight
Item = tuple[int, int]  # pass over the data, position in the table


class Examples(Dataset[Example], ABC):
    """Pixels, targets and weights; item (pass, i) is a function of the two and of the data's own seed."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, item: Item) -> Example: ...

    @abstractmethod
    def positive(self) -> NDArray[np.bool_]:
        """Which examples have a positive target, (n,); what balanced sampling goes by."""


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
) -> DataLoader[Example]:
    """Loads ``batches``, in their order.

    Args:
        batches: what to load; asked for one by one.
        workers: processes, which start clean on every system; 0 = in this one.
        pin: into page-locked memory, from where a GPU fetches while it computes.
        again: it is gone through several times, and the processes stay.
    """
    return DataLoader(
        data,
        batch_sampler=batches,
        num_workers=workers,
        multiprocessing_context=CONTEXT if workers else None,
        pin_memory=pin,
        persistent_workers=again and workers > 0,
    )

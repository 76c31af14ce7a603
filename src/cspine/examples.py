"""What is fed to a network: examples addressed by (epoch, i), and the batches of them, in whichever process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Example = tuple[Tensor, Tensor, Tensor]  # pixels, targets, weight
Item = tuple[int, int]  # epoch, position in the table


class Examples(Dataset[Example], ABC):
    """Pixels, targets and weights; item (epoch, i) is a function of the two and of the data's own seed."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, item: Item) -> Example: ...


def in_order(data: Examples, batch_size: int) -> list[list[Item]]:
    """All examples once, in their own order, for evaluation and prediction."""
    count = len(data)
    return [[(0, i) for i in range(at, min(at + batch_size, count))] for at in range(0, count, batch_size)]


def loader(data: Examples, batches: Sequence[list[Item]], workers: int) -> DataLoader[Example]:
    """Loads ``batches``, in their order, by ``workers`` processes that start clean on every system (0: in this one)."""
    context = "spawn" if workers else None
    return DataLoader(data, batch_sampler=batches, num_workers=workers, multiprocessing_context=context)

"""Examples of slices that can be finished on the device: augmented there, and perhaps found there already."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cspine.examples import Example, Examples, Item
from cspine.on_device.augmentation import BatchAugmentation
from cspine.on_device.parameters import drawn
from cspine.on_device.pixels import HeldPixels

if TYPE_CHECKING:  # who only predicts needs no albumentations
    from cspine.augment import AugmentConfig

Places = NDArray[np.int64]
Rows = NDArray[np.float32]


class FinishedThere(Examples):
    """Examples that go to the device as whole batches: (pixels or where they lie, targets, weights[, what was drawn]).

    A subclass reads one by one as long as not ``batched``, and gives whole batches through ``seen``, ``labelled``,
    ``side`` and ``rows_held``.
    """

    augment: AugmentConfig | None
    seed: int  # of every draw
    weights: Tensor  # (examples,)
    copies: int  # channels that a slice alone is shown in
    augmenting: BatchAugmentation | None = None  # there; None: as they are, or on the CPU
    pixels_held: HeldPixels | None = None

    @property
    @abstractmethod
    def stacked(self) -> bool:
        """Whether channels are slices of their own, be it a single one, when they are augmented."""

    @property
    @abstractmethod
    def side(self) -> int:
        """Of the image that is augmented, pixels."""

    @abstractmethod
    def seen(self, places: Places) -> NDArray[np.uint8]:
        """Pixels as they are, (n, channels, side, side), a slice alone once only."""

    @abstractmethod
    def labelled(self, places: Places, rows: Rows | None) -> NDArray[np.float32]:
        """Targets (n, ...), after what was drawn (``parameters.drawn``) has moved them."""

    def rows_held(self, places: Places, held: HeldPixels) -> NDArray[np.int64]:
        """Which rows of the held pixels are the channels of examples, (n, channels)."""
        raise NotImplementedError

    def one(self, item: Item) -> Example:
        """An example as ``batch`` has it."""
        return tuple(tensor[0] for tensor in self.batch([item]))

    def batch(self, items: Sequence[Item]) -> list[Tensor]:
        """See Examples."""
        places = np.array([place for _, place in items], np.int64)
        held = self.pixels_held
        first = self.seen(places) if held is None else self.rows_held(places, held)
        if self.augmenting is None or self.augment is None:
            return [torch.from_numpy(first), torch.from_numpy(self.labelled(places, None)), self.weights[places]]
        rows = drawn(self.augment, self.side, self.stacked, self.seed, items)
        targets = torch.from_numpy(self.labelled(places, rows))
        return [torch.from_numpy(first), targets, self.weights[places], torch.from_numpy(rows)]

    def prepare(self, batch: Sequence[Tensor]) -> list[Tensor]:
        """See Examples: held pixels are gathered, a slice alone gets its channels, what was drawn happens."""
        if not self.batched:
            return list(batch)
        pixels, targets, weights, *rows = batch
        if self.pixels_held is not None:
            pixels = self.pixels_held.at(pixels)
        if pixels.shape[1] == 1 and not self.stacked:
            pixels = pixels.expand(-1, self.copies, -1, -1)
        if self.augmenting is not None and rows:
            pixels = self.augmenting(pixels, rows[0])
        return [pixels if pixels.shape[1] > 1 else pixels.expand(-1, self.copies, -1, -1), targets, weights]

    def augment_on_device(self) -> None:
        """See Examples."""
        if self.augment is not None:
            self.augmenting, self.batched = BatchAugmentation(self.augment, self.stacked), True

    def keep(self, held: HeldPixels | str) -> str:
        """Take the pixels from there from now on; why not, when there are none."""
        if isinstance(held, str):
            return held
        self.pixels_held, self.batched, self.held = held, True, True
        return ""

    def __getstate__(self) -> dict[str, Any]:
        """For worker processes, which need no pixels of the device: only where they lie."""
        held = self.pixels_held
        return {**self.__dict__, "pixels_held": held.without_pixels() if held is not None else None}

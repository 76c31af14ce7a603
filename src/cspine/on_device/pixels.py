"""Pixels of whole studies on the device: of a training once for all steps, to predict a study at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cspine.amounts import size
from cspine.cache.reading import SliceCache
from cspine.pools import CONTEXT
from cspine.progress import report, say

# ASSUME: the rest is the network's; of an 80 GB card the real set at 256 px (46.6 GB) fits, at 384 px it does not
SHARE = 0.6  # of the free memory that pixels may fill


@dataclass(frozen=True)
class HeldPixels:
    """All slices of some studies, one after the other.

    Attributes:
        pixels: uint8 (slices, pixels, pixels), on the device.
        first: of each study, the row of its most cranial slice, (studies,).
        slices: of each study, how many it has.
    """

    pixels: Tensor
    first: NDArray[np.int64]
    slices: NDArray[np.int64]

    def at(self, rows: Tensor) -> Tensor:
        """The slices of ``rows`` (n, channels), from whichever device: uint8 (n, channels, pixels, pixels)."""
        there = rows.to(self.pixels.device, non_blocking=True)
        return self.pixels.index_select(0, there.flatten()).unflatten(0, rows.shape)

    def without_pixels(self) -> HeldPixels:
        """Where slices lie, for a process that only says which it wants."""
        return replace(self, pixels=torch.empty(0, dtype=torch.uint8))


class Studies(Dataset[Tensor]):
    """Whole studies of a cache, uint8 (slices, pixels, pixels), the most cranial slice first."""

    def __init__(self, cache: SliceCache, uids: Sequence[str]) -> None:
        self.cache, self.uids = cache, uids

    def __len__(self) -> int:
        return len(self.uids)

    def __getitem__(self, number: int) -> Tensor:
        uid = self.uids[number]
        return torch.from_numpy(self.cache.read(uid, range(self.cache.slices_of(uid))))


def studies_of(cache: SliceCache, uids: Sequence[str], workers: int, pin: bool = False) -> DataLoader[Tensor]:
    """Studies in the order of ``uids``, each decoded once, by so many processes (0 = this one)."""
    context = CONTEXT if workers else None
    return DataLoader(
        Studies(cache, uids), batch_size=None, num_workers=workers, multiprocessing_context=context, pin_memory=pin
    )


def hold(cache: SliceCache, uids: Sequence[str], device: torch.device, workers: int = 0) -> HeldPixels | str:
    """All slices of studies on ``device``, or in words why there is no room for them.

    The size is known before the first is read, and a line says it.
    """
    slices = np.array([cache.slices_of(uid) for uid in uids], np.int64)
    needed, free = int(slices.sum()) * cache.pixels**2, free_bytes(device)
    what = f"{slices.sum():,} slices of {cache.pixels} px take {size(needed)}"
    if needed > SHARE * free:
        return (
            f"{what}, more than {SHARE:.0%} of the {size(free)} that are free on {device}; expected a view of fewer "
            "pixels, fewer studies (labels.share, data.subset), or a larger device"
        )
    say(f"pixels: {what} of the {size(free)} that are free on {device}")
    pixels = torch.empty((int(slices.sum()), cache.pixels, cache.pixels), dtype=torch.uint8, device=device)
    first = np.cumsum(slices) - slices
    for number, study in enumerate(studies_of(cache, uids, workers)):
        pixels[first[number] : first[number] + slices[number]] = study.to(device)
        report("pixels", number + 1, len(uids), "studies", aside=True)
    return HeldPixels(pixels, first, slices)


def free_bytes(device: torch.device) -> int:
    """Memory of the device that nothing holds; of the CPU the main memory's."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))

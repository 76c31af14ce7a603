"""Mixup (Zhang et al. 2018, arXiv 1710.09412): each example of a batch is blended with another one of it.

Our own few lines: timm's Mixup turns class indices into one-hot rows and cannot carry seven labels of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cspine.hashing import seed_of


@dataclass(frozen=True)
class Blend:
    """Which examples of a batch are blended, and by how much."""

    share: float  # of the example itself; the rest is its partner's
    partner: Tensor  # (n,) positions in the batch

    def of(self, values: Tensor, rows: slice = slice(None)) -> Tensor:
        """``values[rows]`` blended with their partners; float. A NaN (unknown) on either side stays a NaN.

        Args:
            values: (n, ...) of the whole batch: pixels, targets or weights.
            rows: the part of the batch that is wanted.
        """
        others = values[self.partner[rows]]
        return torch.lerp(others.float(), values[rows].float(), self.share)

    def within(self, first: int, end: int) -> tuple[Blend, list[int]]:
        """The same blend of the examples ``first`` .. ``end`` - 1 alone, and the places of all that it takes.

        These are first ..  end - 1 and then the partners that are not among them; the blend counts within the list.
        """
        partners = self.partner[first:end].tolist()
        places = [*range(first, end), *sorted(set(partners) - set(range(first, end)))]
        found = {place: number for number, place in enumerate(places)}
        return Blend(self.share, torch.tensor([found[place] for place in partners]).to(self.partner.device)), places


def blend_of(examples: int, alpha: float, device: torch.device, *draw: int) -> Blend | None:
    """The blend of one batch, a function of ``draw`` (seed, epoch, step); None when ``alpha`` is 0.

    As in the paper's code, one share per batch from Beta(alpha, alpha), and partners by a permutation of it.
    """
    if alpha == 0:
        return None
    random = np.random.default_rng(seed_of("mixup", *draw))
    share = float(random.beta(alpha, alpha))
    return Blend(share, torch.from_numpy(random.permutation(examples)).to(device))

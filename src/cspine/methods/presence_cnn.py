"""The presence network of S0b (i): nine sigmoids say of a slice alone which vertebrae it shows.

ASSUME: the source has "C1..C7 and two more" outputs; here the two are the thoracic vertebrae together and none at all.
A family of localizers; what one offers, slice_localizer says.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cspine.examples import Example, Item
from cspine.localization.columns import RATIO
from cspine.losses import Loss
from cspine.methods.slice_cnn import (
    NetworkConfig,
    SliceExamples,
    build,
    describe,
    load,
    localize,
    rebuild,
)
from cspine.on_device.finishing import Places, Rows
from cspine.studies import PRESENCE, VERTEBRAE
from cspine.training_config import TrainingConfig

if TYPE_CHECKING:
    from cspine.augment import AugmentConfig

__all__ = ["NetworkConfig", "build", "describe", "examples", "load", "localize", "loss", "rebuild"]
#: names of the outputs, in their order; ``localize`` gives the first seven
OUTPUTS = (*PRESENCE, "present_T", "present_none")


class PresenceLoss(Loss):
    """Binary cross-entropy of the nine outputs; an unknown cell counts nowhere. Hits are counted on C1..C7."""

    judged = len(VERTEBRAE)
    terms = ("loss",)
    coefficients = (1.0,)
    outputs = OUTPUTS

    def sums(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """See Loss; logits and targets (n, 9)."""
        known = ~target.isnan()
        losses = functional.binary_cross_entropy_with_logits(logits, target.nan_to_num(), reduction="none")
        return (weight[:, None] * known * losses).sum()[None]

    def norms(self, target: Tensor, weight: Tensor) -> Tensor:
        """See Loss."""
        return (weight[:, None] * ~target.isnan()).sum()[None]


class PresenceExamples(SliceExamples):
    """Slices with what they show, (9,) in the order of OUTPUTS; item (pass, i) as of SliceExamples."""

    def __init__(
        self,
        table: pd.DataFrame,
        shards: Sequence[Path],
        network: NetworkConfig,
        augment: AugmentConfig | None,
        seed: int,
    ) -> None:
        super().__init__(table, shards, network.neighbours, augment, seed, network.copies)
        self.shown = shown_levels(table)

    def __getitem__(self, item: Item) -> Example:
        if self.batched:
            return self.one(item)
        pixels, _, weight = super().__getitem__(item)
        return pixels, torch.from_numpy(self.shown[item[1]]), weight

    def labelled(self, places: Places, rows: Rows | None) -> NDArray[np.float32]:
        """See FinishedThere."""
        return self.shown[places]

    def positive(self) -> NDArray[np.bool_]:
        """Slices that show any of C1..C7."""
        return np.asarray((self.shown[:, : len(VERTEBRAE)] > 0).any(axis=1))


def shown_levels(table: pd.DataFrame) -> NDArray[np.float32]:
    """What the masks say of each slice, (slices, 9) of 0 and 1: C1..C7, any thoracic vertebra, none of all these.

    Args:
        table: a localizer's training set; one voxel is enough (S1b), which makes a level's ratio greater than 0.
    """
    levels = np.column_stack([table[list(PRESENCE)], table[RATIO[-1]] > 0]).astype(np.float32)
    return np.column_stack([levels, ~(levels > 0).any(axis=1)]).astype(np.float32)


def loss(config: TrainingConfig) -> PresenceLoss:
    """What the network is taught to make small; ``loss: bce`` whatever ``config`` says."""
    return PresenceLoss()


def examples(
    table: pd.DataFrame, shards: Sequence[Path], network: NetworkConfig, augment: dict[str, Any] | None, seed: int
) -> PresenceExamples:
    """The examples of a training set's rows; ``augment`` None for evaluation."""
    from cspine.augment import AugmentConfig

    how = AugmentConfig(**augment) if augment is not None else None
    return PresenceExamples(table, shards, network, how, seed)

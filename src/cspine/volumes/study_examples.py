"""Whole studies as a 3D network reads them: their volumes from the cache, and the labels of train.csv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from cspine.cache.reading import SliceCache
from cspine.errors import CspineError
from cspine.examples import Example, Examples, Item
from cspine.hashing import seed_of
from cspine.studies import LABELS, UID

if TYPE_CHECKING:  # who only predicts needs no torchio
    from numpy.typing import NDArray

    from cspine.volumes.study_augmentation import AugmentConfig, StudyAugmentation


class StudyExamples(Examples):
    """Studies with their labels and weights. Item (pass, i) is a function of (seed, pass, i) in whichever process.

    Pixels are uint8 (side, side, side), head to feet, front to back, from the patient's right to left; targets are the
    eight LABELS, NaN where unknown. A table without labels or weights (a study that is only predicted) knows nothing,
    with weight 1.
    """

    def __init__(
        self, table: pd.DataFrame, shards: Sequence[Path], halvings: int, augment: AugmentConfig | None, seed: int
    ) -> None:
        """Open nothing yet.

        Args:
            table: one row a study: StudyInstanceUID, perhaps LABELS and weight.
            shards: the cache of a view of kind volume.
            halvings: how often the network halves a volume's side.
            augment: what may happen to a volume; None for evaluation.
            seed: of every draw.
        """
        self.uids = table[UID].astype(str).tolist()
        self.targets = table.reindex(columns=list(LABELS)).to_numpy(np.float32, copy=True)
        weight = table["weight"] if "weight" in table else pd.Series(1.0, index=table.index)
        self.weights = torch.from_numpy(weight.to_numpy(np.float32, copy=True))
        self.cache, self.halvings = SliceCache(shards), halvings
        self.augment, self.seed = augment, seed
        self._augmentation: StudyAugmentation | None = None

    def __len__(self) -> int:
        return len(self.uids)

    def __getitem__(self, item: Item) -> Example:
        number, i = item
        volume = self._volume(self.uids[i])
        if self.augment is not None:
            volume = self._augmented(volume, self.augment, seed_of("augment", self.seed, number, i))
        return torch.from_numpy(volume), torch.from_numpy(self.targets[i]), self.weights[i]

    def positive(self) -> NDArray[np.bool_]:
        """Studies with a label that is known to be more likely fractured than not."""
        return np.fmax.reduce(self.targets, axis=1) >= 0.5

    def _volume(self, uid: str) -> NDArray[np.uint8]:
        """A study's cube.

        Raises:
            CspineError: the view has other than cubes, or cubes that the network halves to nothing.
        """
        slices, side = self.cache.slices_of(uid), self.cache.pixels
        if slices != side:
            raise CspineError(
                f"view {self.cache.metadata.get('view')}: study {uid} has {slices} slices of {side} x {side} pixels; a "
                "3D network of whole studies reads cubes: expected a view of kind volume"
            )
        if side < 2**self.halvings:
            raise CspineError(
                f"network.channels: {self.halvings} blocks halve a side of {side} cells to nothing; expected fewer, or "
                "a view of more pixels"
            )
        return np.ascontiguousarray(self.cache.read(uid, range(slices)))

    def _augmented(self, volume: NDArray[np.uint8], how: AugmentConfig, seed: int) -> NDArray[np.uint8]:
        if self._augmentation is None:  # made in the process that uses it
            from cspine.volumes.study_augmentation import StudyAugmentation

            self._augmentation = StudyAugmentation(how, len(volume))
        return self._augmentation(volume, seed)

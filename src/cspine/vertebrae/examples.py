"""Vertebrae as examples: the squares of their slices, with one target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cspine.cache.reading import SliceCache
from cspine.examples import Example, Item
from cspine.hashing import seed_of
from cspine.on_device.finishing import FinishedThere, Places, Rows
from cspine.studies import UID
from cspine.vertebrae.crops import cut
from cspine.vertebrae.placing import CORNERS

if TYPE_CHECKING:  # who only predicts needs no albumentations
    from cspine.augment import Augmentation, AugmentConfig


class VertebraExamples(FinishedThere):
    """Squares of slices of a vertebra; item (pass, i) is a function of (seed, pass, i) in whichever process.

    Pixels are uint8 (slices, pixels, pixels) from the most cranial to the most caudal, the target is (1,): fractured.
    What is drawn for an example happens to all its slices alike: they are one piece of bone.

    Args:
        table: rows of vertebrae.parquet; ``fractured`` and ``weight`` beside them where they are taught.
        shards: the cache of the crop view.
        pixels: side of what the network reads of a slice.
        augment: None for evaluation.
        seed: of every draw.
        apart: each slice is an example by itself, (copies, pixels, pixels): all slices of the first row, of the second
            ...
        copies: channels that a slice alone is shown in.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        shards: Sequence[Path],
        pixels: int,
        augment: AugmentConfig | None,
        seed: int,
        apart: bool = False,
        copies: int = 1,
    ) -> None:
        # numbers, not a text for each example: every worker process is given a copy
        self.study_of, uids = pd.factorize(table[UID])
        self.uids = uids.tolist()
        self.z_indices = _stacked(table["z_indices"], np.int32)
        self.boxes = np.stack([_stacked(table[corner], np.float32) for corner in CORNERS], axis=-1)
        target = table["fractured"] if "fractured" in table else np.zeros(len(table))
        self.target = np.array(target, np.float32)
        weight = np.array(table["weight"] if "weight" in table else np.ones(len(table)), np.float32)
        self.weights = torch.from_numpy(weight)
        if apart:
            self._take_apart()
        self.copies, self.pixels = copies, pixels
        self.cache = SliceCache(shards)
        self.augment, self.seed = augment, seed
        self._augmentation: Augmentation | None = None

    def _take_apart(self) -> None:
        slices = self.z_indices.shape[1]
        self.study_of = np.repeat(self.study_of, slices)
        self.target, self.weights = np.repeat(self.target, slices), self.weights.repeat_interleave(slices)
        self.z_indices, self.boxes = self.z_indices.reshape(-1, 1), self.boxes.reshape(-1, 1, 4)

    @property
    def stacked(self) -> bool:
        """Slices of their own, or a single one, whose copies are made afterwards."""
        return True

    @property
    def side(self) -> int:
        """Of a square, pixels."""
        return self.pixels

    def __len__(self) -> int:
        return len(self.study_of)

    def __getitem__(self, item: Item) -> Example:
        if self.batched:
            return self.one(item)
        number, i = item
        stack = self._cut(i)
        if self.augment is not None:
            stack = self._augmented(stack, self.augment, seed_of("augment", self.seed, number, i))
        channels = np.repeat(stack, self.copies, axis=0)
        return torch.from_numpy(channels), torch.from_numpy(self.target[i : i + 1]), self.weights[i]

    def seen(self, places: Places) -> NDArray[np.uint8]:
        """See FinishedThere."""
        return np.stack([self._cut(int(i)) for i in places])

    def labelled(self, places: Places, rows: Rows | None) -> NDArray[np.float32]:
        """See FinishedThere."""
        return self.target[places, None]

    def _cut(self, i: int) -> NDArray[np.uint8]:
        read = self.cache.read(self.uids[self.study_of[i]], self.z_indices[i])
        return np.stack([cut(image, box, self.pixels) for image, box in zip(read, self.boxes[i], strict=True)])

    def positive(self) -> NDArray[np.bool_]:
        """Vertebrae that are more likely fractured than not."""
        return np.asarray(self.target >= 0.5)

    def _augmented(self, stack: NDArray[np.uint8], how: AugmentConfig, seed: int) -> NDArray[np.uint8]:
        if self._augmentation is None:  # made in the process that uses it
            from cspine.augment import Augmentation

            self._augmentation = Augmentation(how, self.pixels, stacked=True)
        image = self._augmentation(np.atleast_3d(cv2.merge(list(stack))), seed)
        return np.stack(cv2.split(np.ascontiguousarray(image)))


def _stacked(lists: pd.Series, kind: Any) -> NDArray[Any]:
    """(rows, slices) of a column of lists, all of one length."""
    return np.stack(lists.tolist()).astype(kind) if len(lists) else np.empty((0, 1), kind)

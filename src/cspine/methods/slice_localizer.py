"""The slice localizer: a 2.5D network says how much of each vertebra a slice shows, and where (S1d, stage 1).

What a family of localizers offers the stages (slice_cnn, too, can be one: it then says which vertebrae are shown):

``NetworkConfig``        dataclass of the config's ``network`` block; ``weights`` is none, hub or file
``build(config, weights, outputs)``, ``load(path)``, ``rebuild(description)``, ``describe(config)``    as of slice_cnn
``loss(training)``       a ``losses.Loss`` with ``outputs``, the names of the network's outputs
``examples(table, shards, network, augment, seed)``   a ``examples.Examples`` of the rows of a training set (stage
                         build_localizer_set); ``augment`` None for evaluation
``localize(network, tables, shards, device, precision, batch_size, loader_workers)``   for each of ``tables`` (the rows
                         of one study in index/slices.parquet, most cranial first), in their order, one table with the
                         columns OUTPUTS (float32; NaN where it has no head) for the same rows. No batch holds slices
                         of two studies. Places are shares of the stored slice.

A family that is taught voxels says so in the registry (``taught_voxels``); its training set has the column ``mask``,
and ``localize`` gets ``masks`` (the files that a rule of its own writes) and may add the columns DICE, equal in all
rows of a study.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from cspine.localization.columns import BOX, MIDDLE, OUTPUTS, RATIO
from cspine.localization.losses import BOXES, MIDDLES, RATIOS, SHOWN, LocalizerLoss
from cspine.methods import slice_cnn
from cspine.methods.slice_cnn import (
    CHANNELS,
    NetworkConfig,
    SliceExamples,
    SliceNetwork,
    as_image,
    build,
    describe,
    load,
    rebuild,
)
from cspine.on_device.finishing import Places, Rows
from cspine.on_device.parameters import moved
from cspine.precision import Precision
from cspine.studies import PRESENCE, VERTEBRAE
from cspine.training_config import TrainingConfig
from cspine.views.places import in_slice, in_view

if TYPE_CHECKING:
    from cspine.augment import AugmentConfig

__all__ = ["NetworkConfig", "build", "describe", "examples", "load", "localize", "loss", "rebuild"]
SIZE = ["rows", "columns"]
CORNERS = [[0, 1], [2, 1], [0, 3], [2, 3]]  # x and y of a box's corners, in the order of BOX


def loss(config: TrainingConfig) -> LocalizerLoss:
    """What the network is taught to make small; its ``outputs`` are the network's."""
    return LocalizerLoss(config)


class LocalizerExamples(SliceExamples):
    """Slices with ratios, box, middles and presence; item (pass, i) is a function of (seed, pass, i).

    Targets are ``localization.losses.TARGETS``. What is drawn over an image moves its places too; a middle that
    comes to lie outside the view is unknown, of a box the part inside counts.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        shards: Sequence[Path],
        neighbours: int,
        augment: AugmentConfig | None,
        seed: int,
        copies: int = CHANNELS,
    ) -> None:
        super().__init__(table, shards, neighbours, augment, seed, copies)
        self.shown = table[list(PRESENCE)].to_numpy(np.float32)
        places = table[[*BOX, *MIDDLE]].to_numpy(np.float64).reshape(len(table), -1, 2)
        sizes = table[SIZE].to_numpy(np.int64)
        self.places = in_view(places, sizes, self.cache.centre).reshape(len(table), -1)
        self.ratios = table[list(RATIO)].to_numpy(np.float32)

    def __getitem__(self, item: Item) -> Example:
        if self.batched:
            return self.one(item)
        number, i = item
        channels = self._channels(self.uids[self.study_of[i]], int(self.z_indices[i]))
        points = _points(self.places[i])
        if self.augment is not None:
            seed = seed_of("augment", self.seed, number, i)
            channels, points = self._moved(channels, points, self.augment, seed)
        return torch.from_numpy(channels), torch.from_numpy(self._target(i, points)), self.weights[i]

    def labelled(self, places: Places, rows: Rows | None) -> NDArray[np.float32]:
        """See FinishedThere; places move with their slice."""
        points = np.stack([_points(self.places[i]) for i in places])
        points = points if rows is None else moved(points, rows, self.side)
        return np.stack([self._target(int(i), of_slice) for i, of_slice in zip(places, points, strict=True)])

    def _target(self, i: int, points: NDArray[np.float64]) -> NDArray[np.float32]:
        found = np.concatenate([self.ratios[i], _box_of(points[:4]), _inside(points[4:]), self.shown[i]])
        return found.astype(np.float32)

    def positive(self) -> NDArray[np.bool_]:
        """Slices that show any of C1..C7."""
        return np.asarray((self.shown > 0).any(axis=1))

    def _moved(
        self, channels: NDArray[np.uint8], points: NDArray[np.float64], how: AugmentConfig, seed: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        if self._augmentation is None:  # made in the process that uses it
            from cspine.augment import Augmentation

            self._augmentation = Augmentation(how, channels.shape[1], stacked=self.stacked, places=True)
        image, moved = self._augmentation.with_places(as_image(channels), points, seed)
        return np.stack(cv2.split(np.ascontiguousarray(image))), moved


def examples(
    table: pd.DataFrame, shards: Sequence[Path], network: NetworkConfig, augment: dict[str, Any] | None, seed: int
) -> LocalizerExamples:
    """The examples of a training set's rows; ``augment`` None for evaluation."""
    from cspine.augment import AugmentConfig

    how = AugmentConfig(**augment) if augment is not None else None
    return LocalizerExamples(table, shards, network.neighbours, how, seed, network.copies)


def localize(
    network: SliceNetwork,
    tables: Sequence[pd.DataFrame],
    shards: Sequence[Path],
    device: torch.device,
    precision: Precision,
    batch_size: int,
    loader_workers: int = 0,
) -> Iterator[pd.DataFrame]:
    """Ratios, box, middles and presence of each study's slices; see the head of this file.

    Without a head for it, presence is the ratio. A box and middles are given for every slice, also for one that shows
    nothing.
    """
    centre = SliceCache(shards).centre
    batches = slice_cnn.outputs_of(network, tables, shards, device, precision, batch_size, loader_workers)
    for table, values in zip(tables, slice_cnn.by_study(batches, tables), strict=True):
        places = values[:, BOXES.start : MIDDLES.stop].reshape(len(table), -1, 2).astype(np.float64)
        stored = np.clip(in_slice(places, table[SIZE].to_numpy(np.int64), centre), 0, 1).reshape(len(table), -1)
        ratio = values[:, RATIOS]
        shown = values[:, SHOWN] if values.shape[1] > SHOWN.start else ratio[:, : len(VERTEBRAE)]
        box = np.column_stack([np.sort(stored[:, [0, 2]]), np.sort(stored[:, [1, 3]])])[:, [0, 2, 1, 3]]
        found = np.column_stack([shown, ratio, box, stored[:, 4:]]).astype(np.float32)
        said = pd.DataFrame(found, columns=[*PRESENCE, *RATIO, *BOX, *MIDDLE], index=table.index)
        yield said.reindex(columns=list(OUTPUTS))  # no head for each vertebra's own box


def _points(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4 + 7, 2): the corners of a box and the middles, of the places in the order of BOX and MIDDLE."""
    return np.concatenate([places[:4][CORNERS], places[4:].reshape(-1, 2)])


def _box_of(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """The box (4,) around moved corners (4, 2), as far as it lies in the view; NaN where nothing of it does.

    ASSUME: a turned box is the one around its corners, a little larger than what it held.
    """
    low, high = np.clip(corners.min(axis=0), 0, 1), np.clip(corners.max(axis=0), 0, 1)
    return np.concatenate([low, high]) if (high > low).all() else np.full(4, np.nan)


def _inside(middles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Middles (7, 2) as (14,), NaN outside the view."""
    inside = (np.abs(middles - 0.5) <= 0.5).all(axis=1, keepdims=True)  # False of NaN
    return np.where(inside, middles, np.nan).ravel()

"""The segmenting localizer: a 3D network from monai reads a whole study as a cube and labels its voxels (S4).

The published winners' way: the study's slices, all of them, are resampled to a cube; what a voxel is (C1..C7, thoracic,
nothing) is learnt from the masks; back on the slices, that says which vertebrae a slice shows, how much, and where.

What it offers the stages is at the head of ``slice_localizer``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cspine.cache.codecs import decode
from cspine.cache.reading import SliceCache
from cspine.errors import CspineError
from cspine.examples import Example, Examples, Item, in_order, loader
from cspine.hashing import seed_of
from cspine.localization.columns import DICE, OUTPUTS
from cspine.masks.laying import UNKNOWN
from cspine.models import load_model
from cspine.origins import take_over
from cspine.precision import Precision
from cspine.studies import UID
from cspine.tables import read_table
from cspine.training_config import TrainingConfig
from cspine.volumes.augmentation import AugmentConfig, CubeAugmentation
from cspine.volumes.cubes import Bytes, Cube, Floats
from cspine.volumes.found import dice_of, outputs_of
from cspine.volumes.loss import SegmentationLoss
from cspine.volumes.networks import network_of

KEPT_BYTES = 512_000_000  # of cubes in each process that loads: all of the real set's segmented studies at 128 cells


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, what it sees, and how it starts."""

    name: str  # unet | segresnet | dynunet, of monai
    weights: str  # none | file (a local one of cspine's, which is an input)
    cube: int  # side of the cube that a study becomes
    channels: list[int]  # of the network's levels, the finest first; each has half the side of the one before
    dropout: float


class VolumeNetwork(nn.Module):
    """uint8 cubes (n, side, side, side) -> logits (n, classes, side, side, side); scaling belongs to the model."""

    def __init__(self, body: nn.Module, side: int) -> None:
        super().__init__()
        self.body, self.side = body, side

    def forward(self, cubes: Tensor) -> Tensor:
        """Logits of background, C1..C7 and thoracic; grey levels 0..255 from head to feet, front to back."""
        logits: Tensor = self.body((cubes.float() / 127.5 - 1)[:, None])
        return logits


def build(
    config: NetworkConfig, weights: Path | None = None, outputs: int = len(SegmentationLoss.outputs)
) -> VolumeNetwork:
    """A network ready for training.

    Args:
        config: ``weights`` "hub" is refused: monai publishes none for these.
        weights: a finished model, or the end of a training, whose weights are taken over where they fit.
        outputs: classes.

    Raises:
        CspineError: unknown network, a side or channels that do not suit it, or weights that do not fit.
    """
    if config.weights == "hub":
        raise CspineError(
            "network.weights: found hub, but monai publishes no weights for a network of one's own size; expected none "
            "or the path of a model.safetensors"
        )
    network = VolumeNetwork(network_of(config.name, config.cube, config.channels, config.dropout, outputs), config.cube)
    if weights is not None:
        take_over(network, weights)
    return network


def load(path: Path) -> VolumeNetwork:
    """The network of a finished model, rebuilt from what the file itself says."""
    return load_model(path, rebuild)


def rebuild(description: dict[str, Any]) -> VolumeNetwork:
    """The network that a model's description tells of, its weights still to be filled in."""
    config = NetworkConfig(**{**description["network"], "weights": "none"})
    return build(config, outputs=len(description["outputs"]))


def describe(config: NetworkConfig) -> dict[str, Any]:
    """What a finished model says about its network; ``load`` reads it."""
    return asdict(config)


def loss(config: TrainingConfig) -> SegmentationLoss:
    """What the network is taught to make small; its ``outputs`` are the network's."""
    return SegmentationLoss(config)


@dataclass(frozen=True)
class MaskedStudy:
    """A study with what is known of its voxels.

    Attributes:
        uid: its name in the cache.
        masks: z_index -> encoded labels in the geometry of the view; slices that no plane shows have none.
        weight: in the loss.
    """

    uid: str
    masks: dict[int, bytes]
    weight: float = 1.0

    def labels(self, cube: Cube) -> Bytes:
        """(slices, pixels, pixels), UNKNOWN in slices without a plane."""
        stack = np.full((cube.slices, cube.pixels, cube.pixels), UNKNOWN, np.uint8)
        for z, labels in self.decoded(cube.pixels).items():
            stack[z] = labels
        return stack

    def decoded(self, pixels: int) -> dict[int, Bytes]:
        """z_index -> labels (pixels, pixels)."""
        return {z: decode(blob, pixels) for z, blob in self.masks.items()}


class VolumeExamples(Examples):
    """Studies as cubes with labelled voxels. Item (pass, i) is a function of (seed, pass, i) in whichever process.

    Pixels are uint8 (side, side, side) from head to feet; targets are the labels, UNKNOWN where no plane of the mask
    shows the slice.
    """

    def __init__(
        self,
        studies: Sequence[MaskedStudy],
        shards: Sequence[Path],
        side: int,
        augment: AugmentConfig | None,
        seed: int,
    ) -> None:
        self.studies = studies
        self.weights = torch.tensor([study.weight for study in studies], dtype=torch.float32)
        self.cache = SliceCache(shards)
        self.side, self.augment, self.seed = side, augment, seed
        self._augmentation: CubeAugmentation | None = None
        self._kept: dict[int, tuple[Bytes, Bytes]] = {}

    def __len__(self) -> int:
        return len(self.studies)

    def __getitem__(self, item: Item) -> Example:
        number, i = item
        cells, labels = self._cubes(i)
        if self.augment is not None:
            if self._augmentation is None:  # made in the process that uses it
                self._augmentation = CubeAugmentation(self.augment, self.side)
            cells, labels = self._augmentation(cells, labels, seed_of("augment", self.seed, number, i))
        return torch.from_numpy(cells), torch.from_numpy(labels), self.weights[i]

    def cube_of(self, i: int) -> Cube:
        """How study ``i`` and its cube lie on each other."""
        return Cube(self.cache.slices_of(self.studies[i].uid), self.cache.pixels, self.side)

    def _cubes(self, i: int) -> tuple[Bytes, Bytes]:
        """Cells and labels of study ``i``; kept where they will be asked for again, as far as there is room."""
        if i in self._kept:
            return self._kept[i]
        cube, study = self.cube_of(i), self.studies[i]
        found = cube.of(self.cache.read(study.uid, range(cube.slices))), cube.labels_of(study.labels(cube))
        if self.augment is not None and (len(self._kept) + 1) * 2 * self.side**3 <= KEPT_BYTES:
            self._kept[i] = found
        return found

    def positive(self) -> NDArray[np.bool_]:
        """All of them: each study has vertebrae, so there is nothing to balance."""
        return np.ones(len(self), np.bool_)


def examples(
    table: pd.DataFrame, shards: Sequence[Path], network: NetworkConfig, augment: dict[str, Any] | None, seed: int
) -> VolumeExamples:
    """The studies of a training set's rows, by StudyInstanceUID; ``augment`` None for evaluation.

    Raises:
        CspineError: the training set has no voxels.
    """
    if "mask" not in table.columns:
        raise CspineError(
            "the training set has no column mask (labels in the geometry of the view, stage lay_masks); expected the "
            "family of its localizer to be taught_voxels in methods/registry.py"
        )
    studies = [
        MaskedStudy(str(uid), _blobs_of(rows), float(rows["weight"].iloc[0]))
        for uid, rows in table.groupby(UID, sort=True)
    ]
    how = AugmentConfig(**augment) if augment is not None else None
    return VolumeExamples(studies, shards, network.cube, how, seed)


def localize(
    network: VolumeNetwork,
    tables: Sequence[pd.DataFrame],
    shards: Sequence[Path],
    device: torch.device,
    precision: Precision,
    batch_size: int,
    loader_workers: int = 0,
    masks: Sequence[Path] = (),
) -> Iterator[pd.DataFrame]:
    """What each study's slices show (``volumes.found.outputs_of``) and, where there is a mask, how the two overlap.

    Args:
        network: a finished one.
        tables: the rows of one study each in index/slices.parquet, most cranial first.
        shards: the cache of the view.
        device: where it is computed.
        precision: with which numbers.
        batch_size: of slices, which counts for nothing here: a study is one cube, and cubes go one by one.
        loader_workers: processes that read studies and make cubes of them; 0 = this one.
        masks: of stage lay_masks.

    Yields:
        for each of ``tables`` the columns OUTPUTS and DICE for the same rows.
    """
    known = _masks_of(masks)
    studies = [MaskedStudy(table[UID].iloc[0], known.get(table[UID].iloc[0], {})) for table in tables]
    data = VolumeExamples(studies, shards, network.side, None, 0)
    network.eval().to(device)
    cubes = loader(data, in_order([1] * len(studies), 1), loader_workers, pin=device.type == "cuda")
    for i, (cells, _, _) in enumerate(cubes):
        probabilities, cube = _probabilities(network, cells, device, precision), data.cube_of(i)
        found = outputs_of(probabilities, cube, tables[i][["rows", "columns"]].to_numpy(np.int64), data.cache.centre)
        overlaps = dice_of(probabilities, cube, studies[i].decoded(cube.pixels))
        said = pd.DataFrame(found, columns=list(OUTPUTS), index=tables[i].index)
        yield said.assign(**dict(zip(DICE, overlaps.tolist(), strict=True)))


def _probabilities(network: nn.Module, cells: Tensor, device: torch.device, precision: Precision) -> Floats:
    """(classes, side, side, side) of one cube."""
    with torch.inference_mode(), precision.autocast():
        logits = network(cells.to(device, non_blocking=True))
        return np.asarray(torch.softmax(logits.float(), 1)[0].cpu().numpy())


def _masks_of(paths: Sequence[Path]) -> dict[str, dict[int, bytes]]:
    """StudyInstanceUID -> z_index -> encoded labels."""
    tables = [read_table(path, [UID, "z_index", "mask"]) for path in paths]
    return {str(uid): _blobs_of(rows) for table in tables for uid, rows in table.groupby(UID)}


def _blobs_of(rows: pd.DataFrame) -> dict[int, bytes]:
    """z_index -> encoded labels of a study's rows; those without are left out."""
    pairs = zip(rows["z_index"].tolist(), rows["mask"], strict=True)
    return {int(z): blob for z, blob in pairs if isinstance(blob, bytes)}

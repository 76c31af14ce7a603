"""The slice model: a 2D network from timm reads a slice, or it and its neighbours, and gives fracture logits (S3).

What a family offers the stages: ``NetworkConfig``, ``build``, ``load``, ``rebuild``, ``describe``, ``examples``,
``loss``, ``predict_slices``, ``predict_study`` and ``stack_in``. Taught which vertebrae a slice shows, it is a
localizer, and offers ``localize`` (see slice_localizer).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cspine.cache.reading import SliceCache
from cspine.examples import Example, Item, in_order, loader
from cspine.hashing import seed_of
from cspine.localization.columns import OUTPUTS
from cspine.losses import FractureLoss
from cspine.methods.encoders import encoder_of, norm_of
from cspine.models import load_model
from cspine.on_device.finishing import FinishedThere, Places, Rows
from cspine.on_device.pixels import HeldPixels, hold, studies_of
from cspine.precision import Precision
from cspine.runtime import runtime
from cspine.slice_evidence import PREDICTED
from cspine.studies import CONFIDENCE, PRESENCE, UID, VERTEBRAE
from cspine.training_config import TrainingConfig

if TYPE_CHECKING:  # who only predicts needs no albumentations
    from cspine.augment import Augmentation, AugmentConfig

CHANNELS = 3  # of a single slice: three times itself, what ImageNet weights and RGB shift expect


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, what it sees, and how it starts."""

    name: str  # any timm network
    weights: str  # none | hub | file (a local one, which is an input)
    trainable: str  # all | head
    dropout: float  # before the final layer
    neighbours: int  # slices on either side of the one that is judged; 0 = the slice alone
    colour: str = "repeat"  # of a single slice: three times itself, or "learned": one channel, mapped to three

    @property
    def channels(self) -> int:
        """Channels that the timm network reads."""
        return 2 * self.neighbours + 1 if self.neighbours else CHANNELS

    @property
    def copies(self) -> int:
        """How often an example has a slice that is shown alone."""
        return 1 if self.colour == "learned" else CHANNELS


class SliceNetwork(nn.Module):
    """uint8 slices (n, channels, pixels, pixels) -> logits (n, outputs); scaling and normalising belong to the model.

    ASSUME: the channels of a stack are all normalised by the mean of the pretrained colours' means and deviations:
    slices are grey, and no neighbour is red. ASSUME: learned colours (S0b) are a convolution of 3 x 3 on the grey
    levels 0..1, which begins as three times the slice: then pretrained weights see what they have learnt from.
    """

    encoder: Any  # of timm
    colour: nn.Conv2d | None
    mean: Tensor
    std: Tensor

    def __init__(self, encoder: nn.Module, config: NetworkConfig) -> None:
        super().__init__()
        self.encoder, self.neighbours, self.frozen = encoder, config.neighbours, config.trainable == "head"
        self.copies, self.colour = config.copies, _colours() if config.colour == "learned" else None
        mean, std = norm_of(encoder, config.channels, stacked=config.neighbours > 0)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, slices: Tensor) -> Tensor:
        """Logits C1..C7 and whatever other outputs it has; pixels 0..255, uint8 or (blended) float."""
        grey = slices.float() / 255
        scaled = ((grey if self.colour is None else self.colour(grey)) - self.mean) / self.std
        features = self.encoder.forward_features(scaled.contiguous(memory_format=torch.channels_last))
        # pooling and the final layer in float32: logits of bf16 would have two or three digits
        with torch.autocast(slices.device.type, enabled=False):
            return self.encoder.forward_head(features.float())

    def train(self, mode: bool = True) -> SliceNetwork:
        """Training mode; what is not trained keeps the statistics it came with, or it would be another network."""
        super().train(mode)
        if self.frozen:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


def _colours() -> nn.Conv2d:
    colours = nn.Conv2d(1, CHANNELS, kernel_size=3, padding=1)
    nn.init.zeros_(colours.weight)
    nn.init.zeros_(colours.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        colours.weight[:, :, 1, 1] = 1.0
    return colours


def build(config: NetworkConfig, weights: Path | None = None, outputs: int = len(VERTEBRAE)) -> SliceNetwork:
    """A network ready for training.

    Args:
        config: ``weights`` "hub" loads what timm publishes for the name.
        weights: a local file to load instead, whose final layer may have another number of classes (it is left out).

    Raises:
        CspineError: unknown network (answered with near names) or weights that do not fit.
    """
    options = {"num_classes": outputs, "in_chans": config.channels, "drop_rate": config.dropout}
    encoder = encoder_of(config.name, config.weights, weights, **options)
    network = SliceNetwork(encoder, config)
    if config.trainable == "head":
        for parameter in network.parameters():
            parameter.requires_grad = False
        classifier: nn.Module = encoder.get_classifier()
        for parameter in classifier.parameters():
            parameter.requires_grad = True
    return network


def load(path: Path) -> SliceNetwork:
    """The network of a finished model, rebuilt from what the file itself says."""
    return load_model(path, rebuild)


def rebuild(description: dict[str, Any]) -> SliceNetwork:
    """The network that a model's description tells of, its weights still to be filled in."""
    config = NetworkConfig(**{**description["network"], "weights": "none"})
    return build(config, outputs=len(description["outputs"]))


def loss(config: TrainingConfig) -> FractureLoss:
    """What the network is taught to make small; its ``outputs`` are the network's."""
    return FractureLoss(config)


class SliceExamples(FinishedThere):
    """Slices with targets and weights. Item (pass, i) is a function of (seed, pass, i) in whichever process.

    Pixels are uint8 (channels, pixels, pixels): a slice ``copies`` times, or it and its neighbours from the most
    cranial to the most caudal; where the study ends, its last slice again. Targets are the columns ``losses.TARGETS``;
    a table without the columns CONFIDENCE is trusted, and a label that is not trusted at all is unknown.
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
        # numbers, not a text for each slice: every worker process is given a copy
        self.study_of, uids = pd.factorize(table[UID])
        self.uids, self.z_indices = uids.tolist(), table["z_index"].to_numpy(np.int32)
        fractured = table[list(VERTEBRAE)].to_numpy(np.float32)
        shown = table.reindex(columns=list(PRESENCE)).to_numpy(np.float32)  # NaN, which is unknown, without columns
        trust = table.reindex(columns=list(CONFIDENCE), fill_value=1.0).to_numpy(np.float32)
        fractured = np.where(trust > 0, fractured, np.float32(np.nan))
        anywhere, trust_anywhere = any_fractured(fractured), trust_of_any(fractured, trust)
        if "source" in table:  # a box is around a fracture for sure, whichever vertebra's it is
            boxed = (table["source"] == "box").to_numpy() & (anywhere > 0)
            anywhere[boxed] = trust_anywhere[boxed] = 1
        self.targets = np.column_stack([fractured, shown, anywhere, trust, trust_anywhere])
        self.weights = torch.from_numpy(table["weight"].to_numpy(np.float32, copy=True))
        self.cache = SliceCache(shards)
        self.neighbours, self.augment, self.seed, self.copies = neighbours, augment, seed, copies
        self._augmentation: Augmentation | None = None

    @property
    def stacked(self) -> bool:
        """Whether the channels are slices of their own, be it a single one, and not three times the same."""
        return self.neighbours > 0 or self.copies == 1

    @property
    def side(self) -> int:
        """Of a slice, pixels."""
        return self.cache.pixels

    def __len__(self) -> int:
        return len(self.study_of)

    def __getitem__(self, item: Item) -> Example:
        if self.batched:
            return self.one(item)
        number, i = item
        channels = self._channels(self.uids[self.study_of[i]], int(self.z_indices[i]))
        if self.augment is not None:
            channels = self._augmented(channels, self.augment, seed_of("augment", self.seed, number, i))
        return torch.from_numpy(channels), torch.from_numpy(self.targets[i]), self.weights[i]

    def positive(self) -> NDArray[np.bool_]:
        """Slices with a vertebra that is known to be more likely fractured than not."""
        return np.fmax.reduce(self.targets[:, : len(VERTEBRAE)], axis=1) >= 0.5

    def seen(self, places: Places) -> NDArray[np.uint8]:
        """See FinishedThere."""
        studies = [self.uids[number] for number in self.study_of[places]]
        return np.stack([self._shown(uid, int(z)) for uid, z in zip(studies, self.z_indices[places], strict=True)])

    def labelled(self, places: Places, rows: Rows | None) -> NDArray[np.float32]:
        """See FinishedThere; what a slice shows stays true however it is moved."""
        return self.targets[places]

    def hold_pixels(self, device: torch.device, workers: int = 0) -> str:
        """See Examples."""
        if self.augment is not None and self.augmenting is None:
            return "they are augmented on the CPU; expected training.augment_on: device"
        return self.keep(hold(self.cache, self.uids, device, workers))

    def rows_held(self, places: Places, held: HeldPixels) -> NDArray[np.int64]:
        """See FinishedThere."""
        studies = self.study_of[places]
        beside = shown_beside(self.z_indices[places], held.slices[studies, None], self.neighbours, copies=1)
        return held.first[studies, None] + beside

    def _channels(self, uid: str, z: int) -> NDArray[np.uint8]:
        """What the network reads of a slice, (channels, pixels, pixels)."""
        shown = self._shown(uid, z)
        return shown if self.neighbours else np.repeat(shown, self.copies, axis=0)

    def _shown(self, uid: str, z: int) -> NDArray[np.uint8]:
        """The slice, or it and its neighbours."""
        if self.neighbours == 0:
            return self.cache[uid, z][None]
        return self.cache.read(uid, shown_beside(np.array([z]), self.cache.slices_of(uid), self.neighbours)[0])

    def _augmented(self, channels: NDArray[np.uint8], how: AugmentConfig, seed: int) -> NDArray[np.uint8]:
        if self._augmentation is None:  # made in the process that uses it
            from cspine.augment import Augmentation

            self._augmentation = Augmentation(how, channels.shape[1], stacked=self.stacked)
        image = self._augmentation(as_image(channels), seed)
        return np.stack(cv2.split(np.ascontiguousarray(image)))


def as_image(channels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(channels, rows, columns) -> (rows, columns, channels), also of a single one.

    By OpenCV: numpy takes a transpose pixel by pixel, five times as long.
    """
    return np.asarray(cv2.merge(list(channels)), np.uint8).reshape(*channels.shape[1:], len(channels))


def any_fractured(fractured: NDArray[np.float32]) -> NDArray[np.float32]:
    """Whether any vertebra of a slice is fractured, (slices,), of (slices, 7); NaN where an unknown one decides.

    ASSUME: of soft labels it is the highest: those of neighbouring vertebrae are guesses about the same pixels and not
    independent, as 1 - prod(1 - p) would have them.
    """
    highest = np.fmax.reduce(fractured, axis=1)  # of the known ones
    undecided = np.isnan(fractured).any(axis=1) & ~(highest >= 1)
    return np.where(undecided, np.float32(np.nan), highest)


def trust_of_any(fractured: NDArray[np.float32], trust: NDArray[np.float32]) -> NDArray[np.float32]:
    """The confidence of ``any_fractured``, (slices,): that of the vertebra that decides it, of equals the least."""
    highest = np.fmax.reduce(fractured, axis=1)[:, None]
    deciding = (fractured == highest) | np.isnan(highest)
    return np.where(deciding, trust, np.float32(1)).min(axis=1)


def examples(
    table: pd.DataFrame, shards: Sequence[Path], network: NetworkConfig, augment: dict[str, Any] | None, seed: int
) -> SliceExamples:
    """The examples of a training set's rows; ``augment`` None for evaluation."""
    from cspine.augment import AugmentConfig

    how = AugmentConfig(**augment) if augment is not None else None
    return SliceExamples(table, shards, network.neighbours, how, seed, network.copies)


def predict_slices(
    network: SliceNetwork,
    tables: Sequence[pd.DataFrame],
    shards: Sequence[Path],
    device: torch.device,
    precision: Precision,
    batch_size: int,
    loader_workers: int = 0,
) -> Iterator[NDArray[np.float32]]:
    """Probabilities (slices, 7), a batch at a time, of the slices (StudyInstanceUID, z_index) of ``tables`` in order.

    (slices, 14) by a network that also says which vertebrae a slice shows: the columns ``slice_evidence.PREDICTED``.
    No batch holds slices of two tables: what else is in its batch moves a probability in its last bits.
    """
    for values in outputs_of(network, tables, shards, device, precision, batch_size, loader_workers):
        yield _predicted(values)


def _predicted(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of all outputs (see ``losses.FractureLoss.outputs``) fractures, and presence where there are outputs for it."""
    return values[:, : len(PREDICTED) if values.shape[1] >= len(PREDICTED) else len(VERTEBRAE)]


def outputs_of(
    network: SliceNetwork,
    tables: Sequence[pd.DataFrame],
    shards: Sequence[Path],
    device: torch.device,
    precision: Precision,
    batch_size: int,
    loader_workers: int = 0,
) -> Iterator[NDArray[np.float32]]:
    """What ``predict_slices`` gives, of all the network's outputs: (slices, outputs) in 0..1."""
    network.eval().to(device)
    if runtime().pixels_in == "device":
        yield from _outputs_there(network, tables, SliceCache(shards), device, precision, batch_size, loader_workers)
        return
    rows = pd.concat([table[[UID, "z_index"]] for table in tables], ignore_index=True)
    rows = rows.assign(weight=1.0, **dict.fromkeys(VERTEBRAE, 0.0))
    data = SliceExamples(rows, shards, network.neighbours, None, 0, network.copies)
    batches = in_order([len(table) for table in tables], batch_size)
    for slices, _, _ in loader(data, batches, loader_workers, pin=device.type == "cuda"):
        yield _shares(network, slices, device, precision)


def _outputs_there(
    network: SliceNetwork,
    tables: Sequence[pd.DataFrame],
    cache: SliceCache,
    device: torch.device,
    precision: Precision,
    batch_size: int,
    loader_workers: int,
) -> Iterator[NDArray[np.float32]]:
    """The same, in the same batches: each study is decoded once, moved once, and its stacks are put together there."""
    uids = [str(table[UID].iloc[0]) for table in tables if len(table)]
    read = studies_of(cache, uids, loader_workers, pin=device.type == "cuda")
    for table, study in zip((table for table in tables if len(table)), read, strict=True):
        there = study.to(device, non_blocking=True)
        beside = shown_beside(table["z_index"].to_numpy(), len(study), network.neighbours, network.copies)
        for rows in torch.from_numpy(beside).to(device).split(batch_size):
            yield _shares(network, there[rows], device, precision)


def by_study(batches: Iterable[NDArray[np.float32]], tables: Sequence[pd.DataFrame]) -> Iterator[NDArray[np.float32]]:
    """The batches of each study, none of which holds two, put together: (slices, outputs)."""
    left = iter(batches)
    for table in tables:
        found: list[NDArray[np.float32]] = []
        while sum(map(len, found)) < len(table):
            found.append(next(left))
        yield np.concatenate(found)


def localize(
    network: SliceNetwork,
    tables: Sequence[pd.DataFrame],
    shards: Sequence[Path],
    device: torch.device,
    precision: Precision,
    batch_size: int,
    loader_workers: int = 0,
) -> Iterator[pd.DataFrame]:
    """Of a network that was taught which vertebrae a slice shows: that, and nothing about ratio and place."""
    batches = outputs_of(network, tables, shards, device, precision, batch_size, loader_workers)
    for table, values in zip(tables, by_study(batches, tables), strict=True):
        shown = pd.DataFrame(values[:, : len(PRESENCE)], columns=list(PRESENCE), index=table.index)
        yield shown.reindex(columns=list(OUTPUTS)).astype(np.float32)


def predict_study(
    network: SliceNetwork, pixels: NDArray[np.uint8], device: torch.device, precision: Precision, batch_size: int
) -> NDArray[np.float32]:
    """Probabilities of a whole study that is at hand, to the last bit those of ``predict_slices``.

    Args:
        network: on ``device``, in evaluation mode.
        pixels: (slices, pixels, pixels), the most cranial slice first, as a cache would hold them.
        device: where it is computed.
        precision: with which numbers.
        batch_size: slices at once.
    """
    found = [_predicted(np.empty((0, network.encoder.num_classes), np.float32))]
    for start in range(0, len(pixels), batch_size):
        z_indices = np.arange(start, min(start + batch_size, len(pixels)))
        stacks = torch.from_numpy(pixels[shown_beside(z_indices, len(pixels), network.neighbours, network.copies)])
        found.append(_predicted(_shares(network, stacks, device, precision)))
    return np.concatenate(found)


def stack_in(network: SliceNetwork, pixels: NDArray[np.uint8], z: int) -> Tensor:
    """What the network reads of slice ``z`` of a study: uint8 (1, channels, pixels, pixels)."""
    return torch.from_numpy(pixels[shown_beside(np.array([z]), len(pixels), network.neighbours, network.copies)])


def shown_beside(
    z_indices: NDArray[Any], slices: int | NDArray[np.int64], neighbours: int, copies: int = CHANNELS
) -> NDArray[np.int64]:
    """The slices whose pixels are the channels of each of ``z_indices``: (n, channels).

    ``slices``: how many the study has; (n, 1) of several studies.
    """
    beside = np.arange(-neighbours, neighbours + 1) if neighbours else np.zeros(copies, np.int64)
    return np.clip(z_indices[:, None] + beside, 0, slices - 1)


def _shares(network: SliceNetwork, stacks: Tensor, device: torch.device, precision: Precision) -> NDArray[np.float32]:
    with torch.inference_mode(), precision.autocast():
        logits = network(stacks.to(device, non_blocking=True))
        return torch.sigmoid(logits.float()).cpu().numpy()


def describe(config: NetworkConfig) -> dict[str, Any]:
    """What a finished model says about its network; ``load`` reads it."""
    return asdict(config)

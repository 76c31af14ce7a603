"""The vertebra as a sequence: a 2D network reads its slices in threes, an LSTM what the network saw (S1d, stage 2).

Slices cropped to the box -> images of three neighbours -> a network of timm -> bidirectional LSTM -> attention ->
fracture of the vertebra. A family of the unit vertebra: an example is one vertebra of one study (vertebrae.parquet).
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

from cspine.errors import CspineError
from cspine.methods.encoders import encoder_of, features_of, norm_of
from cspine.models import load_model
from cspine.precision import Precision
from cspine.training_config import TrainingConfig
from cspine.vertebrae.examples import VertebraExamples
from cspine.vertebrae.judging import by_vertebra
from cspine.vertebrae.loss import VertebraLoss


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, what it sees, and how it starts."""

    name: str  # any timm network
    weights: str  # none | hub | file (a local one, which is an input)
    pixels: int  # side of what it reads of a slice's box
    stacks: int  # slices of an image, as its channels (S1d: 3)
    hidden: int  # of the LSTM, in each direction
    layers: int  # of the LSTM
    dropout: float  # of what goes into the LSTM, between its layers, and of what the last layer reads


class SequenceNetwork(nn.Module):
    """uint8 vertebrae (n, slices, pixels, pixels) -> logits (n, 1); scaling and normalising belong to the model.

    ASSUME: attention is one hidden layer (tanh) and a softmax over the images; the source only names it.
    """

    encoder: Any  # of timm, without a final layer
    mean: Tensor
    std: Tensor

    def __init__(self, encoder: Any, config: NetworkConfig, outputs: int) -> None:
        super().__init__()
        self.encoder, self.stacks, self.pixels = encoder, config.stacks, config.pixels
        mean, std = norm_of(encoder, config.stacks, stacked=True)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        inputs, between = encoder.head_hidden_size, config.dropout if config.layers > 1 else 0.0
        self.lstm = nn.LSTM(inputs, config.hidden, config.layers, batch_first=True, dropout=between, bidirectional=True)
        self.attention = nn.Sequential(
            nn.Linear(2 * config.hidden, config.hidden), nn.Tanh(), nn.Linear(config.hidden, 1)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(2 * config.hidden, outputs)

    def forward(self, vertebrae: Tensor) -> Tensor:
        """Logits; pixels 0..255, uint8 or (blended) float, the most cranial slice first."""
        images = vertebrae.float().unflatten(1, (-1, self.stacks)).flatten(0, 1)
        scaled = (images / 255 - self.mean) / self.std
        features = self.encoder.forward_features(scaled.contiguous(memory_format=torch.channels_last))
        # pooling and all that follows in float32: logits of bf16 would have two or three digits
        with torch.autocast(vertebrae.device.type, enabled=False):
            seen = self.encoder.forward_head(features.float()).unflatten(0, (len(vertebrae), -1))
            states, _ = self.lstm(self.dropout(seen))
            shares = torch.softmax(self.attention(states), dim=1)
            logits: Tensor = self.head(self.dropout((shares * states).sum(1)))
            return logits


def build(config: NetworkConfig, weights: Path | None = None, outputs: int = 1) -> SequenceNetwork:
    """A network ready for training.

    Args:
        config: ``weights`` "hub" loads what timm publishes for the name.
        weights: a local file to load into the encoder instead.
        outputs: of the last layer.

    Raises:
        CspineError: unknown network (answered with near names), weights that do not fit, or too few pixels for it.
    """
    encoder = encoder_of(config.name, config.weights, weights, num_classes=0, in_chans=config.stacks)
    features_of(encoder, config.name, config.stacks, config.pixels)
    return SequenceNetwork(encoder, config, outputs)


def load(path: Path) -> SequenceNetwork:
    """The network of a finished model, rebuilt from what the file itself says."""
    return load_model(path, rebuild)


def rebuild(description: dict[str, Any]) -> SequenceNetwork:
    """The network that a model's description tells of, its weights still to be filled in."""
    config = NetworkConfig(**{**description["network"], "weights": "none"})
    return build(config, outputs=len(description["outputs"]))


def describe(config: NetworkConfig) -> dict[str, Any]:
    """What a finished model says about its network; ``load`` reads it."""
    return asdict(config)


def loss(config: TrainingConfig) -> VertebraLoss:
    """What the network is taught to make small; its ``outputs`` are the network's."""
    return VertebraLoss(config)


def examples(
    table: pd.DataFrame, shards: Sequence[Path], network: NetworkConfig, augment: dict[str, Any] | None, seed: int
) -> VertebraExamples:
    """The vertebrae of a training set's rows; ``augment`` None for evaluation.

    Raises:
        CspineError: their slices do not fill images of ``network.stacks``.
    """
    from cspine.augment import AugmentConfig

    how = AugmentConfig(**augment) if augment is not None else None
    return _filled(VertebraExamples(table, shards, network.pixels, how, seed), network.stacks)


def predict_studies(
    network: SequenceNetwork,
    tables: Sequence[pd.DataFrame],
    shards: Sequence[Path],
    device: torch.device,
    precision: Precision,
    batch_size: int,
    loader_workers: int = 0,
) -> Iterator[NDArray[np.float32]]:
    """Probabilities (8,) of each study, patient_overall (NaN: it judges no patient) and C1..C7.

    Args:
        network: a finished one.
        tables: the rows of one study each in vertebrae.parquet.
        shards: the cache of the crop view, both cohorts.
        device: where it is computed.
        precision: with which numbers.
        batch_size: vertebrae at once, of one study only.
        loader_workers: processes that read and cut; 0 = this one.
    """
    data = _filled(VertebraExamples(pd.concat(tables), shards, network.pixels, None, 0), network.stacks)
    return by_vertebra(network, tables, data, device, precision, batch_size, loader_workers)


def _filled(data: VertebraExamples, stacks: int) -> VertebraExamples:
    slices = data.z_indices.shape[1]
    if len(data) and slices % stacks:
        raise CspineError(
            f"network.stacks: found {stacks}, but a vertebra has {slices} slices (vertebrae.slices); expected a "
            "divisor, so that they fill whole images"
        )
    return data

"""One crop of one vertebra: a 2D network reads a single slice, cut to the vertebra's box (S2).

A family of the unit vertebra. The source has a model for each of C1..C7: ``members`` of a method that differ in
``network.vertebra``. A model of C3 is taught C3 and judges C3; of the other vertebrae it says nothing.
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
from cspine.methods.encoders import COLOURS, encoder_of, features_of, norm_of
from cspine.models import load_model
from cspine.precision import Precision
from cspine.training_config import TrainingConfig
from cspine.vertebrae.examples import VertebraExamples
from cspine.vertebrae.judging import by_vertebra
from cspine.vertebrae.loss import VertebraLoss

ALL = "all"


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, what it sees, and how it starts."""

    name: str  # any timm network
    weights: str  # none | hub | file (a local one, which is an input)
    pixels: int  # side of what it reads of a slice's box
    head: str  # flatten (the source's) | pooled: what the dense layer reads of the last features
    hidden: int  # of the dense layer before the last
    vertebra: str  # C1..C7: which it is taught and judges | all


class CropNetwork(nn.Module):
    """uint8 crops (n, 3, pixels, pixels), three times the slice -> logits (n, 1); normalising belongs to the model."""

    encoder: Any  # of timm, without pooling and final layer
    mean: Tensor
    std: Tensor

    def __init__(self, encoder: Any, config: NetworkConfig, outputs: int) -> None:
        super().__init__()
        self.encoder, self.pixels, self.vertebra = encoder, config.pixels, config.vertebra
        mean, std = norm_of(encoder, COLOURS, stacked=False)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        pooled = config.head == "pooled"
        features, rows, columns = features_of(encoder, config.name, COLOURS, config.pixels)
        inputs = features if pooled else features * rows * columns
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1) if pooled else nn.Identity(),
            nn.Flatten(),
            nn.Linear(inputs, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, outputs),
        )

    def forward(self, crops: Tensor) -> Tensor:
        """Logits; pixels 0..255, uint8 or (blended) float."""
        scaled = (crops.float() / 255 - self.mean) / self.std
        features = self.encoder.forward_features(scaled.contiguous(memory_format=torch.channels_last))
        # pooling and the dense layers in float32: logits of bf16 would have two or three digits
        with torch.autocast(crops.device.type, enabled=False):
            logits: Tensor = self.head(features.float().contiguous())
            return logits


def build(config: NetworkConfig, weights: Path | None = None, outputs: int = 1) -> CropNetwork:
    """A network ready for training, all of it.

    Args:
        config: ``weights`` "hub" loads what timm publishes for the name.
        weights: a local file to load into the encoder instead.
        outputs: of the last layer.

    Raises:
        CspineError: unknown network (answered with near names), weights that do not fit, or too few pixels for it.
    """
    encoder = encoder_of(config.name, config.weights, weights, num_classes=0, global_pool="", in_chans=COLOURS)
    return CropNetwork(encoder, config, outputs)


def load(path: Path) -> CropNetwork:
    """The network of a finished model, rebuilt from what the file itself says."""
    return load_model(path, rebuild)


def rebuild(description: dict[str, Any]) -> CropNetwork:
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
    """The slices of the vertebra of ``network`` in a training set's rows; ``augment`` None for evaluation.

    Raises:
        CspineError: there is none to teach.
    """
    from cspine.augment import AugmentConfig

    how = AugmentConfig(**augment) if augment is not None else None
    own = judged(table, network.vertebra)
    if augment is not None and not len(own):
        raise CspineError(
            f"network.vertebra: the training set has no known label of {network.vertebra} in its {len(table)} rows; "
            "expected a vertebra with labels (train.csv), or network.vertebra: all"
        )
    return VertebraExamples(own, shards, network.pixels, how, seed, apart=True, copies=COLOURS)


def judged(table: pd.DataFrame, vertebra: str) -> pd.DataFrame:
    """The rows of ``table`` that a model of ``vertebra`` is about."""
    return table if vertebra == ALL else table[table["vertebra"] == vertebra]


def predict_studies(
    network: CropNetwork,
    tables: Sequence[pd.DataFrame],
    shards: Sequence[Path],
    device: torch.device,
    precision: Precision,
    batch_size: int,
    loader_workers: int = 0,
) -> Iterator[NDArray[np.float32]]:
    """Probabilities (8,) of each study, patient_overall and C1..C7; NaN for what it does not judge.

    That is the patient and other vertebrae.

    ASSUME: a vertebra's probability is the mean over its slices; the source stops at the single crop.

    Args:
        network: a finished one.
        tables: the rows of one study each in vertebrae.parquet.
        shards: the cache of the crop view, both cohorts.
        device: where it is computed.
        precision: with which numbers.
        batch_size: crops at once, of one study only.
        loader_workers: processes that read and cut; 0 = this one.
    """
    own = [judged(table, network.vertebra) for table in tables]
    data = VertebraExamples(pd.concat(own), shards, network.pixels, None, 0, apart=True, copies=COLOURS)
    return by_vertebra(network, own, data, device, precision, batch_size, loader_workers)

"""The volume model: a 3D network reads a whole study and judges the patient and seven vertebrae at once (S1a, S0c).

What a family whose example is a study offers the stages: ``NetworkConfig``, ``build``, ``load``, ``rebuild``,
``describe``, ``examples``, ``loss`` and ``predict_studies``.
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

from cspine.errors import CspineError
from cspine.examples import in_order, loader
from cspine.models import load_model
from cspine.origins import take_over
from cspine.precision import Precision
from cspine.studies import LABELS, UID
from cspine.study_losses import StudyLoss
from cspine.training_config import TrainingConfig
from cspine.volumes.classifiers import Shape, StudyNetwork, classifier_of
from cspine.volumes.study_examples import StudyExamples


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, how large it is, and how it starts."""

    name: str  # cnn_3d
    weights: str  # none | file (a local one of cspine's, which is an input)
    channels: list[int]  # of its blocks, the first first; each block halves the side
    hidden: list[int]  # units of the fully connected layers before the last
    dropout: float  # after each of these
    pool: int  # side of the cube of cells that they read


def build(config: NetworkConfig, weights: Path | None = None, outputs: int = len(LABELS)) -> StudyNetwork:
    """A network ready for training.

    Args:
        config: ``weights`` "hub" is refused: nobody publishes any for a network of one's own size.
        weights: a finished model, or the end of a training, whose weights are taken over where they fit.
        outputs: logits.

    Raises:
        CspineError: unknown network, sizes that are none, or weights that do not fit.
    """
    if config.weights == "hub":
        raise CspineError(
            f"network.weights: found hub, but nobody publishes weights for {config.name}, a network of one's own size; "
            "expected none or the path of a model.safetensors"
        )
    shape = Shape(config.channels, config.hidden, config.dropout, config.pool)
    network = classifier_of(config.name, shape, outputs)
    if weights is not None:
        take_over(network, weights)
    return network


def load(path: Path) -> StudyNetwork:
    """The network of a finished model, rebuilt from what the file itself says."""
    return load_model(path, rebuild)


def rebuild(description: dict[str, Any]) -> StudyNetwork:
    """The network that a model's description tells of, its weights still to be filled in."""
    config = NetworkConfig(**{**description["network"], "weights": "none"})
    return build(config, outputs=len(description["outputs"]))


def describe(config: NetworkConfig) -> dict[str, Any]:
    """What a finished model says about its network; ``load`` reads it."""
    return asdict(config)


def loss(config: TrainingConfig) -> StudyLoss:
    """What the network is taught to make small; its ``outputs`` are the network's."""
    return StudyLoss(config)


def examples(
    table: pd.DataFrame, shards: Sequence[Path], network: NetworkConfig, augment: dict[str, Any] | None, seed: int
) -> StudyExamples:
    """The examples of a training set's rows, one a study; ``augment`` None for evaluation."""
    if augment is None:
        return StudyExamples(table, shards, len(network.channels), None, seed)
    from cspine.volumes.study_augmentation import AugmentConfig

    return StudyExamples(table, shards, len(network.channels), AugmentConfig(**augment), seed)


def predict_studies(
    network: StudyNetwork,
    tables: Sequence[pd.DataFrame],
    shards: Sequence[Path],
    device: torch.device,
    precision: Precision,
    batch_size: int,
    loader_workers: int = 0,
) -> Iterator[NDArray[np.float32]]:
    """Probabilities (8,) in the order of LABELS of each of ``tables``, which hold the one row of a study each.

    Volumes go through the network one by one, whatever ``batch_size`` says: what else is in its batch moves a
    probability in its last bits.
    """
    rows = pd.concat([table[[UID]] for table in tables], ignore_index=True)
    if len(rows) != len(tables):
        raise AssertionError(f"{len(rows)} rows of {len(tables)} studies; expected one each")
    data = StudyExamples(rows, shards, network.halvings, None, 0)
    network.eval().to(device)
    for volumes, _, _ in loader(data, in_order([1] * len(rows), 1), loader_workers, pin=device.type == "cuda"):
        with torch.inference_mode(), precision.autocast():
            logits = network(volumes.to(device, non_blocking=True))
            yield np.asarray(torch.sigmoid(logits.float())[0].cpu().numpy())

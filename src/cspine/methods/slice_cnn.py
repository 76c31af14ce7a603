"""The slice model: a 2D network from timm reads one slice and gives seven fracture logits, C1..C7 (S3).

What a family offers the stages: ``NetworkConfig``, ``build``, ``load``, ``examples``, ``loss`` and ``predict_slices``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cspine.augment import Augmentation, AugmentConfig
from cspine.cache import SliceCache
from cspine.checkpoint import read_model
from cspine.errors import CspineError
from cspine.examples import Example, Examples, Item, in_order, loader
from cspine.hashing import seed_of
from cspine.metric import NEGATIVE_WEIGHTS, POSITIVE_WEIGHTS
from cspine.studies import UID, VERTEBRAE

CHANNELS = 3  # the grey slice three times: what ImageNet weights and RGB shift expect


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, and how it starts."""

    name: str  # any timm network
    weights: str  # none | hub | path of a local file
    trainable: str  # all | head
    dropout: float  # before the final layer


class SliceNetwork(nn.Module):
    """uint8 slices (n, 3, pixels, pixels) -> logits (n, 7); scaling and normalising belong to the model."""

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        pretrained = getattr(encoder, "pretrained_cfg", {})
        for name, default in (("mean", 0.5), ("std", 0.5)):
            values = torch.tensor(pretrained.get(name, (default,) * CHANNELS), dtype=torch.float32)
            self.register_buffer(name, values.view(1, CHANNELS, 1, 1))

    def forward(self, slices: Tensor) -> Tensor:
        """Logits C1..C7."""
        scaled = (slices.float() / 255 - self.mean) / self.std
        return self.encoder(scaled.contiguous(memory_format=torch.channels_last))


def build(config: NetworkConfig, weights: Path | None = None) -> SliceNetwork:
    """A network ready for training.

    Args:
        config: ``weights`` "hub" loads what timm publishes for the name; a path loads that file, whose final layer may
            have another number of classes (it is left out).
        weights: the file when ``config.weights`` names one.

    Raises:
        CspineError: unknown network (answered with near names) or weights that do not fit.
    """
    if config.name not in timm.list_models():
        import difflib

        near = difflib.get_close_matches(config.name, timm.list_models(), n=5, cutoff=0.4)
        raise CspineError(f"network.name: timm has no network {config.name!r}; near it: {', '.join(near) or 'none'}")
    options: dict[str, Any] = {
        "num_classes": len(VERTEBRAE),
        "in_chans": CHANNELS,
        "drop_rate": config.dropout,
    }
    if weights is not None:
        options["pretrained_cfg_overlay"] = {"file": str(weights)}
    try:
        encoder: Any = timm.create_model(
            config.name, pretrained=config.weights == "hub" or weights is not None, **options
        )
    except Exception as error:
        raise CspineError(
            f"network.weights: {config.weights!r} cannot be loaded into {config.name}: {error}"
        ) from error
    network = SliceNetwork(encoder.to(memory_format=torch.channels_last))
    if config.trainable == "head":
        for parameter in network.parameters():
            parameter.requires_grad = False
        classifier: nn.Module = encoder.get_classifier()
        for parameter in classifier.parameters():
            parameter.requires_grad = True
    return network


def load(path: Path) -> SliceNetwork:
    """The network of a finished model, rebuilt from what the file itself says."""
    tensors, description = read_model(path)
    network = build(NetworkConfig(**{**description["network"], "weights": "none"}))
    network.load_state_dict(tensors)
    return network


def loss(logits: Tensor, target: Tensor, weight: Tensor, patient_term: bool) -> Tensor:
    """The competition's weighted binary cross-entropy over slices; sum of weighted losses / sum of weights.

    Args:
        logits: (n, 7).
        target: (n, 7) in 0..1.
        weight: (n,) of the slice (labels.weight_*, pseudo_labels.weight).
        patient_term: ASSUME: also the patient's loss on the noisy-or of the seven, P = 1 - prod(1 - p).
    """
    (patient_negative, negative), (patient_positive, positive) = NEGATIVE_WEIGHTS[:2], POSITIVE_WEIGHTS[:2]
    weights = weight[:, None] * (negative + (positive - negative) * target)
    losses = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    total, norm = (weights * losses).sum(), weights.sum()
    if patient_term:
        evidence = functional.softplus(logits).sum(1)  # -log(1 - P)
        patient = target.amax(1)
        log_p = torch.log(-torch.expm1(-evidence.clamp_min(1e-7)))
        patient_weight = weight * (patient_negative + (patient_positive - patient_negative) * patient)
        total = total + (patient_weight * ((1 - patient) * evidence - patient * log_p)).sum()
        norm = norm + patient_weight.sum()
    return total / norm.clamp_min(1e-12)


class SliceExamples(Examples):
    """Slices with targets and weights. Item (epoch, i) is a function of (seed, epoch, i) in whichever process."""

    def __init__(self, table: pd.DataFrame, shards: Sequence[Path], augment: AugmentConfig | None, seed: int) -> None:
        self.uids = table[UID].tolist()
        self.z_indices = table["z_index"].tolist()
        self.targets = table[list(VERTEBRAE)].to_numpy(np.float32, copy=True)
        self.weights = table["weight"].to_numpy(np.float32, copy=True)
        self.cache = SliceCache(shards)
        self.augment = augment
        self.seed = seed
        self._augmentation: Augmentation | None = None

    def __len__(self) -> int:
        return len(self.uids)

    def __getitem__(self, item: Item) -> Example:
        epoch, i = item
        grey = self.cache[self.uids[i], self.z_indices[i]]
        image = np.repeat(grey[:, :, None], CHANNELS, axis=2)
        if self.augment is not None:
            if self._augmentation is None:  # made in the process that uses it
                self._augmentation = Augmentation(self.augment, grey.shape[0])
            image = self._augmentation(image, seed_of("augment", self.seed, epoch, i))
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        return pixels, torch.from_numpy(self.targets[i]), torch.tensor(self.weights[i])


def examples(table: pd.DataFrame, shards: Sequence[Path], augment: dict[str, Any] | None, seed: int) -> SliceExamples:
    """The examples of a training set's rows; ``augment`` None for evaluation."""
    return SliceExamples(table, shards, AugmentConfig(**augment) if augment is not None else None, seed)


def predict_slices(
    network: SliceNetwork,
    table: pd.DataFrame,
    shards: Sequence[Path],
    device: torch.device,
    batch_size: int,
    loader_workers: int = 0,
    on_batch: Callable[[int], None] = lambda done: None,
) -> NDArray[np.float32]:
    """Probabilities (slices, 7) for the slices (StudyInstanceUID, z_index) of ``table``, in its order."""
    rows = table[[UID, "z_index"]].assign(weight=1.0, **dict.fromkeys(VERTEBRAE, 0.0))
    data = SliceExamples(rows, shards, None, 0)
    network.eval().to(device)
    found: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for i, (slices, _, _) in enumerate(loader(data, in_order(data, batch_size), loader_workers)):
            found.append(torch.sigmoid(network(slices.to(device)).float()).cpu().numpy())
            on_batch(min((i + 1) * batch_size, len(data)))
    return np.concatenate(found) if found else np.empty((0, len(VERTEBRAE)), np.float32)


def describe(config: NetworkConfig) -> dict[str, Any]:
    """What a finished model says about its network; ``load`` reads it."""
    return asdict(config)

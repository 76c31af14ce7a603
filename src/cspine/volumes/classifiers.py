"""The 3D networks that judge a whole study, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cspine.errors import CspineError

KERNEL = 3  # ASSUME, as the pooling by 2: the usual ones, the source (S1a) names none


@dataclass(frozen=True)
class Shape:
    """How large a network is.

    Attributes:
        channels: one number a block; each block halves the side.
        hidden: units of the fully connected layers before the last.
        dropout: share left out after each of these.
        pool: side of the cube of cells, means over the last block's, that the fully connected layers read.
    """

    channels: Sequence[int]
    hidden: Sequence[int]
    dropout: float
    pool: int


class StudyNetwork(nn.Module):
    """uint8 volumes (n, side, side, side) -> logits (n, outputs); scaling belongs to the model.

    Volumes go to the device as bytes, a quarter of what floats would be.
    """

    def __init__(self, blocks: nn.Module, head: nn.Module, halvings: int) -> None:
        super().__init__()
        self.blocks, self.head, self.halvings = blocks, head, halvings

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits; grey levels 0..255, uint8 or (blended) float, of any side that the blocks can halve."""
        scaled = (volumes.float() / 255)[:, None].contiguous(memory_format=torch.channels_last_3d)
        features = self.blocks(scaled)
        # what is left is small, and logits of bf16 would have two or three digits
        with torch.autocast(volumes.device.type, enabled=False):
            logits: Tensor = self.head(features.float())
        return logits


def classifier_of(name: str, shape: Shape, outputs: int) -> StudyNetwork:
    """The network of that name, with ``outputs`` logits.

    Raises:
        CspineError: no such network (answered with the known ones), or a shape that is none.
    """
    if name not in CLASSIFIERS:
        known = ", ".join(sorted(CLASSIFIERS))
        raise CspineError(f"network.name: no 3D network {name!r} that judges a study; expected one of {known}")
    if not shape.channels or min([*shape.channels, *shape.hidden, shape.pool]) < 1:
        raise CspineError(
            f"network: found channels {list(shape.channels)}, hidden {list(shape.hidden)} and pool {shape.pool}; "
            "expected at least one block of channels, and 1 or more of each"
        )
    # channels last: half the time of a step, on a CPU as on a GPU's tensor cores
    return CLASSIFIERS[name](shape, outputs).to(memory_format=torch.channels_last_3d)


def _cnn_3d(shape: Shape, outputs: int) -> StudyNetwork:
    """S1a: blocks of convolution, activation, pooling and normalisation, then fully connected layers.

    ASSUME: the activation is ReLU, the pooling takes maxima, the normalisation is over the batch, and means over
    ``pool`` cells a side stand between the blocks and the fully connected layers, so that these fit any side.
    """
    blocks: list[nn.Module] = []
    before = 1
    for channels in shape.channels:
        convolution = nn.Conv3d(before, channels, KERNEL, padding=KERNEL // 2)
        blocks += [convolution, nn.ReLU(inplace=True), nn.MaxPool3d(2), nn.BatchNorm3d(channels)]
        before = channels
    head: list[nn.Module] = [nn.AdaptiveAvgPool3d(shape.pool), nn.Flatten()]
    before *= shape.pool**3
    for units in shape.hidden:
        head += [nn.Linear(before, units), nn.ReLU(inplace=True), nn.Dropout(shape.dropout)]
        before = units
    head.append(nn.Linear(before, outputs))
    return StudyNetwork(nn.Sequential(*blocks), nn.Sequential(*head), len(shape.channels))


CLASSIFIERS: dict[str, Callable[[Shape, int], StudyNetwork]] = {
    "cnn_3d": _cnn_3d,
}

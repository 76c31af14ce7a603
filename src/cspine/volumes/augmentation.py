"""What may happen to a training cube and its labels, drawn per example from its own seed, by monai's transforms."""

from __future__ import annotations

from dataclasses import dataclass
from math import radians
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, RandAffined, RandFlipd, RandScaleIntensityd, RandShiftIntensityd
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
CELLS, LABELS = "cells", "labels"


@dataclass(frozen=True)
class AugmentConfig:
    """Each with the same probability; what is 0 or false is left out."""

    probability: float
    horizontal_flip: bool  # left and right
    rotation: float  # degrees either way, about each axis
    scale: float  # size, share either way, of each axis
    shift: float  # share of the side either way, along each axis
    brightness: float  # brightness and contrast, share of the grey levels either way


class CubeAugmentation:
    """Turns, mirrors and resizes a cube and its labels as one; the same seed gives the same result in any process."""

    def __init__(self, config: AugmentConfig, side: int) -> None:
        both, p = [CELLS, LABELS], config.probability
        steps: list[Any] = []
        if config.horizontal_flip:
            steps.append(RandFlipd(both, prob=p, spatial_axis=2))  # the last: columns, from the patient's right to left
        if config.rotation > 0 or config.scale > 0 or config.shift > 0:
            steps.append(
                RandAffined(
                    both,
                    prob=p,
                    rotate_range=[radians(config.rotation)] * 3,
                    scale_range=[config.scale] * 3,
                    translate_range=[config.shift * side] * 3,
                    mode=["bilinear", "nearest"],
                    padding_mode="border",  # beyond the first and last slice the neck goes on, in cells and in labels
                )
            )
        if config.brightness > 0:
            steps.append(RandScaleIntensityd([CELLS], factors=config.brightness, prob=p))
            steps.append(RandShiftIntensityd([CELLS], offsets=255 * config.brightness, prob=p))
        self.pipeline = Compose(steps)

    def __call__(self, cells: Bytes, labels: Bytes, seed: int) -> tuple[Bytes, Bytes]:
        """Both (side, side, side), by the draws that ``seed`` gives."""
        self.pipeline.set_random_state(seed % 2**32)
        given = {CELLS: torch.from_numpy(cells)[None].float(), LABELS: torch.from_numpy(labels)[None].float()}
        changed: Any = self.pipeline(given)
        grey = np.clip(np.rint(np.asarray(changed[CELLS][0])), 0, 255).astype(np.uint8)
        return grey, np.asarray(changed[LABELS][0]).astype(np.uint8)

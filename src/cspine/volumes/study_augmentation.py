"""What may happen to a study's volume in training (S1a, S0c), drawn per example from its own seed, by torchio.

A label says which vertebrae are fractured, not where: nothing that happens here can move it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

# torchio resamples by ITK, whose threads fight torch's and those of other processes; it asks once, when it begins
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")

import numpy as np
import torch
import torchio
from numpy.typing import NDArray

from cspine.errors import CspineError

#: by name: axes of a volume, which lies head to feet, front to back, from the patient's right to left
AXES = {"head_feet": 0, "front_back": 1, "left_right": 2}
LEAST_ANISOTROPY = 1.5  # torchio's: slices less thick than that look as before


@dataclass(frozen=True)
class AugmentConfig:
    """What may happen to a training volume; what has probability 0, or a size of 0, is left out."""

    anisotropy_probability: float  # of thicker slices along one axis
    anisotropy: float  # their largest thickness, in cells
    affine_probability: float  # of rotation, scale and shift as one
    rotation: float  # degrees either way, about each axis
    scale: float  # size, share either way, of each axis
    shift: float  # share of the side either way, along each axis
    noise_probability: float  # of Gaussian noise
    noise: float  # its largest standard deviation, as a share of the grey levels
    flip_probability: float  # of each of the axes
    flip_axes: list[str]  # of left_right, front_back, head_feet

    def __post_init__(self) -> None:
        unknown = set(self.flip_axes) - AXES.keys()
        if unknown:
            raise CspineError(
                f"augment.flip_axes: found {', '.join(sorted(unknown))}; expected some of {', '.join(AXES)}"
            )
        if self.anisotropy_probability > 0 and self.anisotropy < LEAST_ANISOTROPY:
            raise CspineError(
                f"augment.anisotropy: found {self.anisotropy}; expected {LEAST_ANISOTROPY} or more, or "
                "anisotropy_probability: 0"
            )


class StudyAugmentation:
    """Moves and disturbs a volume; the same seed gives the same bytes in any process.

    In the order of the source (S0c): thicker slices, the affine map, noise, mirrors.
    """

    def __init__(self, config: AugmentConfig, side: int) -> None:
        self.pipeline = torchio.Compose(_steps(config, side))

    def __call__(self, volume: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        """A volume (side, side, side) by the draws that ``seed`` gives."""
        # torchio draws from torch's own numbers, which others in this process draw from as well
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            changed: Any = self.pipeline(torch.from_numpy(volume)[None].float() / 255)
        return np.clip(np.rint(changed[0].numpy() * 255), 0, 255).astype(np.uint8)


def _steps(config: AugmentConfig, side: int) -> list[torchio.Transform]:
    steps: list[torchio.Transform] = []
    if config.anisotropy_probability > 0:
        thickness = (LEAST_ANISOTROPY, config.anisotropy)
        steps.append(torchio.RandomAnisotropy(downsampling=thickness, p=config.anisotropy_probability))
    if config.affine_probability > 0 and max(config.rotation, config.scale, config.shift) > 0:
        steps.append(
            torchio.RandomAffine(
                scales=config.scale,
                degrees=config.rotation,
                translation=config.shift * side,
                default_pad_value=0,  # beyond the volume there is air, the least of its levels
                p=config.affine_probability,
            )
        )
    if config.noise_probability > 0 and config.noise > 0:
        steps.append(torchio.RandomNoise(std=(0, config.noise), p=config.noise_probability))
    if config.flip_probability > 0 and config.flip_axes:
        axes = tuple(AXES[name] for name in config.flip_axes)
        steps.append(torchio.RandomFlip(axes=axes, flip_probability=config.flip_probability))
    return steps

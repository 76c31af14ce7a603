"""The six augmentations of the source (S3), drawn per sample from its own seed.

The only module that knows albumentations: 2.0.8 is its last release under MIT and is not maintained any more, so it is
wrapped here to stay replaceable.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for news at import otherwise

import albumentations
import cv2
import numpy as np
from numpy.typing import NDArray

cv2.setNumThreads(0)  # OpenCV's own threads fight torch's and gain nothing on slices this small


@dataclass(frozen=True)
class AugmentConfig:
    """What may happen to a training slice; each of the six with the same probability."""

    probability: float  # of each augmentation
    crop_scale: float  # random resized crop: smallest share of the area; 1 = off
    horizontal_flip: bool  # left and right
    vertical_flip: bool  # front and back
    rotation: float  # degrees either way; 0 = off
    rgb_shift: float  # grey levels either way; 0 = off
    clahe: float  # clip limit; 0 = off


class Augmentation:
    """Augments one slice; the same seed gives the same result in any process."""

    def __init__(self, config: AugmentConfig, pixels: int) -> None:
        p = config.probability
        steps: list[albumentations.BasicTransform] = []
        if config.crop_scale < 1:
            area = (config.crop_scale, 1.0)
            steps.append(albumentations.RandomResizedCrop(size=(pixels, pixels), scale=area, ratio=(0.9, 1.1), p=p))
        if config.horizontal_flip:
            steps.append(albumentations.HorizontalFlip(p=p))
        if config.vertical_flip:
            steps.append(albumentations.VerticalFlip(p=p))
        if config.rotation > 0:
            steps.append(albumentations.Rotate(limit=(-config.rotation, config.rotation), p=p))
        if config.rgb_shift > 0:
            limit = (-config.rgb_shift, config.rgb_shift)
            steps.append(albumentations.RGBShift(limit, limit, limit, p=p))
        if config.clahe > 0:
            steps.append(albumentations.CLAHE(clip_limit=(1.0, max(1.0, config.clahe)), p=p))
        self.pipeline = albumentations.Compose(steps)

    def __call__(self, image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        """Augment ``image`` (pixels, pixels, 3) with the draws that ``seed`` gives."""
        self.pipeline.set_random_seed(seed % 2**32)
        return self.pipeline(image=image)["image"]

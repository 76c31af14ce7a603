"""The source's six augmentations (S3) and three of another (S1d), of a slice or a stack of slices and places in it.

Each is drawn per sample from the sample's own seed.

The only module that knows albumentations: 2.0.8 is its last release under MIT and is not maintained any more, so it is
wrapped here to stay replaceable. Three of its ways are mended here:

- one seed for a pipeline is handed to each of its steps, whose first draws are then equal: with p = 0.3 for six
  augmentations it made all six or none. Each step gets a seed of its own;
- RGBShift knows three channels only, and no slice of a stack has a colour: a stack becomes lighter or darker as one;
- CLAHE knows one or three channels only, of three mixes them (it works on the lightness of the colour): each slice of a
  stack is equalised by itself, with the same clip limit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for news at import otherwise

import albumentations
import cv2
import numpy as np
from numpy.typing import NDArray

from cspine.hashing import seed_of

cv2.setNumThreads(0)  # OpenCV's own threads fight torch's and gain nothing on slices this small


@dataclass(frozen=True)
class AugmentConfig:
    """What may happen to a training slice; each with the same probability."""

    probability: float  # of each augmentation
    crop_scale: float  # random resized crop: smallest share of the area; 1 = off
    horizontal_flip: bool  # left and right
    vertical_flip: bool  # front and back
    rotation: float  # degrees either way; 0 = off
    rgb_shift: float  # grey levels either way, of each of a slice's three channels or of a stack as one; 0 = off
    clahe: float  # clip limit; 0 = off
    brightness: float = 0.0  # brightness and contrast, share either way; 0 = off
    shift_scale: float = 0.0  # shift and size, share of the side either way; 0 = off
    cutout: float = 0.0  # a square hole, its largest side as a share of the image's; 0 = off


class ClaheBySlice(albumentations.CLAHE):
    """CLAHE of each channel by itself, all with the one clip limit that was drawn."""

    def apply(self, img: NDArray[np.uint8], clip_limit: float, **params: Any) -> NDArray[np.uint8]:
        """The equalised ``img`` (pixels, pixels, channels)."""
        equaliser = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=self.tile_grid_size)
        channels = [equaliser.apply(channel) for channel in cv2.split(np.ascontiguousarray(img))]
        return np.asarray(cv2.merge(channels), np.uint8).reshape(img.shape)


class Augmentation:
    """Augments one image; the same seed gives the same result in any process.

    Args:
        pixels: side of the image.
        stacked: its channels are slices of their own; else it is one slice, three times.
        places: it will be asked to move places with the image (``with_places``).
    """

    def __init__(self, config: AugmentConfig, pixels: int, stacked: bool = False, places: bool = False) -> None:
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
            steps.append(_lighter_or_darker(config.rgb_shift, p) if stacked else _shifted_colours(config.rgb_shift, p))
        if config.clahe > 0:
            clahe = ClaheBySlice if stacked else albumentations.CLAHE
            steps.append(clahe(clip_limit=(1.0, max(1.0, config.clahe)), p=p))
        steps += _of_others(config, p)
        keypoints = albumentations.KeypointParams(format="xy", remove_invisible=False) if places else None
        self.pixels, self.pipeline = pixels, albumentations.Compose(steps, keypoint_params=keypoints)

    def __call__(self, image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        """Augment ``image`` (pixels, pixels, channels) with the draws that ``seed`` gives."""
        self._draw(seed)
        return self.pipeline(image=image)["image"]

    def with_places(
        self, image: NDArray[np.uint8], places: NDArray[np.float64], seed: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """The augmented image, and where ``places`` (n, 2; x and y in shares of the side, NaN stays) have moved."""
        self._draw(seed)
        unknown = np.isnan(places)
        # albumentations counts pixels from the middle of the first one
        at = np.where(unknown, 0.0, places * self.pixels - 0.5)
        found = self.pipeline(image=image, keypoints=at)
        return found["image"], np.where(unknown, np.nan, (found["keypoints"] + 0.5) / self.pixels)

    def _draw(self, seed: int) -> None:
        for number, step in enumerate(self.pipeline.transforms):
            step.set_random_seed(seed_of("augmentation", seed, number) % 2**32)


def _of_others(config: AugmentConfig, p: float) -> list[albumentations.BasicTransform]:
    """S1d's; its hue and saturation are left out: slices are grey."""
    steps: list[albumentations.BasicTransform] = []
    if config.brightness > 0:
        limit = (-config.brightness, config.brightness)
        steps.append(albumentations.RandomBrightnessContrast(brightness_limit=limit, contrast_limit=limit, p=p))
    if config.shift_scale > 0:
        share = config.shift_scale
        steps.append(albumentations.Affine(scale=(1 - share, 1 + share), translate_percent=(-share, share), p=p))
    if config.cutout > 0:
        side = (config.cutout / 4, config.cutout)
        steps.append(albumentations.CoarseDropout((1, 1), hole_height_range=side, hole_width_range=side, p=p))
    return steps


def _shifted_colours(levels: float, p: float) -> albumentations.BasicTransform:
    return albumentations.RGBShift(*[(-levels, levels)] * 3, p=p)


def _lighter_or_darker(levels: float, p: float) -> albumentations.BasicTransform:
    limit = (-levels / 255, levels / 255)
    return albumentations.RandomBrightnessContrast(brightness_limit=limit, contrast_limit=(0.0, 0.0), p=p)

"""Batches of uint8 slices augmented by torch on whatever device they are, by parameters drawn beforehand.

Each step gives whole grey levels, as the steps of ``cspine.augment`` do, and the order is theirs, so the same
parameters give the same image to within what OpenCV's fixed-point interpolation rounds otherwise. Nothing here draws,
nothing waits for the device, and the same batch on the same device gives the same bytes.

Own code on ``grid_sample`` instead of kornia: its transforms draw for a batch from torch's global numbers, and with
parameters of our own what is left of it is ``grid_sample``; its crop and its CLAHE round otherwise than OpenCV's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from cspine.on_device.equalising import equalised, equalised_lightness
from cspine.on_device.parameters import AFFINE, ANGLE, CLIP, CROP, FLIP, HOLE, LEVELS, SHIFT

if TYPE_CHECKING:
    from cspine.augment import AugmentConfig


class BatchAugmentation:
    """Augments batches of images; all channels of an example alike.

    Args:
        config: which augmentations are on; those that are off cost nothing.
        stacked: the channels are slices of their own; else they are one slice, three times.
    """

    def __init__(self, config: AugmentConfig, stacked: bool) -> None:
        self.config, self.stacked = config, stacked

    def __call__(self, images: Tensor, rows: Tensor) -> Tensor:
        """The augmented images.

        Args:
            images: uint8 (n, channels, pixels, pixels).
            rows: what happens to each, float32 (n, COLUMNS) on the same device (``parameters.drawn``).
        """
        config, levels = self.config, images.float()
        if config.crop_scale < 1:
            levels = cropped(levels, rows[:, CROP])
        if config.horizontal_flip or config.vertical_flip:
            levels = mirrored(levels, rows[:, FLIP])
        if config.rotation > 0:
            levels = rotated(levels, rows[:, ANGLE])
        if config.rgb_shift > 0:
            shift = _per_channel(rows[:, SHIFT])
            levels = (levels + (shift[:, :1] if self.stacked else shift)).clamp(0, 255).floor()
        if config.clahe > 0:
            levels = (equalised if self.stacked else equalised_lightness)(levels, rows[:, CLIP].flatten())
        if config.brightness > 0:
            factor, added = _per_channel(rows[:, LEVELS]).unbind(1)
            levels = (levels * factor[:, None] + added[:, None]).clamp(0, 255).floor()
        if config.shift_scale > 0:
            levels = shifted(levels, rows[:, AFFINE])
        if config.cutout > 0:
            levels = levels.masked_fill(_in_hole(rows[:, HOLE], levels), 0)
        return levels.to(torch.uint8)


def cropped(images: Tensor, crops: Tensor) -> Tensor:
    """A rectangle of each image at the size of the image; width 0 = the image as it is.

    Args:
        images: (n, channels, pixels, pixels).
        crops: (n, 4): x, y, width, height in pixels.
    """
    x, y = _middles(images)
    left, top, width, height = (crops[:, i, None, None] for i in range(4))
    # beyond its edges a crop goes on with its last row or column, whatever the image has there
    at_x = (left + (x + 0.5) * width / x.shape[-1] - 0.5).clamp(left, left + (width - 1).clamp(min=0))
    at_y = (top + (y + 0.5) * height / x.shape[-1] - 0.5).clamp(top, top + (height - 1).clamp(min=0))
    return torch.where(_shaped(width > 0), _sampled(images, at_x, at_y), images)


def mirrored(images: Tensor, flips: Tensor) -> Tensor:
    """Each image left for right, front for back, or both: (n, 2) of 0 and 1."""
    images = torch.where(_shaped(flips[:, :1] > 0), images.flip(-1), images)
    return torch.where(_shaped(flips[:, 1:] > 0), images.flip(-2), images)


def rotated(images: Tensor, angles: Tensor) -> Tensor:
    """Each image about its middle by (n, 1) degrees; what comes from outside is 0."""
    x, y = _middles(images)
    middle = (x.shape[-1] - 1) / 2
    radians = torch.deg2rad(angles)[:, :, None]
    cosine, sine, x, y = radians.cos(), radians.sin(), x - middle, y - middle
    turned = _sampled(images, cosine * x - sine * y + middle, sine * x + cosine * y + middle)
    return torch.where(_shaped(angles != 0), turned, images)


def shifted(images: Tensor, affine: Tensor) -> Tensor:
    """Each image scaled about its middle and shifted; what comes from outside is 0.

    Args:
        images: (n, channels, pixels, pixels).
        affine: (n, 4): shift along x and y in pixels, size along x and y.
    """
    x, y = _middles(images)
    middle = (x.shape[-1] - 1) / 2
    right, down, width, height = (affine[:, i, None, None] for i in range(4))
    moved = _sampled(images, (x - middle - right) / width + middle, (y - middle - down) / height + middle)
    nothing = (right == 0) & (down == 0) & (width == 1) & (height == 1)
    return torch.where(_shaped(nothing), images, moved)


def _sampled(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Whole grey levels between the pixels at (n, pixels, pixels) places; 0 outside."""
    side = images.shape[-1]
    x, y = torch.broadcast_tensors(x, y)
    grid = (2 * torch.stack([x, y], dim=-1) + 1) / side - 1
    return functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False).round()


def _middles(images: Tensor) -> tuple[Tensor, Tensor]:
    """x (1, 1, pixels) and y (1, pixels, 1) of the pixels' middles, the first at 0."""
    at = torch.arange(images.shape[-1], dtype=torch.float32, device=images.device)
    return at[None, None, :], at[None, :, None]


def _in_hole(holes: Tensor, images: Tensor) -> Tensor:
    x, y = _middles(images)
    left, top, right, bottom = (holes[:, i, None, None] for i in range(4))
    return _shaped((x >= left) & (x < right) & (y >= top) & (y < bottom))


def _per_channel(values: Tensor) -> Tensor:
    return values[:, :, None, None]


def _shaped(of_image: Tensor) -> Tensor:
    """(n, 1), (n, 1, 1) or (n, pixels, pixels) to be broadcast over the channels."""
    return of_image.reshape(len(of_image), 1, *(of_image.shape[1:] if of_image.ndim == 3 else (1, 1)))

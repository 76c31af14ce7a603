"""CLAHE of batches (Zuiderveld 1994), as OpenCV computes it on 8 x 8 tiles: the same tables, the same grey levels.

In place of a loop over the tiles: one histogram of all tiles of all images, counted in whole numbers, which no order of
additions changes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TILES = 8  # along each side
GREYS = 256
AT_ONCE = 2**24  # pixels: what is made on the way takes some 40 bytes for each of them


def equalised(images: Tensor, limits: Tensor) -> Tensor:
    """Each channel equalised by itself, with the clip limit of its image.

    Args:
        images: whole grey levels as floats, (n, channels, pixels, pixels).
        limits: (n,); 0 = the image as it is.
    """
    channels, side = images.shape[1], images.shape[-1]
    each = limits.repeat_interleave(channels)
    flat = images.flatten(0, 1)
    some = max(1, AT_ONCE // side**2)
    parts = [_equalised(flat[i : i + some], each[i : i + some]) for i in range(0, len(flat), some)]
    return torch.cat(parts).view_as(images) if parts else images


def equalised_lightness(images: Tensor, limits: Tensor) -> Tensor:
    """Of images of three colours the lightness equalised, as albumentations does it; of one channel that channel."""
    if images.shape[1] != 3:
        return equalised(images, limits)
    some = max(1, AT_ONCE // images[:1].numel())
    parts = zip(images.split(some), limits.split(some), strict=True)
    return torch.cat([_equalised_lightness(*part) for part in parts])


def _equalised_lightness(images: Tensor, limits: Tensor) -> Tensor:
    lightness, a, b = _lab(images / 255)
    scaled = (lightness * 2.55).round().clamp(0, 255)
    found = _rgb(equalised(scaled[:, None], limits)[:, 0] / 2.55, a.round(), b.round())
    levels = (found * 255).round().clamp(0, 255)
    return torch.where((limits > 0)[:, None, None, None], levels, images)


def _equalised(images: Tensor, limits: Tensor) -> Tensor:
    """(n, pixels, pixels), one channel."""
    side = images.shape[-1]
    missing = -side % TILES
    whole = functional.pad(images[:, None], (0, missing, 0, missing), mode="reflect")[:, 0] if missing else images
    tile = whole.shape[-1] // TILES
    tables = _tables(whole.long().view(-1, TILES, tile, TILES, tile), limits).flatten(1)
    at = torch.arange(side, device=images.device) / tile - 0.5
    first = at.floor()
    share = at - first
    low, high = (place.long().clamp(0, TILES - 1) for place in (first, first + 1))
    levels = images.long()

    def looked_up(rows: Tensor, columns: Tensor) -> Tensor:
        places = (rows[:, None] * TILES + columns[None, :]) * GREYS + levels
        return tables.gather(1, places.flatten(1)).view_as(images)

    upper = looked_up(low, low) * (1 - share) + looked_up(low, high) * share
    lower = looked_up(high, low) * (1 - share) + looked_up(high, high) * share
    found = (upper * (1 - share[:, None]) + lower * share[:, None]).round()
    return torch.where((limits > 0)[:, None, None], found, images)


def _tables(tiles: Tensor, limits: Tensor) -> Tensor:
    """What each grey level becomes in each tile, (n, TILES ** 2, GREYS), of whole levels (n, TILES, t, TILES, t)."""
    n, area = len(tiles), tiles.shape[2] ** 2
    levels = tiles.transpose(2, 3).reshape(n, TILES**2, area)
    counts = torch.zeros(n, TILES**2, GREYS, dtype=torch.int64, device=tiles.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    most = (limits * area / GREYS).long().clamp(min=1)[:, None, None]
    beyond = (counts - most).clamp(min=0).sum(-1, keepdim=True)
    counts = counts.minimum(most) + beyond // GREYS
    # what is left over goes to every so many-th level, from the darkest on, one each
    left = beyond % GREYS
    step = (GREYS // left.clamp(min=1)).clamp(min=1)
    level = torch.arange(GREYS, device=tiles.device)
    counts = counts + ((level % step == 0) & (level // step < left))
    return (counts.cumsum(-1) * ((GREYS - 1) / area)).round().clamp(0, GREYS - 1)


def _lab(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """CIE L*a*b* (D65) of sRGB (n, 3, rows, columns) in 0..1."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    red, green, blue = linear.unbind(1)
    x = (0.412453 * red + 0.357580 * green + 0.180423 * blue) / 0.950456
    y = 0.212671 * red + 0.715160 * green + 0.072169 * blue
    z = (0.019334 * red + 0.119193 * green + 0.950227 * blue) / 1.088754
    fx, fy, fz = (torch.where(t > 0.008856, t.clamp(min=1e-6) ** (1 / 3), 7.787 * t + 16 / 116) for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def _rgb(lightness: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """sRGB in 0..1 of CIE L*a*b*, (n, 3, rows, columns)."""
    fy = (lightness + 16) / 116
    x, y, z = (
        torch.where(f > 0.206893, f**3, (f - 16 / 116) / 7.787) * white
        for f, white in ((fy + a / 500, 0.950456), (fy, 1.0), (fy - b / 200, 1.088754))
    )
    linear = torch.stack(
        [
            3.240479 * x - 1.53715 * y - 0.498535 * z,
            -0.969256 * x + 1.875991 * y + 0.041556 * z,
            0.055648 * x - 0.204043 * y + 1.057311 * z,
        ],
        dim=1,
    ).clamp(0, 1)
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=1e-6) ** (1 / 2.4) - 0.055)

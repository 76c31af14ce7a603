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
LINEAR = 255 * 8  # what OpenCV multiplies linear light by
#: of red, green and blue in X, Y, Z over those of white, times 4096
XYZ = ((1777, 1541, 778), (871, 2929, 296), (73, 448, 3575))
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
    lightness, a, b = _lab(images)
    levels = _rgb(equalised(lightness[:, None], limits)[:, 0], a, b)
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
    """CIE L*a*b* (D65), each (n, rows, columns) as 8 bits hold it, of sRGB levels (n, 3, rows, columns).

    In OpenCV's fixed-point numbers, which float32 holds exactly: a lightness that is off by one is another grey level
    in the histogram of a small tile, and moves all above it.
    """
    share = rgb / 255
    linear = torch.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    red, green, blue = (linear * LINEAR).round().unbind(1)
    cubes = (((r * red + g * green + b * blue + 2048) / 4096).floor() / LINEAR for r, g, b in XYZ)
    fx, fy, fz = (
        (torch.where(t < 0.008856, t * 7.787 + 16 / 116, t.clamp(min=1e-6) ** (1 / 3)) * 32768).round() for t in cubes
    )
    found = (296 * fy - 1336934, 500 * (fx - fy) + 128 * 32768, 200 * (fy - fz) + 128 * 32768)
    lightness, a, b = (((value + 16384) / 32768).floor().clamp(0, 255) for value in found)
    return lightness, a, b


def _rgb(lightness: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """sRGB levels (n, 3, rows, columns) of what ``_lab`` gives."""
    fy = (lightness / 2.55 + 16) / 116
    cubes = ((fy + (a - 128) / 500, 0.950456), (fy, 1.0), (fy - (b - 128) / 200, 1.088754))
    x, y, z = (torch.where(f > 0.206893, f**3, (f - 16 / 116) / 7.787) * white for f, white in cubes)
    linear = [
        3.240479 * x - 1.53715 * y - 0.498535 * z,
        -0.969256 * x + 1.875991 * y + 0.041556 * z,
        0.055648 * x - 0.204043 * y + 1.057311 * z,
    ]
    light = torch.stack(linear, dim=1).clamp(0, 1)
    share = torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=1e-6) ** (1 / 2.4) - 0.055)
    return (share * 255).round().clamp(0, 255)

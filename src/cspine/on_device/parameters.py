"""What happens to each example of a batch: parameters drawn as albumentations draws them, one row an example.

The distributions are those of ``cspine.augment``, whole pixels and all, and so is the order: crop, mirrors, rotation,
levels, CLAHE, brightness, shift and size, hole. The numbers are others: see ``draws``. An augmentation has columns of
its own among the draws, so that turning one on or off moves no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cspine.on_device.draws import uniforms

if TYPE_CHECKING:  # who only predicts needs no albumentations
    from cspine.augment import AugmentConfig

Floats = NDArray[np.float64]
#: columns of a row, and what of them changes nothing; an example without an augmentation has these
CROP = slice(0, 4)  # x, y, width, height in pixels: width 0 = not cropped
FLIP = slice(4, 6)  # left and right, front and back: 0 or 1
ANGLE = slice(6, 7)  # degrees, as albumentations counts them
SHIFT = slice(7, 10)  # grey levels of each channel, whole ones
CLIP = slice(10, 11)  # limit of CLAHE: 0 = not equalised
LEVELS = slice(11, 13)  # factor and grey levels added
AFFINE = slice(13, 17)  # x and y in whole pixels, size along x and y
HOLE = slice(17, 21)  # x, y and the ends, in pixels
COLUMNS = 21
NOTHING = np.zeros(COLUMNS)
NOTHING[[11, 15, 16]] = 1.0

TRIES = 10  # for a crop that lies inside the image
RATIO = (0.9, 1.1)  # of a crop's sides
DRAWS = {"crop": 3 + 2 * TRIES, "horizontal": 1, "vertical": 1, "rotation": 2, "shift": 4, "clahe": 2}
DRAWS |= {"brightness": 3, "affine": 5, "hole": 5}  # the first of each: whether it happens


def drawn(
    config: AugmentConfig, pixels: int, stacked: bool, seed: int, items: Sequence[tuple[int, int]]
) -> NDArray[np.float32]:
    """The parameters of ``items`` (pass, i), (n, COLUMNS): a function of (seed, pass, i).

    Args:
        config: what may happen.
        pixels: side of the image.
        stacked: its channels are slices of their own, which become lighter or darker as one.
        seed: of the examples.
        items: which examples.
    """
    given = uniforms(seed, items, sum(DRAWS.values()))
    ends = np.cumsum(list(DRAWS.values()))[:-1]
    draws = dict(zip(DRAWS, np.split(given, ends, axis=1), strict=True))
    found = {
        "crop": (CROP, config.crop_scale < 1, _crop(draws["crop"], config.crop_scale, pixels)),
        "horizontal": (slice(4, 5), config.horizontal_flip, np.ones((len(given), 1))),
        "vertical": (slice(5, 6), config.vertical_flip, np.ones((len(given), 1))),
        "rotation": (ANGLE, config.rotation > 0, _either_way(draws["rotation"][:, 1:], config.rotation)),
        "shift": (SHIFT, config.rgb_shift > 0 and not stacked, _shift(draws["shift"], config.rgb_shift)),
        "clahe": (CLIP, config.clahe > 0, 1 + draws["clahe"][:, 1:] * (max(1.0, config.clahe) - 1)),
        "brightness": (LEVELS, config.brightness > 0, _levels(draws["brightness"], config.brightness)),
        "affine": (AFFINE, config.shift_scale > 0, _affine(draws["affine"], config.shift_scale, pixels)),
        "hole": (HOLE, config.cutout > 0, _hole(draws["hole"], config.cutout, pixels)),
    }
    rows = np.tile(NOTHING, (len(given), 1))
    for name, (columns, is_on, values) in found.items():
        if is_on:
            happens = draws[name][:, :1] < config.probability
            rows[:, columns] = np.where(happens, values, rows[:, columns])
    if stacked and config.rgb_shift > 0:  # as one, by fractions of a level: the others' brightness does it so
        shift = _either_way(draws["shift"][:, 1:2], config.rgb_shift)
        rows[:, SHIFT] = np.where(draws["shift"][:, :1] < config.probability, shift, 0)
    return rows.astype(np.float32)


def moved(places: Floats, rows: NDArray[np.float32], pixels: int) -> Floats:
    """Where ``places`` (n, places, 2; x and y in shares of the side, NaN stays) lie after ``rows`` (n, COLUMNS)."""
    parts: list[Floats] = [rows[:, None, part].astype(np.float64) for part in (CROP, FLIP, ANGLE, AFFINE)]
    crop, flip, angle, affine = parts
    at = places * pixels
    inside = (at - crop[..., :2]) * pixels / np.maximum(crop[..., 2:], 1)
    at = np.where(crop[..., 2:3] > 0, inside, at) - pixels / 2  # from the middle
    at = np.where(flip > 0, -at, at)
    cosine, sine = np.cos(np.deg2rad(angle[..., 0])), np.sin(np.deg2rad(angle[..., 0]))
    x, y = at[..., 0], at[..., 1]
    at = np.stack([cosine * x + sine * y, cosine * y - sine * x], axis=-1)
    at = at * affine[..., 2:] + affine[..., :2]
    return np.asarray((at + pixels / 2) / pixels)


def _either_way(draws: Floats, limit: float) -> Floats:
    return np.asarray((2 * draws - 1) * limit)


def _crop(draws: Floats, least: float, pixels: int) -> Floats:
    """The first of ten crops that lies inside the image, or all of it."""
    areas = (least + draws[:, 1 : 1 + TRIES] * (1 - least)) * pixels**2
    low, high = np.log(RATIO)
    ratios = np.exp(low + draws[:, 1 + TRIES : 1 + 2 * TRIES] * (high - low))
    tried = np.rint(np.stack([np.sqrt(areas * ratios), np.sqrt(areas / ratios)], axis=-1))
    fits = ((tried > 0) & (tried <= pixels)).all(axis=-1)
    first = fits.argmax(axis=1)
    sides = np.where(fits.any(axis=1)[:, None], tried[np.arange(len(tried)), first], pixels)
    # rows are drawn before columns
    corner = np.floor((pixels - sides + 1) * draws[:, [2 + 2 * TRIES, 1 + 2 * TRIES]])
    return np.concatenate([corner, sides], axis=1)


def _shift(draws: Floats, levels: float) -> Floats:
    return np.trunc(_either_way(draws[:, 1:], levels))


def _levels(draws: Floats, share: float) -> Floats:
    return _either_way(draws[:, 1:], share) * [1, 255] + [1, 0]


def _affine(draws: Floats, share: float, pixels: int) -> Floats:
    return np.concatenate(
        [np.trunc(_either_way(draws[:, 1:3], share) * pixels), 1 + _either_way(draws[:, 3:], share)], axis=1
    )


def _hole(draws: Floats, largest: float, pixels: int) -> Floats:
    if largest >= 1:  # albumentations then takes the range for pixels: 0 or 1
        sides = np.floor(2 * draws[:, 1:3])
    else:
        sides = np.trunc(pixels * (largest / 4 + draws[:, 1:3] * (largest - largest / 4)))
    corner = np.floor(draws[:, 3:] * (pixels - sides + 1))
    return np.concatenate([corner, corner + sides], axis=1)

"""What the scanner adds: point spread, streaks from shoulders and metal, noise of a bone kernel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cspine.phantom.patients import Frame, Grid
from cspine.phantom.solids import Array

BLUR = 0.12  # share of each neighbour in a pixel
SHARPEN = 0.2  # share of each neighbour that the bone kernel takes away from the noise
SLAB = 16  # slices that are worked on at a time, to keep the memory low
SLOPES = (-0.16, -0.07, 0.0, 0.05, 0.14)  # of the rays through both shoulders, across to along
STREAK = 27.0  # HU, standard deviation of the shoulder streaks of each slope, ASSUME
STARVED = 0.9  # how much the noise grows at the shoulders, ASSUME
METAL = 2700.0  # HU above which a voxel casts rays
RAY_REACH = 14.0  # mm over which a ray fades to a half
RAYS = 720  # steps of half a turn
KNOTS = 40  # independent rays in half a turn, ASSUME
APART = 6.0  # mm between pieces of metal
RAY = 420.0  # HU at the metal, ASSUME


def blur(hu: Array) -> None:
    """The scanner's point spread in the axial plane; ASSUME three pixels."""
    share = np.float32(BLUR)
    for start in range(0, len(hu), SLAB):
        part = hu[start : start + SLAB]
        part[:, 1:-1] += share * (part[:, :-2] + part[:, 2:] - 2 * part[:, 1:-1])
        part[:, :, 1:-1] += share * (part[:, :, :-2] + part[:, :, 2:] - 2 * part[:, :, 1:-1])


def shoulder_share(grid: Grid, placed: dict[str, Frame]) -> Array:
    """How much of the shoulders lies in the way of the rays, 0 to 1 per slice: none down to C6, all from T1 on."""
    top, full = placed["C6"].origin[2] - 8.0, placed["T1"].origin[2]
    return np.clip((top - grid.z) / (top - full), 0, 1).astype(np.float32)


def add_shoulder_streaks(hu: Array, grid: Grid, share: Array, strength: float, rng: np.random.Generator) -> None:
    """Streaks from side to side where the shoulders leave too few photons, each slice its own."""
    rows, columns = hu.shape[1:]
    pad = int(max(abs(s) for s in SLOPES) * columns) + 2
    shifts = [np.rint(slope * (np.arange(columns) - columns / 2)).astype(int) + pad for slope in SLOPES]
    places = [np.arange(rows)[:, None] + shift[None, :] for shift in shifts]
    every = max(1, round(1.2 / grid.spacing))  # ASSUME: streaks are about a millimetre wide
    for z in np.flatnonzero(share > 0):
        profiles = rng.standard_normal((len(SLOPES), (rows + 2 * pad) // every + 2), dtype=np.float32)
        profiles[:, 1:] += np.float32(0.7) * profiles[:, :-1]
        streaks = sum(np.repeat(p, every)[place] for p, place in zip(profiles, places, strict=True))
        hu[z] += np.float32(STREAK * strength) * share[z] ** 2 * streaks


def add_metal_streaks(hu: Array, grid: Grid, strength: float, rng: np.random.Generator) -> None:
    """Bright and dark rays from metal, in the slices that hold some of it."""
    for z in range(len(hu)):
        metal = hu[z] > METAL
        if not metal.any():
            continue
        for rows, columns in _pieces(metal, grid.spacing):
            amount = np.float32(strength * RAY * min(1.0, len(rows) * grid.spacing**2 / 25))
            hu[z] += amount * _rays(grid, rows, columns, rng) * ~metal


def _pieces(metal: npt.NDArray[np.bool_], spacing: float) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Rows and columns of each piece of metal; pieces lie apart from left to right."""
    columns, rows = np.nonzero(metal.T)
    cuts = np.flatnonzero(np.diff(columns) > APART / spacing) + 1
    return list(zip(np.split(rows, cuts), np.split(columns, cuts), strict=True))


def _rays(grid: Grid, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], rng: np.random.Generator) -> Array:
    """Bright and dark rays of variance 1 at most from the middle of a piece of metal: (rows, columns)."""
    x, y = grid.x - grid.x[columns].mean(), grid.y[:, None] - grid.y[rows].mean()
    course = np.interp(np.arange(RAYS), RAYS / KNOTS * np.arange(KNOTS), rng.standard_normal(KNOTS), period=RAYS)
    turns = np.arctan2(y, x) * np.float32(RAYS / np.pi)
    fade = 1 / (1 + (x * x + y * y) / np.float32(RAY_REACH**2))
    return np.asarray(fade * course.astype(np.float32)[turns.astype(int) % RAYS], np.float32)


def add_noise(hu: Array, sigma: float, share: Array, rng: np.random.Generator) -> None:
    """Noise of standard deviation ``sigma`` HU, more at the shoulders, whose power grows with frequency.

    A sharp (bone) kernel raises high frequencies; the noise of its images is blue (Kijewski & Judy, Phys. Med. Biol.
    1987, 32:565). ASSUME: white noise less a share of its four neighbours.
    """
    if sigma == 0:
        return
    spread = np.float32(sigma / np.sqrt(1 + 4 * SHARPEN**2))
    for z in range(len(hu)):
        white = rng.standard_normal((hu.shape[1] + 2, hu.shape[2] + 2), dtype=np.float32)
        around = white[:-2, 1:-1] + white[2:, 1:-1]
        around += white[1:-1, :-2]
        around += white[1:-1, 2:]
        around *= np.float32(-SHARPEN)
        around += white[1:-1, 1:-1]
        around *= spread * (1 + np.float32(STARVED) * share[z])
        hu[z] += around


def to_stored(hu: Array) -> npt.NDArray[np.int16]:
    """Rounded and cut to the 12 bits of a scanner's scale."""
    stored = np.empty(hu.shape, np.int16)
    for start in range(0, len(hu), SLAB):
        part = slice(start, start + SLAB)
        stored[part] = np.clip(np.rint(hu[part]), -1024, 3071)
    return stored

"""Everything that is not bone, in Hounsfield units: outline, skin, fat, muscle, airway, vessels, canal, cord.

Shapes are ellipses whose centre and half axes run smoothly from level to level, as in the tables below.
HU are typical textbook values for an unenhanced scan: air -1000, fat -100, cerebrospinal fluid about 10, cord
40, blood 45, muscle 55, disc about 90, thyroid about 110 (iodine).
"""

from __future__ import annotations

import numpy as np

from cspine.hashing import seed_of
from cspine.phantom.patients import Frame, Grid, Patient
from cspine.phantom.solids import Array

AIR, FAT, FLUID, CORD, BLOOD, MUSCLE, SKIN, DISC, THYROID = -1000, -100, 10, 40, 45, 55, 30, 90, 110

LEVELS = ("occiput", "C1", "C2", "C3", "C4", "C5", "C6", "C7", "T1", "chest")
#: Outline in mm: half width, half depth, and how far its centre lies behind the vertebral body. The head is
#: wide, the neck narrow, the shoulders leave the field of view. ASSUME: a slim adult, scaled by his girth.
OUTLINE = {
    "half_x": (74, 73, 70, 64, 58, 55, 57, 78, 118, 150),
    "half_y": (92, 88, 80, 70, 61, 57, 56, 59, 66, 78),
    "behind": (-6, -8, -9, -7, -3, 0, 2, 3, 2, 0),
}
#: Airway: nasopharynx (flat), oropharynx (wide), glottis (a slit at C5), trachea (round).
AIRWAY = {
    "half_x": (13, 14, 12, 14, 12, 4.5, 7.5, 8.5, 8.5, 8.5),
    "half_y": (6, 6.5, 7, 8, 8, 10.5, 8, 8.5, 9, 9),
    "behind": (-28, -27, -24, -25, -27, -32, -31, -33, -33, -33),
}
#: The spinal canal, roomy at C1.
CANAL = {
    "half_x": (13, 13.5, 11.5, 11, 11, 11.5, 11.5, 11.2, 10.2, 9.5),
    "half_y": (14, 12, 8.5, 7, 6.7, 6.7, 6.7, 6.7, 6.7, 6.7),
    "behind": (12, 10, 16.5, 14.7, 14.7, 15, 15.3, 15.7, 16, 16),
}
THYROID_HALF = (0, 0, 0, 0, 0, 4.0, 8.0, 8.5, 5.0, 0)


def fill_soft_tissue(volume: Array, grid: Grid, patient: Patient, placed: dict[str, Frame], seed: int) -> None:
    """Write the soft tissue of one patient into ``volume`` (slices, rows, columns), HU."""
    curve = _Curve(grid, placed, patient.scale)
    rng = np.random.default_rng(seed_of("phantom", "soft tissue", seed))
    _fill_outline(volume, grid, patient, curve, rng)
    g = patient.scale
    for side in (-1, 1):  # carotid sheath: fat around artery and vein
        sheath = curve.tube(side * 27 * g, -12 * g, 10.5 * g, 9 * g)
        _paint(volume, grid, sheath, FAT)
        _paint(volume, grid, curve.tube(side * 24.5 * g, -13 * g, 3.4 * g, 3.4 * g), BLOOD + 10)
        _paint(volume, grid, curve.tube(side * 31 * g, -10.5 * g, 5.2 * g, 4 * g), BLOOD)
    airway_y = curve.at(AIRWAY["behind"]) * g
    half = curve.at(THYROID_HALF) * g
    for side in (-1, 1):
        _paint(volume, grid, curve.tube(side * 14 * g, airway_y + 2, half, 1.3 * half), THYROID)
    airway = curve.tube(0, airway_y, curve.at(AIRWAY["half_x"]) * g, curve.at(AIRWAY["half_y"]) * g)
    _paint(volume, grid, airway, AIR)
    _paint(volume, grid, curve.tube(0, 0, 8.5 * g, 7.0 * g), DISC, below=placed["C2"].origin[2])
    behind = curve.at(CANAL["behind"]) * g
    half_x, half_y = curve.at(CANAL["half_x"]) * g, curve.at(CANAL["half_y"]) * g
    _paint(volume, grid, curve.tube(0, behind, half_x, half_y), FLUID)
    _paint(volume, grid, curve.tube(0, behind, np.minimum(0.58 * half_x, 7 * g), 4.6 * g), CORD)


class _Curve:
    """The line of the spine as seen from each slice."""

    def __init__(self, grid: Grid, placed: dict[str, Frame], scale: float) -> None:
        self.z = grid.z
        named = {name: placed[name].origin for name in LEVELS[1:-1]}
        ends = {"occiput": named["C1"] + [0, 0, 16 * scale], "chest": named["T1"] - [0, 0, 18 * scale]}
        points = np.stack([(named | ends)[name] for name in LEVELS])
        self.level_z = points[:, 2]
        self.x = self._interpolated(points[:, 0])
        self.y = self._interpolated(points[:, 1])

    def _interpolated(self, values: np.ndarray) -> Array:
        return np.interp(self.z, self.level_z[::-1], values[::-1]).astype(np.float32)

    def at(self, values: tuple[float, ...]) -> Array:
        """A table by level, read at every slice; one value per slice."""
        return self._interpolated(np.asarray(values, np.float64))

    def tube(self, x: float, y: Array | float, half_x: Array | float, half_y: Array | float) -> tuple[Array, ...]:
        """An elliptic tube beside the spine: per slice centre x, centre y, half width, half depth, mm."""
        ones = np.ones_like(self.x)
        return self.x + np.float32(x), self.y + y * ones, half_x * ones, half_y * ones


def _paint(volume: Array, grid: Grid, tube: tuple[Array, ...], value: float, below: float = np.inf) -> None:
    """Blend ``value`` into an elliptic tube, edges one pixel soft, in the slices under z = ``below``."""
    centre_x, centre_y, half_x, half_y = (a.astype(np.float32)[:, None, None] for a in tube)
    columns = _span(grid.x, (centre_x - half_x).min() - 2, (centre_x + half_x).max() + 2)
    rows = _span(grid.y, (centre_y - half_y).min() - 2, (centre_y + half_y).max() + 2)
    slices = (grid.z < below) & (half_x[:, 0, 0] > 0.3) & (half_y[:, 0, 0] > 0.3)
    px = (grid.x[None, None, columns] - centre_x[slices]) / half_x[slices]
    py = (grid.y[None, rows, None] - centre_y[slices]) / half_y[slices]
    depth = (1 - np.sqrt(px * px + py * py)) * np.minimum(half_x, half_y)[slices]
    cover = np.clip(0.5 + depth / grid.spacing, 0, 1)
    part = volume[slices, rows, columns]
    volume[slices, rows, columns] = part + cover * (value - part)


def _span(axis: Array, low: float, high: float) -> slice:
    return slice(int(np.searchsorted(axis, low)), int(np.searchsorted(axis, high)))


def _fill_outline(volume: Array, grid: Grid, patient: Patient, curve: _Curve, rng: np.random.Generator) -> None:
    """Air outside, then skin, fat and muscle by depth under the surface, and septa between the muscles."""
    half_x, half_y, behind = (curve.at(OUTLINE[key])[:, None, None] * patient.girth for key in OUTLINE)
    px = (grid.x[None, None, :] - 0.6 * curve.x[:, None, None]) / half_x
    py = (grid.y[None, :, None] - curve.y[:, None, None] - behind) / half_y
    radius = np.sqrt(np.abs(px) ** 2 + np.abs(py) ** 2)
    depth = (1 - radius) * np.minimum(half_x, half_y)
    depth = depth - np.clip(py, 0, 1) * 0.5 * patient.fat  # more fat at the nape
    fat = patient.fat + 1.6
    knots = np.array([-0.5, 0.5, 1.6, 2.2, fat, fat + 1.2])
    volume[:] = np.interp(depth, knots, [AIR, SKIN, SKIN, FAT, FAT, MUSCLE])
    _draw_septa(volume, grid, curve, np.asarray(depth > fat + 2), rng)


def _draw_septa(volume: Array, grid: Grid, curve: _Curve, muscle: np.ndarray, rng: np.random.Generator) -> None:
    """Thin sheets of fat between the muscles: wavy shells around the spine, broken here and there."""
    x = grid.x[None, None, :] - curve.x[:, None, None]
    y = grid.y[None, :, None] - curve.y[:, None, None]
    wander = _smooth_field(grid.shape, (6, 9, 9), rng)
    radius = np.sqrt(x * x + 1.4 * y * y) + 5 * wander
    sheet = np.clip(1.2 - np.abs(radius % 12.5 - 6) / 0.9, 0, 1) * np.clip((radius - 30) / 8, 0, 1)
    sheet *= np.clip(0.5 + _smooth_field(grid.shape, (6, 9, 9), rng), 0, 1)
    midline = np.clip(1.2 - np.abs(x + wander), 0, 1) * (y > 38)  # the ligament of the nape
    volume += np.maximum(sheet, midline) * muscle * np.float32(0.8 * (FAT - MUSCLE))


def _smooth_field(shape: tuple[int, int, int], knots: tuple[int, int, int], rng: np.random.Generator) -> Array:
    """A smooth random field of about unit variance: normal values at coarse knots, interpolated."""
    field = rng.standard_normal(knots, dtype=np.float32)
    for axis, (size, count) in enumerate(zip(shape, knots, strict=True)):
        place = np.linspace(0, count - 1.001, size)
        low = place.astype(int)
        part = (place - low)[:, None, None].astype(np.float32)
        part = part * part * (3 - 2 * part)
        moved = np.moveaxis(field, axis, 0)
        field = np.moveaxis(moved[low] * (1 - part) + moved[low + 1] * part, 0, axis)
    return np.ascontiguousarray(field)

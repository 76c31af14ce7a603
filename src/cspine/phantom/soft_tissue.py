"""Everything that is not bone, in Hounsfield units: outline, skin, fat, muscle, airway, vessels, canal, cord, table.

Shapes are ellipses whose centre and half axes run smoothly from level to level, as in the tables below.
HU are typical textbook values for an unenhanced scan: air -1000, fat -100, cerebrospinal fluid about 10, cord
40, blood 45, muscle 55, disc about 90, thyroid about 110 (iodine), lung about -850.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cspine.hashing import seed_of
from cspine.phantom.muscles import muscle_depth
from cspine.phantom.patients import Frame, Grid, Patient
from cspine.phantom.solids import Array
from cspine.phantom.textures import smooth_field

AIR, FAT, FLUID, CORD, BLOOD, MUSCLE, SKIN, DISC, THYROID = -1000, -100, 10, 40, 45, 55, 30, 90, 110
LUNG, BRAIN = -850, 35
SHELL, FOAM = 60, -965  # of the table: carbon fibre, and the foam within
SLAB = 16  # slices that are worked on at a time, to keep the memory low
MARBLING = 0.1  # fat within the muscles, share of a standard deviation; ASSUME
FINE = 20  # entries per mm in the table from depth under the skin to HU

LEVELS = ("occiput", "C1", "C2", "C3", "C4", "C5", "C6", "C7", "T1", "T2")
#: Outline in mm: half width, half depth, and how far its centre lies behind the vertebral body. The head is
#: wide, the neck narrow, the shoulders leave the field of view. ASSUME: a slim adult, scaled by his girth.
OUTLINE = {
    "half_x": (74, 73, 70, 64, 58, 55, 57, 78, 118, 150),
    "half_y": (92, 88, 82, 76, 65, 58, 56, 59, 66, 78),
    "behind": (-6, -8, -10, -11, -6, -1, 2, 3, 2, 0),
}
#: Airway: nasopharynx (flat), oropharynx (wide), glottis (a slit at C5), trachea (round).
AIRWAY = {
    "half_x": (11, 12, 10, 11, 10.5, 4, 7, 8, 8, 8),
    "half_y": (5, 5.5, 5.5, 6.5, 7, 10, 7.5, 8, 8.5, 8.5),
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
    """Write the soft tissue of one patient and the table into ``volume`` (slices, rows, columns), HU."""
    curve = _Curve(grid, placed, patient.scale)
    rng = np.random.default_rng(seed_of("phantom", "soft tissue", seed))
    _fill_outline(volume, grid, patient, curve, rng)
    _draw_table(volume, grid, curve, patient, rng)
    g = patient.scale
    for side in (-1, 1):  # carotid sheath: fat around artery and vein
        _paint(volume, grid, curve.tube(side * 27 * g, -13 * g, 9.5 * g, 8 * g), FAT)
        _paint(volume, grid, curve.tube(side * 24 * g, -14 * g, 3.4 * g, 3.4 * g), BLOOD + 10)
        _paint(volume, grid, curve.tube(side * 30.5 * g, -11.5 * g, 5.2 * g, 4 * g), BLOOD)
    airway_y = curve.at(AIRWAY["behind"]) * g
    half = curve.at(THYROID_HALF) * g
    for side in (-1, 1):
        _paint(volume, grid, curve.tube(side * 14 * g, airway_y + 2, half, 1.3 * half), THYROID)
    wide, deep = curve.at(AIRWAY["half_x"]) * g, curve.at(AIRWAY["half_y"]) * g
    _paint(volume, grid, curve.tube(0, airway_y, wide + 2.5 * g, deep + 2.5 * g), MUSCLE)
    _paint(volume, grid, curve.tube(0, airway_y, wide, deep), AIR)
    _paint(volume, grid, curve.tube(0, 0, 8.5 * g, 7.0 * g), DISC, below=placed["C2"].origin[2])
    behind = curve.at(CANAL["behind"]) * g
    half_x, half_y = curve.at(CANAL["half_x"]) * g, curve.at(CANAL["half_y"]) * g
    _paint(volume, grid, curve.tube(0, behind, half_x + 1.5, half_y + 1.5), FAT)
    _paint(volume, grid, curve.tube(0, behind, half_x, half_y), FLUID)
    _paint(volume, grid, curve.tube(0, behind, np.minimum(0.58 * half_x, 7 * g), 4.6 * g), CORD)


class _Curve:
    """The line of the spine as seen from each slice."""

    def __init__(self, grid: Grid, placed: dict[str, Frame], scale: float) -> None:
        self.z = grid.z
        rows = {name: [*frame.origin, np.arctan2(*frame.rotation[1::-1, 0])] for name, frame in placed.items()}
        self.levels = {name: np.array(row) for name, row in rows.items()}  # x, y, z, turn (radians) of each bone
        self.levels["occiput"] = self.levels["C1"] + [0, 0, 16 * scale, 0]
        points = np.stack([self.levels[name] for name in LEVELS])
        self.level_z = points[:, 2]
        self.x, self.y, self.turn = (self._interpolated(points[:, i]) for i in (0, 1, 3))

    def _interpolated(self, values: npt.NDArray[np.float64]) -> Array:
        return np.interp(self.z, self.level_z[::-1], values[::-1]).astype(np.float32)

    def at(self, values: tuple[float, ...]) -> Array:
        """A table by level, read at every slice; one value per slice."""
        return self._interpolated(np.asarray(values, np.float64))

    def tube(self, x: float, y: Array | float, half_x: Array | float, half_y: Array | float) -> tuple[Array, ...]:
        """An elliptic tube beside the spine: per slice centre x, centre y, half width, half depth, mm."""
        ones = np.ones_like(self.x)
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        centre_x, centre_y = self.x + cos * x - sin * y, self.y + sin * x + cos * y
        return tuple(np.asarray(a, np.float32) for a in (centre_x, centre_y, half_x * ones, half_y * ones))


def _paint(volume: Array, grid: Grid, tube: tuple[Array, ...], value: float, below: float = np.inf) -> None:
    """Blend ``value`` into an elliptic tube, edges one pixel soft, in the slices under z = ``below``."""
    centre_x, centre_y, half_x, half_y = (a.astype(np.float32)[:, None, None] for a in tube)
    shown = np.flatnonzero((grid.z < below) & (half_x[:, 0, 0] > 0.3) & (half_y[:, 0, 0] > 0.3))
    for slices in np.array_split(shown, max(1, len(shown) // SLAB)):
        if not len(slices):
            continue
        middle_x, middle_y, wide, deep = (a[slices] for a in (centre_x, centre_y, half_x, half_y))
        columns = _span(grid.x, (middle_x - wide).min() - 2, (middle_x + wide).max() + 2)
        rows = _span(grid.y, (middle_y - deep).min() - 2, (middle_y + deep).max() + 2)
        px, py = (grid.x[columns] - middle_x) / wide, (grid.y[rows, None] - middle_y) / deep
        depth = (1 - np.sqrt(px * px + py * py)) * np.minimum(wide, deep)
        cover = np.clip(0.5 + depth / grid.spacing, 0, 1)
        part = volume[slices[0] : slices[-1] + 1, rows, columns]
        part += cover * (value - part)


def _span(axis: Array, low: float, high: float) -> slice:
    return slice(int(np.searchsorted(axis, low)), int(np.searchsorted(axis, high)))


def _outline(grid: Grid, patient: Patient, curve: _Curve) -> tuple[Array, Array, Array, Array]:
    """Per slice the outline's centre x, y and half axes, mm."""
    girth = np.float32(patient.girth)
    half_x, half_y, behind = (curve.at(OUTLINE[key]) * girth for key in OUTLINE)
    return 0.6 * curve.x, curve.y + behind, half_x, half_y


def _fill_outline(volume: Array, grid: Grid, patient: Patient, curve: _Curve, rng: np.random.Generator) -> None:
    """Air outside, then skin, fat, and muscles parted by planes of fat, by depth under the surface."""
    centre_x, centre_y, half_x, half_y = (a[:, None, None] for a in _outline(grid, patient, curve))
    muscles = muscle_depth(grid, patient, curve.levels, rng)
    fat = patient.fat + 1.6
    knots = np.array([-0.5, 0.5, 1.6, 2.2, fat, fat + 1.0])
    edges = np.arange(0, (fat + 2) * FINE) / FINE - 0.5
    skin = np.interp(edges, knots, [AIR, SKIN, SKIN, FAT, FAT, FAT]).astype(np.float32)
    muscular = np.interp(edges, knots, [0, 0, 0, 0, 0, MUSCLE - FAT]).astype(np.float32)  # above the fat
    for start in range(0, len(grid.z), SLAB):
        part = slice(start, start + SLAB)
        px = (grid.x - centre_x[part]) / half_x[part]
        py = (grid.y[:, None] - centre_y[part]) / half_y[part]
        depth = (1 - np.sqrt(px * px + py * py)) * np.minimum(half_x, half_y)[part]
        depth -= np.clip(py, 0, 1) * np.float32(0.5 * patient.fat)  # more fat at the nape
        place = np.clip((depth + np.float32(0.5)) * FINE, 0, len(skin) - 1).astype(np.int16)
        within = muscles.at(grid.z[part], grid.y, grid.x)
        within *= np.float32(1 / max(grid.spacing, 0.7))
        within += np.float32(0.5)
        np.clip(within, 0.06, 1, out=within)
        within *= 1 - np.float32(MARBLING) * np.abs(smooth_field((grid.z[part], grid.y, grid.x), (6.0, 3.0, 3.0), rng))
        within *= muscular[place]
        np.add(within, skin[place], out=volume[part])


def _draw_table(volume: Array, grid: Grid, curve: _Curve, patient: Patient, rng: np.random.Generator) -> None:
    """The curved top of the table behind the back: two shells with foam between them."""
    _, centre_y, _, half_y = _outline(grid, patient, curve)
    back = float((centre_y + half_y).max()) + rng.uniform(1.0, 5.0)
    middle, radius, thick = rng.uniform(-8, 8), rng.uniform(260, 500), rng.uniform(16, 24)
    top = np.float32(back) - (grid.x - np.float32(middle)) ** 2 / np.float32(2 * radius)  # the sides come up
    behind = grid.y[:, None] - top[None, :]
    first = int(np.searchsorted(behind.max(axis=1), 0))
    behind = behind[first:]
    edge = max(grid.spacing, 1.0)
    shells = np.clip(1.5 - np.minimum(np.abs(behind), np.abs(behind - thick)) / edge, 0, 1)
    inside = np.clip(0.5 + np.minimum(behind, thick - behind) / edge, 0, 1)
    table = AIR + inside * (FOAM - AIR) + shells * (SHELL - AIR)
    part = volume[:, first:]
    np.maximum(part, table.astype(np.float32), out=part)

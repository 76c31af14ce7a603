"""The muscles and glands of the neck, each an elliptic tube along the spine, parted by planes of fat.

The table is a simplified atlas of axial sections. ASSUME: an ellipse per muscle whose centre and half axes run
straight from one row to the next; where two touch, a plane of fat lies between them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cspine.phantom.patients import Grid, Patient
from cspine.phantom.solids import Array
from cspine.phantom.textures import resample

ROWS = ("C1", "C3", "C5", "C7", "T2")
COARSE = 2.0  # mm between the points where the tubes are worked out
COARSE_SLICES = 4.0  # the same along the spine
PLANE = 0.7  # half the thickness of the fat between two muscles, mm

BULK = 1.22  # of every muscle against the table: how tightly they are packed
SHIFTED = 1.1  # mm, standard deviation of each muscle's place between people and sides; ASSUME
UNLIKE = 0.1  # the same of its half axes against the table

#: Centre to the left, centre behind the vertebral body, half width, half depth in mm, at each of ROWS.
MUSCLES: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "longus colli": ((7, -12, 6, 3.5), (7, -12, 6, 4), (8, -12, 6.5, 4), (8, -13, 6, 4), (8, -14, 5, 3)),
    "scalenes": ((22, 4, 5, 5), (24, 2, 6, 7), (26, 0, 8, 10), (31, 0, 10, 12), (44, 2, 11, 12)),
    "sternocleidomastoid": (
        (53, 6, 6, 11),
        (47, -4, 6, 13),
        (40, -16, 7, 13),
        (30, -36, 10, 8),
        (20, -54, 9, 5),
    ),
    "levator scapulae": ((40, 10, 5, 6), (37, 17, 6, 9), (38, 18, 7, 10), (46, 18, 9, 10), (58, 22, 10, 10)),
    "semispinalis": ((14, 44, 12, 9), (12, 43, 11, 10), (12, 38, 11, 9), (12, 42, 11, 9), (14, 46, 12, 8)),
    "multifidus": ((13, 30, 12, 7), (12, 31, 11, 7), (12, 28, 10, 6), (13, 30, 11, 6), (14, 30, 12, 7)),
    "splenius": ((34, 40, 9, 15), (30, 37, 8, 15), (28, 34, 7, 14), (29, 38, 9, 13), (30, 46, 12, 10)),
    "trapezius": ((20, 64, 20, 4), (24, 56, 22, 4), (30, 47, 20, 5), (52, 40, 30, 9), (72, 40, 42, 12)),
    "masseter": ((55, -28, 6, 16), (52, -32, 5, 12), (50, -34, 0.5, 0.5), (50, -34, 0.5, 0.5), (50, -34, 0.5, 0.5)),
    "pterygoid": ((36, -24, 7, 14), (34, -30, 7, 9), (34, -34, 0.5, 0.5), (34, -34, 0.5, 0.5), (34, -34, 0.5, 0.5)),
    "parotid": ((56, -6, 7, 10), (50, -14, 4, 6), (45, -16, 0.5, 0.5), (45, -16, 0.5, 0.5), (45, -16, 0.5, 0.5)),
    "submandibular": ((30, -38, 1, 1), (31, -38, 9, 10), (26, -38, 2, 2), (26, -38, 0.5, 0.5), (26, -38, 0.5, 0.5)),
    "tongue": ((10, -50, 13, 22), (9, -52, 12, 20), (6, -46, 7, 5), (6, -46, 1, 1), (6, -46, 1, 1)),
    "straps": ((12, -50, 1, 1), (9, -50, 9, 6), (12, -45, 10, 4), (13, -48, 11, 3.5), (11, -54, 11, 3.5)),
    "pharynx": ((8, -24, 12, 6), (8, -22, 12, 8), (6, -22, 11, 6), (4, -22, 7, 5), (5, -22, 6, 5)),
    "deltoid": ((80, 10, 1, 1), (80, 10, 1, 1), (80, 10, 2, 2), (86, 4, 16, 22), (110, 0, 30, 40)),
    "pectoral": ((60, -50, 1, 1), (60, -50, 1, 1), (60, -50, 1, 1), (64, -52, 14, 4), (70, -52, 40, 9)),
}


def muscle_depth(
    grid: Grid, patient: Patient, levels: dict[str, npt.NDArray[np.float64]], rng: np.random.Generator
) -> MuscleField:
    """How deep each point lies in a muscle; ``levels`` gives x, y, z and turn (radians) of the spine at ROWS."""
    z = np.linspace(grid.z[0], grid.z[-1], 2 + int((grid.z[0] - grid.z[-1]) / COARSE_SLICES)).astype(np.float32)
    x, y = (
        np.linspace(axis[0], axis[-1], 2 + int((axis[-1] - axis[0]) / COARSE)).astype(np.float32)
        for axis in (grid.x, grid.y)
    )
    along = np.stack([levels[name] for name in ROWS])
    spine = [np.interp(z, along[::-1, 2], along[::-1, i]) for i in (0, 1, 3)]
    best = np.full((len(z), len(y), len(x)), -50, np.float32)
    second = best.copy()
    for table in MUSCLES.values():
        for side in (-1, 1):
            rows = np.array(table) * patient.girth
            rows[:, :2] += rng.normal(0, SHIFTED, (len(ROWS), 2))
            rows[:, 2:] *= rng.normal(BULK, UNLIKE, (len(ROWS), 2)).clip(0.8, 1.6)
            left, behind, half_x, half_y = (np.interp(z, along[::-1, 2], rows[::-1, i]) for i in range(4))
            centre_x = spine[0] + side * left * np.cos(spine[2]) - behind * np.sin(spine[2])
            centre_y = spine[1] + behind * np.cos(spine[2]) + side * left * np.sin(spine[2])
            tube = (centre_x, centre_y, half_x, half_y)
            depth = _depth(x, y, *(a.astype(np.float32) for a in tube))
            np.maximum(second, np.minimum(best, depth), out=second)
            np.maximum(best, depth, out=best)
    return MuscleField(np.minimum(best, 0.5 * (best - second) - PLANE), z, y, x)


def _depth(x: Array, y: Array, centre_x: Array, centre_y: Array, half_x: Array, half_y: Array) -> Array:
    """Depth (mm, negative outside) in an elliptic tube: (slices, rows, columns)."""
    across = ((x[None, :] - centre_x[:, None]) / half_x[:, None])[:, None, :] ** 2
    along = ((y[None, :] - centre_y[:, None]) / half_y[:, None])[:, :, None] ** 2
    radius = np.sqrt(across + along)
    radius -= 1
    radius *= -np.minimum(half_x, half_y)[:, None, None]
    return np.asarray(radius, np.float32)


class MuscleField:
    """Depth in the nearest muscle, mm, negative in the fat between: worked out at coarse points, read at fine ones."""

    def __init__(self, depth: Array, z: Array, y: Array, x: Array) -> None:
        self.depth, self.axes = depth, (z, y, x)

    def at(self, z: Array, y: Array, x: Array) -> Array:
        """The depth on a grid: (len(z), len(y), len(x))."""
        places = [
            np.asarray((fine - axis[0]) / (axis[1] - axis[0]), np.float64)
            for fine, axis in zip((z, y, x), self.axes, strict=True)
        ]
        return resample(self.depth, places)

"""Fractures: thin clefts through the cortex of a vertebra, the fragment beyond each a little displaced.

A cleft is a bent plane through a place where the level breaks in life (usual classifications: arches of
the atlas as in Jefferson's fracture, dens and pars of the axis, teardrop and sagittal split of the bodies,
laminae, pillars, transverse processes, spinous processes of C6 and C7 as in the clay-shoveller's). ASSUME:
clefts are 2-4 mm wide, where patients' hairline fractures are often below 1 mm: the pixels are 1 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cspine.hashing import seed_of
from cspine.phantom.anatomy import SIZES
from cspine.phantom.solids import Array, Point

CLEFT_HU = 40.0  # blood and soft tissue between the fragments


@dataclass(frozen=True)
class Site:
    """A place in a bone's own frame where a cleft may run, and across which direction."""

    name: str
    place: Point  # on the left side, or in the middle
    across: Point  # normal of the cleft; the fragment on its positive side moves
    reach: float  # radius of the cleft in its plane, mm
    paired: bool = True  # also found on the right side


@dataclass(frozen=True)
class Cleft:
    """A cleft in a bone's own frame, all lengths in mm."""

    site: str
    centre: tuple[float, float, float]
    axes: tuple[tuple[float, ...], ...]  # rows: normal, then the two directions in the plane
    reach: float
    width: float
    shift: tuple[float, float, float]  # of the fragment on the positive side
    waves: tuple[float, float, float, float]  # amplitude (mm), two frequencies (1/mm), phase: the jagged course

    def across(self, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
        """Distance across the cleft and distance outside its reach, both in mm (negative = within)."""
        px, py, pz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        n, u, v = ((a[0] * px + a[1] * py + a[2] * pz) for a in self.axes)
        amplitude, fu, fv, phase = self.waves
        n = n + amplitude * np.sin(fu * u + phase) * np.cos(fv * v)
        return np.asarray(n, np.float32), np.asarray(np.sqrt(u * u + v * v) - self.reach, np.float32)


def sites(vertebra: str) -> list[Site]:
    """Where ``vertebra`` ("C1".."C7") may break."""
    if vertebra == "C1":
        return [
            Site("posterior arch", (15.0, 20.5, 0.5), (-0.5, 1.0, 0), 8),
            Site("anterior arch", (6.0, -11.0, 0.0), (1.0, -0.2, 0), 8),
            Site("lateral mass", (18.5, 0.5, 0.0), (1.0, 0.25, 0), 12),
        ]
    size = SIZES[vertebra]
    lamina = (0.5 * size.pillar, (size.depth / 2 + 7 + size.canal_back + 2.2) / 2, -1.5)
    found = [Site("lamina", lamina, (-0.8, 0.6, 0), 8)]
    if vertebra == "C2":
        return [
            *found,
            Site("dens", (0, -0.8, 11.0), (0, 0.8, 0.6), 12, paired=False),
            Site("pars", (12.5, 8.0, 0.5), (-0.25, 1.0, 0.1), 11),
            Site("body", (3.5, 0, -3.0), (1.0, 0.2, 0), 13),
        ]
    found += [
        Site("sagittal body", (0.12 * size.width, 0, 0), (1.0, 0.15, 0), 12),
        Site("teardrop", (0.05 * size.width, -0.18 * size.depth, 0), (0.1, -1.0, 0.25), 13, paired=False),
        Site("pillar", (size.pillar - 0.5, size.depth / 2 + 4.5, 0.5), (1.0, 0.7, 0), 10),
    ]
    if vertebra in ("C6", "C7"):
        y = size.canal_back + 0.45 * size.spinous
        found.append(Site("spinous process", (0, y, -2 - 0.4 * size.slope), (0.1, 1.0, -0.25), 10, paired=False))
    if vertebra == "C7":
        found.append(Site("transverse process", (size.pillar + 6.5, size.depth / 2 + 3.5, 0.8), (1.0, 0.1, 0), 9))
    return found


def draw_clefts(vertebra: str, width: list[float], seed: int, index: int, attempt: int) -> list[Cleft]:
    """One or two clefts of one vertebra of study ``index``; ``width`` is [smallest, largest] in mm.

    A ring of bone rarely breaks in one place only: ASSUME a second cleft in 60 % of the fractures.
    """
    rng = np.random.default_rng(seed_of("phantom", "fracture", seed, index, vertebra, attempt))
    found = sites(vertebra)
    count = 2 if rng.uniform() < 0.6 else 1
    chosen = rng.choice(len(found), size=count, replace=False)
    return [_draw_cleft(found[i], width, rng) for i in chosen]


def _draw_cleft(site: Site, width: list[float], rng: np.random.Generator) -> Cleft:
    side = -1.0 if site.paired and rng.uniform() < 0.5 else 1.0
    mirror = np.array([side, 1, 1])
    centre = np.array(site.place) * mirror + rng.normal(0, 0.8, 3)
    normal = np.array(site.across) * mirror
    normal = normal / np.linalg.norm(normal) + rng.normal(0, 0.16, 3)
    normal /= np.linalg.norm(normal)
    first = np.cross(normal, [0, 0, 1] if abs(normal[2]) < 0.9 else [1, 0, 0])
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    gap = rng.uniform(width[0], width[1])
    shift = normal * rng.uniform(0.2, 0.6) * gap + first * rng.uniform(-2.2, 2.2) + second * rng.uniform(-1.2, 1.2)
    waves = (rng.uniform(0.4, 0.9), rng.uniform(0.5, 1.0), rng.uniform(0.3, 0.8), rng.uniform(0, 6.3))
    axes = tuple(tuple(float(v) for v in row) for row in (normal, first, second))
    reach = site.reach * rng.uniform(0.9, 1.2)
    x, y, z = (float(v) for v in centre)
    sx, sy, sz = (float(v) for v in shift)
    return Cleft(site.name, (x, y, z), axes, reach, gap, (sx, sy, sz), waves)

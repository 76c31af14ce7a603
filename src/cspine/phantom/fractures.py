"""Fractures: jagged clefts through the cortex of a vertebra, the fragment beyond each a little displaced.

A cleft is a zigzag sheet through a place where the level breaks in life (usual classifications: arches of
the atlas as in Jefferson's fracture, dens and pars of the axis, teardrop and sagittal split of the bodies,
laminae, pillars, transverse processes, spinous processes of C6 and C7 as in the clay-shoveller's). ASSUME:
clefts are up to some millimetres wide, where patients' hairline fractures are often below 1 mm: the pixels are 1 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cspine.hashing import seed_of
from cspine.phantom.anatomy import SIZES
from cspine.phantom.solids import Array, Point

CLEFT_HU = 40.0  # blood and soft tissue between the fragments
SHIFT = (1.0, 3.0)  # least and most displacement of a fragment, mm


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
    teeth: tuple[tuple[float, float, float, float], ...]  # zigzags: height, length, slant, phase
    swell: tuple[float, float]  # how the width comes and goes along the cleft: length of a wave, phase

    def across(self, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
        """Distance across the cleft and distance outside its reach, both in mm (negative = within)."""
        px, py, pz = (a - np.float32(c) for a, c in zip((x, y, z), self.centre, strict=True))
        n, u, v = (np.float32(a[0]) * px + np.float32(a[1]) * py + np.float32(a[2]) * pz for a in self.axes)
        for height, length, slant, phase in self.teeth:
            n += np.float32(height) * _zigzag((u + np.float32(slant) * v) / np.float32(length) + np.float32(phase))
        outside = np.sqrt(u * u + v * v) - np.float32(self.reach)
        return np.asarray(n, np.float32), np.asarray(outside, np.float32)

    def opening(self, across: Array, outside: Array, edge: float) -> Array:
        """Share of each voxel that is cleft; ``edge`` is the size of a voxel, mm."""
        length, phase = self.swell
        width = np.float32(self.width) * (1 + np.float32(0.35) * _zigzag(outside / np.float32(length) + phase))
        inside = np.clip((width / 2 + edge / 2 - np.abs(across)) / edge, 0, np.minimum(1, width / edge))
        return np.asarray(inside * np.clip(0.5 - outside, 0, 1), np.float32)


def _zigzag(turns: Array) -> Array:
    """A triangle wave from -1 to 1 with period 1."""
    return np.asarray(4 * np.abs(turns - np.floor(turns + np.float32(0.5))) - 1, np.float32)


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


def draw_clefts(
    vertebra: str, width: list[float], displacement: float, seed: int, index: int, attempt: int
) -> list[Cleft]:
    """One or two clefts of one vertebra of study ``index``; ``width`` is [smallest, largest] in mm.

    ``displacement`` scales the fragments' shift. A ring of bone rarely breaks in one place only: ASSUME a second
    cleft in 60 % of the fractures.
    """
    rng = np.random.default_rng(seed_of("phantom", "fracture", seed, index, vertebra, attempt))
    found = sites(vertebra)
    count = 2 if rng.uniform() < 0.6 else 1
    chosen = rng.choice(len(found), size=count, replace=False)
    return [_draw_cleft(found[i], width, displacement, rng) for i in chosen]


def _draw_cleft(site: Site, width: list[float], displacement: float, rng: np.random.Generator) -> Cleft:
    side = -1.0 if site.paired and rng.uniform() < 0.5 else 1.0
    mirror = np.array([side, 1, 1])
    centre = np.array(site.place) * mirror + rng.normal(0, 0.8, 3)
    normal = np.array(site.across) * mirror
    normal = normal / np.linalg.norm(normal) + rng.normal(0, 0.16, 3)
    normal /= np.linalg.norm(normal)
    first = np.cross(normal, [0, 0, 1] if abs(normal[2]) < 0.9 else [1, 0, 0])
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    # mostly along the cleft, where a step in the cortex shows it, and a little apart
    slide = rng.choice([-1.0, 1.0]) * first + rng.uniform(-0.6, 0.6) * second + rng.uniform(0.15, 0.45) * normal
    shift = displacement * rng.uniform(*SHIFT) * slide / np.linalg.norm(slide)
    teeth = tuple(
        (height, rng.uniform(*length), rng.uniform(-0.8, 0.8), rng.uniform(0, 1))
        for height, length in ((rng.uniform(0.5, 1.1), (7.0, 11.0)), (rng.uniform(0.3, 0.6), (2.6, 4.5)))
    )
    axes = tuple(tuple(float(v) for v in row) for row in (normal, first, second))
    x, y, z = (float(v) for v in centre)
    sx, sy, sz = (float(v) for v in shift)
    return Cleft(
        site=site.name,
        centre=(x, y, z),
        axes=axes,
        reach=site.reach * rng.uniform(0.9, 1.2),
        width=rng.uniform(width[0], width[1]),
        shift=(sx, sy, sz),
        teeth=teeth,
        swell=(rng.uniform(4.0, 8.0), rng.uniform(0, 1)),
    )

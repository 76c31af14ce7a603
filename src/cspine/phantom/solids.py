"""Solids as signed distances in millimetres: negative inside, zero on the surface, positive outside.

A bone is a smooth union of a dozen simple solids less a few holes. Signed distances make the rest easy: the
cortex is the band just below zero, an edge is smoothed over one pixel, and two bones keep a joint space.
Every solid is evaluated only inside its own bounding box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Point = tuple[float, float, float]  # x to the patient's left, y to the back, z to the head, in mm


class Solid(Protocol):
    """Anything with a box around it and a signed distance."""

    def bounds(self) -> tuple[Point, Point]:
        """Smallest and largest corner of a box around the solid, mm."""

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance in mm at points of any one shape."""


@dataclass(frozen=True)
class Capsule:
    """A round rod from ``start`` to ``end`` whose radius runs from ``radius`` to ``end_radius``."""

    start: Point
    end: Point
    radius: float
    end_radius: float
    tall: float = 1.0  # this many times taller (z) than thick: laminae and arches are plates on edge

    def bounds(self) -> tuple[Point, Point]:
        """See :class:`Solid`."""
        r = max(self.radius, self.end_radius)
        reach = (r, r, r * self.tall)
        low = tuple(min(a, b) - s for a, b, s in zip(self.start, self.end, reach, strict=True))
        high = tuple(max(a, b) + s for a, b, s in zip(self.start, self.end, reach, strict=True))
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """See :class:`Solid`; exact for even radius and ``tall`` 1, otherwise close to it."""
        ax, ay, az = self.start
        bx, by, bz = self.end[0] - ax, self.end[1] - ay, (self.end[2] - az) / self.tall
        px, py, pz = x - ax, y - ay, (z - az) / self.tall
        length = max(bx * bx + by * by + bz * bz, 1e-6)
        along = np.clip((px * bx + py * by + pz * bz) / length, 0, 1)
        gap = np.sqrt((px - along * bx) ** 2 + (py - along * by) ** 2 + (pz - along * bz) ** 2)
        return np.asarray(gap - (self.radius + along * (self.end_radius - self.radius)), np.float32)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid along the axes."""

    centre: Point
    radii: Point

    def bounds(self) -> tuple[Point, Point]:
        """See :class:`Solid`."""
        return _around(self.centre, self.radii)

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """See :class:`Solid`; first-order distance, good near the surface."""
        (cx, cy, cz), (rx, ry, rz) = self.centre, self.radii
        px, py, pz = (x - cx) / rx, (y - cy) / ry, (z - cz) / rz
        level = np.sqrt(px * px + py * py + pz * pz)
        slope = np.sqrt((px / rx) ** 2 + (py / ry) ** 2 + (pz / rz) ** 2)
        return np.asarray(level * (level - 1) / np.maximum(slope, 1e-3), np.float32)


@dataclass(frozen=True)
class Block:
    """An upright prism with rounded corners in the axial plane: a vertebral body, or the canal as a hole."""

    centre: Point
    half: Point
    corner: float  # radius of the corners in the axial plane, mm
    waist: float = 0.0  # how far the sides draw in at half height, mm

    def bounds(self) -> tuple[Point, Point]:
        """See :class:`Solid`."""
        return _around(self.centre, self.half)

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """See :class:`Solid`."""
        (cx, cy, cz), (hx, hy, hz) = self.centre, self.half
        qx = np.abs(x - cx) - (hx - self.corner)
        qy = np.abs(y - cy) - (hy - self.corner)
        sides = np.sqrt(np.maximum(qx, 0) ** 2 + np.maximum(qy, 0) ** 2) + np.minimum(np.maximum(qx, qy), 0)
        pz = z - cz
        sides = sides - self.corner + self.waist * np.maximum(1 - (pz / hz) ** 2, 0)
        ends = np.abs(pz) - hz
        outside = np.sqrt(np.maximum(sides, 0) ** 2 + np.maximum(ends, 0) ** 2)
        return np.asarray(outside + np.minimum(np.maximum(sides, ends), 0), np.float32)


def _around(centre: Point, half: Point) -> tuple[Point, Point]:
    (cx, cy, cz), (hx, hy, hz) = centre, half
    return (cx - hx, cy - hy, cz - hz), (cx + hx, cy + hy, cz + hz)


def chain(points: Sequence[Point], radii: Sequence[float], tall: float = 1.0) -> list[Solid]:
    """Capsules through ``points``: an arch, a curved process."""
    return [
        Capsule(a, b, ra, rb, tall) for a, b, ra, rb in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True)
    ]


def mirrored(solids: Sequence[Solid]) -> list[Solid]:
    """The solids and their mirror images on the other side of the body."""
    return [*solids, *(_mirror(s) for s in solids)]


def _mirror(solid: Solid) -> Solid:
    def flip(p: Point) -> Point:
        return (-p[0], p[1], p[2])

    if isinstance(solid, Capsule):
        return Capsule(flip(solid.start), flip(solid.end), solid.radius, solid.end_radius, solid.tall)
    if isinstance(solid, Ellipsoid):
        return Ellipsoid(flip(solid.centre), solid.radii)
    if isinstance(solid, Block):
        return Block(flip(solid.centre), solid.half, solid.corner, solid.waist)
    raise TypeError(f"no mirror image known of {type(solid).__name__}")


def smooth_union(first: Array, second: Array, blend: float) -> Array:
    """The smaller distance, with a fillet of about ``blend`` mm where the two surfaces meet."""
    close = np.maximum(blend - np.abs(first - second), 0)
    return np.asarray(np.minimum(first, second) - close * close / (4 * blend), np.float32)

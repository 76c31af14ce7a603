"""A volume that bones are drawn into, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cspine.phantom.anatomy import Bone
from cspine.phantom.fractures import CLEFT_HU, Cleft
from cspine.phantom.patients import Frame, Grid, Patient
from cspine.phantom.solids import Array, smooth_union

BLEND = 1.4  # fillet between the parts of a bone, mm
JOINT = 1.3  # least distance between two bones: joint space, mm
FAR = 6.0  # distance written where no part of a bone is near, mm
MARGIN = 4.0  # how far around a solid its distance is worked out, mm; above any fragment's displacement
CORTEX_EDGE = 0.9  # over which dense bone turns into spongy bone, mm
GRAIN = 45.0  # standard deviation of the spongy bone, HU; ASSUME

Box = tuple[slice, slice, slice]


@dataclass
class Scene:
    """What the bones are drawn into."""

    grid: Grid
    patient: Patient
    hu: Array
    nearest: Array  # distance to the nearest bone drawn so far, mm
    labels: npt.NDArray[np.uint8]
    clefts: npt.NDArray[np.uint8]


def draw_bone(
    scene: Scene, bone: Bone, frame: Frame, clefts: list[Cleft], contrast: float, rng: np.random.Generator
) -> None:
    """Draw a bone at its place, cut by ``clefts`` (``contrast`` 1: filled with blood, 0: not to be seen)."""
    grid, patient = scene.grid, scene.patient
    box = _box(grid, frame, *_bounds(bone))
    if any(s.start >= s.stop for s in box):
        return
    own = _own_coordinates(grid, frame, box)
    gaps = [cleft.across(*own) for cleft in clefts]
    moved = _displaced(own, clefts, gaps)
    distance = _bone_distance(grid, bone, frame, box, moved)
    distance = np.maximum(distance, JOINT - scene.nearest[box])
    scene.nearest[box] = np.minimum(scene.nearest[box], distance)

    edge = grid.spacing
    cover = np.clip(0.5 - distance / edge, 0, 1)
    shell = np.clip((bone.cortex * frame.scale + 0.6 + distance) / CORTEX_EDGE, 0, 1)
    texture = rng.normal(0, GRAIN, distance.shape).astype(np.float32)
    bone_hu = patient.trabecular + texture + shell * (patient.cortical - patient.trabecular - texture)
    gap_cover = np.zeros_like(distance)
    for cleft, (across, outside) in zip(clefts, gaps, strict=True):
        width = cleft.width
        opening = np.clip((width / 2 + edge / 2 - np.abs(across)) / edge, 0, min(1.0, width / edge))
        gap_cover = np.maximum(gap_cover, opening * np.clip(0.5 - outside, 0, 1))
    bone_hu += contrast * gap_cover * (CLEFT_HU - bone_hu)
    scene.hu[box] += cover * (bone_hu - scene.hu[box])
    if bone.label:
        inside = distance < 0
        scene.labels[box][inside] = bone.label
        scene.clefts[box][inside & (gap_cover > 0.5)] = bone.label


def _displaced(own: tuple[Array, ...], clefts: list[Cleft], gaps: list[tuple[Array, Array]]) -> tuple[Array, ...]:
    """Own coordinates as in the unbroken bone: beyond each cleft, moved back by the fragment's shift."""
    x, y, z = own
    for cleft, (across, outside) in zip(clefts, gaps, strict=True):
        weight = (across > 0) * np.clip((2.0 - outside) / 4.0, 0, 1) * np.clip((16.0 - across) / 8.0, 0, 1)
        weight = weight.astype(np.float32)
        sx, sy, sz = cleft.shift
        x, y, z = x - sx * weight, y - sy * weight, z - sz * weight
    return x, y, z


def _bone_distance(grid: Grid, bone: Bone, frame: Frame, box: Box, own: tuple[Array, ...]) -> Array:
    """Signed distance (mm, patient scale) of the bone's parts less its holes, inside ``box``."""
    distance = np.full(own[0].shape, FAR, np.float32)
    for solid in bone.parts:
        part = _inside(_box(grid, frame, *solid.bounds()), box)
        found = solid.distance(*(a[part] for a in own)) * np.float32(frame.scale)
        distance[part] = smooth_union(distance[part], found, BLEND)
    for solid in bone.holes:
        part = _inside(_box(grid, frame, *solid.bounds()), box)
        found = solid.distance(*(a[part] for a in own)) * np.float32(frame.scale)
        distance[part] = np.maximum(distance[part], -found)
    return distance


def _bounds(bone: Bone) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    corners = np.array([solid.bounds() for solid in bone.parts])
    return corners[:, 0].min(axis=0), corners[:, 1].max(axis=0)


def _box(grid: Grid, frame: Frame, low: npt.ArrayLike, high: npt.ArrayLike) -> Box:
    """Index ranges (slices, rows, columns) of the voxels within MARGIN of a box in a bone's own frame."""
    low, high = np.asarray(low), np.asarray(high)
    centre = frame.origin + frame.scale * frame.rotation @ ((low + high) / 2)
    half = frame.scale * np.abs(frame.rotation) @ ((high - low) / 2) + MARGIN
    (x0, y0, z0), (x1, y1, z1) = centre - half, centre + half
    rising = grid.z[::-1]
    n = len(rising)
    slices = slice(n - int(np.searchsorted(rising, z1)), n - int(np.searchsorted(rising, z0)))
    rows = slice(int(np.searchsorted(grid.y, y0)), int(np.searchsorted(grid.y, y1)))
    return slices, rows, slice(int(np.searchsorted(grid.x, x0)), int(np.searchsorted(grid.x, x1)))


def _inside(inner: Box, outer: Box) -> Box:
    """``inner`` relative to ``outer``, cut to it."""
    cut = [
        slice(max(i.start, o.start) - o.start, max(min(i.stop, o.stop), max(i.start, o.start)) - o.start)
        for i, o in zip(inner, outer, strict=True)
    ]
    return cut[0], cut[1], cut[2]


def _own_coordinates(grid: Grid, frame: Frame, box: Box) -> tuple[Array, ...]:
    """x, y, z of the voxels of ``box`` in the bone's own frame, mm."""
    px = (grid.x[box[2]] - frame.origin[0])[None, None, :]
    py = (grid.y[box[1]] - frame.origin[1])[None, :, None]
    pz = (grid.z[box[0]] - frame.origin[2])[:, None, None]
    turn = (frame.rotation.T / frame.scale).astype(np.float32)
    return tuple((a[0] * px + a[1] * py + a[2] * pz).astype(np.float32) for a in turn)

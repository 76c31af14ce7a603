"""A volume that bones are drawn into, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label as connected_regions

from cspine.phantom.anatomy import Bone
from cspine.phantom.fractures import CLEFT_HU, Cleft
from cspine.phantom.patients import Frame, Grid, Patient, bounds_of, turned
from cspine.phantom.solids import Array, Solid, smooth_union
from cspine.phantom.textures import smooth_field

BLEND = 1.4  # fillet between the parts of a bone, mm
JOINT = 1.3  # least distance between two bones: joint space, mm
CRUMB = 150.0  # smallest part of a vertebra that a mask shows, mm3; ASSUME
FAR = 6.0  # distance written where no part of a bone is near, mm
MARGIN = 4.0  # how far around a solid its distance is worked out, mm; above any fragment's displacement
CORTEX_EDGE = 0.9  # over which dense bone turns into spongy bone, mm
THIN = 0.7  # of the shell's thickness on the body of a vertebra, ASSUME
SCLEROSIS = 420.0  # HU that worn bone gains, ASSUME
MARROW = 10.0  # HU in the channel of a vessel: blood and fatty marrow

Box = tuple[slice, slice, slice]


@dataclass
class Scene:
    """What the bones are drawn into; all arrays (slices, rows, columns)."""

    grid: Grid
    patient: Patient
    hu: Array
    nearest: npt.NDArray[np.float16]  # distance to the nearest bone drawn so far, mm
    labels: npt.NDArray[np.uint8]
    clefts: npt.NDArray[np.uint8]


@dataclass
class Shape:
    """A bone in the voxels of its box, before it is drawn."""

    bone: Bone
    frame: Frame
    box: Box
    own: tuple[Array, Array, Array]  # own coordinates, moved with the fragments, mm
    distance: Array  # to the surface, mm, negative inside
    opening: Array | None  # share of a voxel that is cleft; None = unbroken

    def cleft(self) -> npt.NDArray[np.bool_]:
        """Voxels that count as cleft."""
        if self.opening is None:
            return np.zeros(self.distance.shape, np.bool_)
        return np.asarray((self.distance < 0) & (self.opening > 0.5))

    def close(self, slices: npt.NDArray[np.bool_]) -> None:
        """Close the clefts in some of the box's slices: there only the shifted fragments tell of them."""
        if self.opening is not None:
            self.opening[slices] = 0


def shape_bone(scene: Scene, bone: Bone, frame: Frame, clefts: Sequence[Cleft] = ()) -> Shape | None:
    """The shape of a bone at its place, cut by ``clefts``; None outside the scanned volume."""
    grid = scene.grid
    box = _box(grid, *bounds_of(bone, frame))
    if any(s.start >= s.stop for s in box):
        return None
    own = _own_coordinates(grid, frame, box)
    opening = None
    if clefts:
        gaps = [cleft.across(*own) for cleft in clefts]
        opening = np.zeros(own[0].shape, np.float32)
        for cleft, (across, outside) in zip(clefts, gaps, strict=True):
            np.maximum(opening, cleft.opening(across, outside, grid.spacing), out=opening)
        own = _displaced(own, clefts, gaps)
    distance = _bone_distance(grid, bone, frame, box, own)
    if bone.joint:
        np.maximum(distance, JOINT - scene.nearest[box], out=distance)
    return Shape(bone, frame, box, own, distance, opening)


def draw_shape(scene: Scene, shape: Shape, contrast: float, rng: np.random.Generator) -> None:
    """Draw a bone (``contrast`` 1: clefts filled with blood, 0: not to be seen)."""
    bone, box, distance = shape.bone, shape.box, shape.distance
    nearest = scene.nearest[box]
    np.minimum(nearest, distance, out=nearest, casting="same_kind")
    edge = scene.grid.spacing
    near = distance < edge / 2
    depth = distance[near]
    hu = _bone_hu(scene, shape, near, depth, rng)
    if shape.opening is not None:
        hu += np.float32(contrast) * shape.opening[near] * (CLEFT_HU - hu)
    part = scene.hu[box]
    cover = np.clip(0.5 - depth / edge, 0, 1)
    before = part[near]
    part[near] = before + cover * (hu - before)
    if bone.label:
        whole = _without_crumbs(distance < 0, scene.grid)
        scene.labels[box][whole] = bone.label
        scene.clefts[box][shape.cleft() & whole] = bone.label


def _without_crumbs(inside: npt.NDArray[np.bool_], grid: Grid) -> npt.NDArray[np.bool_]:
    """``inside`` less the splinters that the joint space cuts off: nobody would draw them into a mask."""
    regions, count = connected_regions(inside, structure=np.ones((3, 3, 3)))
    if count < 2:
        return inside
    volumes = np.bincount(regions.ravel()) * grid.spacing**2 * grid.step
    kept = volumes >= np.minimum(CRUMB, volumes[1:].max())
    kept[0] = False
    return np.asarray(kept[regions])


def draw_bone(scene: Scene, bone: Bone, frame: Frame, rng: np.random.Generator) -> None:
    """Draw an unbroken bone at its place."""
    shape = shape_bone(scene, bone, frame)
    if shape is not None:
        draw_shape(scene, shape, 0.0, rng)


def draw_solid(scene: Scene, solid: Solid, frame: Frame, hu: float, grain: float, rng: np.random.Generator) -> None:
    """Fill a solid with one tissue whose values vary by ``grain`` HU: a cavity, an organ."""
    box = _box(scene.grid, *turned(frame, *solid.bounds()))
    if any(s.start >= s.stop for s in box):
        return
    distance = solid.distance(*_own_coordinates(scene.grid, frame, box)) * np.float32(frame.scale)
    near = distance < scene.grid.spacing / 2
    values = np.full(np.count_nonzero(near), hu, np.float32)
    if grain:
        values += np.float32(grain) * smooth_field(_axes(scene.grid, box), (3.0, 3.0, 3.0), rng)[near]
    cover = np.clip(0.5 - distance[near] / scene.grid.spacing, 0, 1)
    part = scene.hu[box]
    part[near] += cover * (values - part[near])


def _bone_hu(scene: Scene, shape: Shape, near: npt.NDArray[np.bool_], depth: Array, rng: np.random.Generator) -> Array:
    """HU of the voxels ``near``: a shell of uneven thickness around a trabecular pattern that is denser outside."""
    bone, patient = shape.bone, scene.patient
    shell_hu, core_hu = bone.densities or (patient.cortical, patient.trabecular)
    axes = _axes(scene.grid, shape.box)
    coarse = smooth_field(axes, (5.0, 4.0, 4.0), rng)[near]
    # ASSUME: trabeculae about 1 mm apart; other bones are not looked at as closely
    fine = smooth_field(axes, (1.5, 1.1, 1.1), rng)[near] if bone.label else coarse
    spread = np.float32(patient.coarseness) if bone.densities is None else np.float32(0.4)
    core = np.float32(core_hu) * (1 + spread * (0.34 * fine + 0.18 * coarse) + 0.35 * np.clip(1 + depth / 3.5, 0, 1))
    thick = np.float32(bone.cortex * shape.frame.scale * (patient.cortex if bone.densities is None else 1.0))
    thickness = thick * np.clip(1 + (0.3 if bone.densities is None else 0.1) * coarse, 0.5, 1.6)
    if bone.thin_until > -1e3:
        thickness *= np.where(shape.own[1][near] < bone.thin_until, np.float32(THIN), np.float32(1))
    dense = np.clip((thickness + 0.4 + depth) / CORTEX_EDGE, 0, 1)
    for solid in bone.sclerotic:
        core += SCLEROSIS * _cover(solid, shape, near, 1.5)
    hu = core + dense * (shell_hu * (1 + 0.05 * coarse) - core)
    for solid in bone.channels:
        hu += _cover(solid, shape, near, 0.6) * np.clip(MARROW - hu, None, 0)
    return np.asarray(hu, np.float32)


def _cover(solid: Solid, shape: Shape, near: npt.NDArray[np.bool_], edge: float) -> Array:
    """Share of each voxel ``near`` inside a solid whose surface is ``edge`` mm soft."""
    distance = solid.distance(*(axis[near] for axis in shape.own)) * np.float32(shape.frame.scale)
    return np.clip(0.5 - distance / edge, 0, 1)


def _displaced(
    own: tuple[Array, Array, Array], clefts: Sequence[Cleft], gaps: list[tuple[Array, Array]]
) -> tuple[Array, Array, Array]:
    """Own coordinates as in the unbroken bone: beyond each cleft, moved back by the fragment's shift."""
    x, y, z = own
    for cleft, (across, outside) in zip(clefts, gaps, strict=True):
        if not any(cleft.shift):
            continue
        weight = (across > 0) * np.clip((2.0 - outside) / 4.0, 0, 1) * np.clip((16.0 - across) / 8.0, 0, 1)
        weight = weight.astype(np.float32)
        sx, sy, sz = (np.float32(s) for s in cleft.shift)
        x, y, z = x - sx * weight, y - sy * weight, z - sz * weight
    return x, y, z


def _bone_distance(grid: Grid, bone: Bone, frame: Frame, box: Box, own: tuple[Array, ...]) -> Array:
    """Signed distance (mm, patient scale) of the bone's parts less its holes, inside ``box``."""
    distance = np.full(own[0].shape, FAR, np.float32)
    for solid in bone.parts:
        part = _inside(_box(grid, *turned(frame, *solid.bounds())), box)
        found = solid.distance(*(a[part] for a in own)) * np.float32(frame.scale)
        distance[part] = smooth_union(distance[part], found, BLEND)
    for solid in bone.holes:
        part = _inside(_box(grid, *turned(frame, *solid.bounds())), box)
        found = solid.distance(*(a[part] for a in own)) * np.float32(frame.scale)
        distance[part] = np.maximum(distance[part], -found)
    return distance


def _box(grid: Grid, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> Box:
    """Index ranges (slices, rows, columns) of the voxels within MARGIN of a box in patient coordinates."""
    (x0, y0, z0), (x1, y1, z1) = low - MARGIN, high + MARGIN
    rising = grid.z[::-1]
    n = len(rising)
    slices = slice(n - int(np.searchsorted(rising, z1)), n - int(np.searchsorted(rising, z0)))
    rows = slice(int(np.searchsorted(grid.y, y0)), int(np.searchsorted(grid.y, y1)))
    return slices, rows, slice(int(np.searchsorted(grid.x, x0)), int(np.searchsorted(grid.x, x1)))


def _axes(grid: Grid, box: Box) -> tuple[Array, Array, Array]:
    return grid.z[box[0]], grid.y[box[1]], grid.x[box[2]]


def _inside(inner: Box, outer: Box) -> Box:
    """``inner`` relative to ``outer``, cut to it."""
    cut = [
        slice(max(i.start, o.start) - o.start, max(min(i.stop, o.stop), max(i.start, o.start)) - o.start)
        for i, o in zip(inner, outer, strict=True)
    ]
    return cut[0], cut[1], cut[2]


def _own_coordinates(grid: Grid, frame: Frame, box: Box) -> tuple[Array, Array, Array]:
    """x, y, z of the voxels of ``box`` in the bone's own frame, mm."""
    px = (grid.x[box[2]] - np.float32(frame.origin[0]))[None, None, :]
    py = (grid.y[box[1]] - np.float32(frame.origin[1]))[None, :, None]
    pz = (grid.z[box[0]] - np.float32(frame.origin[2]))[:, None, None]
    turn = (frame.rotation.T / frame.scale).astype(np.float32)
    x, y, z = (np.asarray((a[0] * px + a[2] * pz) + a[1] * py, np.float32) for a in turn)
    return x, y, z

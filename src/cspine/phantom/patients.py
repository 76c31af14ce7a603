"""One patient in the scanner: size, curve of the neck, pose, field of view; and where each bone is.

Every draw comes from a generator seeded by (seed, study index), so a patient never depends on the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cspine.hashing import seed_of
from cspine.phantom.anatomy import SIZES, Bone, vertebrae
from cspine.phantom.solids import Array

Matrix = npt.NDArray[np.float64]

#: From each vertebra's origin up to the next one's along the spine, mm: body heights and discs of about 5 mm.
RISES = {"T2": 20.4, "T1": 19.0, "C7": 17.6, "C6": 16.8, "C5": 16.4, "C4": 16.4, "C3": 21.2, "C2": 20.6}
ABOVE_C1 = 12.0  # from the atlas' origin to its upper end, mm
BELOW_C7 = 16.0  # from C7's origin down to the tip of its spinous process and its lower end, mm
CROP = 0.6  # the middle share of the image, each way, that holds C1-C7 whole
CROP_ROOM = 2.5  # between C1-C7 and the edge of that crop, mm
OFF_CENTRE = 12.0  # farthest distance of the spinal canal from the image's middle, mm


@dataclass(frozen=True)
class Patient:
    """Sizes in mm, angles in degrees."""

    scale: float  # of all bones against the adult mean
    lordosis: float  # angle between C7 and C2; 0 = straight neck
    pitch: float  # nodding
    tilt: float  # leaning to one side
    twist: float  # turning the head, at C1; none at T2
    shift: tuple[float, float]  # of the neck from the middle of the image, to the left and to the back
    fat: float  # thickness of the fat under the skin
    girth: float  # of the soft tissue against the adult mean
    field: float  # of view asked for: edge of the image (more, where the vertebrae need it: see make_grid)
    above: float  # scanned above C1
    below: float  # scanned below C7
    cortical: float  # HU of dense bone
    trabecular: float  # HU of the bone within
    cortex: float  # thickness of the dense shell against the mean
    coarseness: float  # contrast of the trabecular pattern against the mean: high in osteopenic bone


def draw_patient(seed: int, index: int) -> Patient:
    """The patient of study ``index``.

    ASSUME: uniform ranges that cover adults lying supine; cervical trabecular bone of 150 HU (osteopenic) to
    380 HU (young and dense), with shell thickness and density going along with it and the pattern against it.
    """
    rng = np.random.default_rng(seed_of("phantom", "patient", seed, index))
    scale = rng.uniform(0.92, 1.08)
    density = rng.uniform(0, 1)
    return Patient(
        scale=scale,
        lordosis=rng.uniform(0, 26),
        pitch=rng.uniform(-6, 6),
        tilt=rng.uniform(-5, 5),
        twist=rng.uniform(-9, 9),
        shift=(rng.uniform(-5, 5), rng.uniform(-5, 5)),
        fat=rng.uniform(2.5, 10),
        girth=scale * rng.uniform(0.93, 1.2),
        field=rng.uniform(142, 190),
        above=rng.uniform(5, 16),
        below=rng.uniform(10, 26),
        cortical=920 + 330 * density + rng.uniform(-60, 60),
        trabecular=150 + 200 * density + rng.uniform(0, 30),
        cortex=0.8 + 0.45 * density + rng.uniform(-0.1, 0.1),
        coarseness=1.4 - 0.7 * density + rng.uniform(-0.15, 0.15),
    )


@dataclass(frozen=True)
class Frame:
    """Where a bone is: ``patient = origin + scale * rotation @ own``."""

    origin: Matrix  # (3,) mm
    rotation: Matrix  # (3, 3)
    scale: float


@dataclass(frozen=True)
class Grid:
    """The voxels of a study: slices from head to feet, rows to the back, columns to the patient's left."""

    x: Array  # (columns,) mm of the pixel centres
    y: Array  # (rows,) mm
    z: Array  # (slices,) mm, falling
    spacing: float  # mm between rows and between columns
    step: float  # mm between slices

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return len(self.z), len(self.y), len(self.x)


def frames(patient: Patient) -> dict[str, Frame]:
    """The frame of every vertebra C1-T2 in patient coordinates; the origin of C4 is at (0, 0, 0)."""
    names = list(RISES)  # T2 ... C2
    heights = np.concatenate([[0.0], np.cumsum(list(RISES.values()))]) * patient.scale  # T2 ... C1
    middle = heights[names.index("C4")]
    reach = heights[-1] - heights[names.index("C7")]
    # above 0: leans back going up
    bend = np.radians(patient.lordosis * (heights - middle) / reach + patient.pitch)
    lean = np.radians(patient.tilt) * np.ones_like(heights)
    turn = np.radians(patient.twist) * heights / heights[-1]
    origins = _walk(heights, bend, lean)
    origins -= origins[names.index("C4")]
    return {
        name: Frame(origins[i], _rotation(bend[i], lean[i], turn[i]), patient.scale)
        for i, name in enumerate([*names, "C1"])
    }


def _walk(heights: Matrix, bend: Matrix, lean: Matrix) -> Matrix:
    """Origins found by walking up the curve of the spine, (n, 3)."""
    between = (bend[1:] + bend[:-1]) / 2
    steps = np.diff(heights)
    moves = np.stack([steps * np.sin(lean[1:]), steps * np.sin(between), steps * np.cos(between)], axis=1)
    return np.concatenate([np.zeros((1, 3)), np.cumsum(moves, axis=0)])


def _rotation(bend: float, lean: float, turn: float) -> Matrix:
    """Turn about z, then nod about x, then lean about y; own axes to patient axes."""
    cb, cl, ct = np.cos([bend, lean, turn])
    sb, sl, st = np.sin([bend, lean, turn])
    nod = np.array([[1, 0, 0], [0, cb, sb], [0, -sb, cb]])
    side = np.array([[cl, 0, sl], [0, 1, 0], [-sl, 0, cl]])
    yaw = np.array([[ct, -st, 0], [st, ct, 0], [0, 0, 1]])
    return np.asarray(side @ nod @ yaw)


def make_grid(patient: Patient, placed: dict[str, Frame], pixels: int, slices: int, starts_below: float = 0.0) -> Grid:
    """Voxel centres from ``above`` over C1 to ``below`` under C7, in numbers a DICOM header holds exactly.

    The image's middle lies so that C1-C7 stay inside its middle CROP, and the canal within OFF_CENTRE mm of it; a
    field of view too small for that grows. ``starts_below`` mm at the upper end are not scanned.
    """
    top = placed["C1"].origin[2] + ABOVE_C1 * patient.scale + patient.above - starts_below
    bottom = placed["C7"].origin[2] - BELOW_C7 * patient.scale - patient.below
    step = round((top - bottom) / (slices - 1), 3)
    field, middle = _field_and_middle(patient, placed)
    spacing = round(field / pixels, 4)
    z = np.round(round(float(top), 3) - step * np.arange(slices), 3)
    x, y = (round(float(m) - spacing * (pixels - 1) / 2, 3) + spacing * np.arange(pixels) for m in middle)
    return Grid(x.astype(np.float32), y.astype(np.float32), z.astype(np.float32), spacing, step)


def _field_and_middle(patient: Patient, placed: dict[str, Frame]) -> tuple[float, Matrix]:
    """Edge of the image and its middle (x, y), mm."""
    cervical = {name: bone for name, bone in vertebrae().items() if 1 <= bone.label <= 7}
    boxes = np.array([bounds_of(bone, placed[name]) for name, bone in cervical.items()])[:, :, :2]
    low, high = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)
    field = max(patient.field, float((high - low).max() + 2 * CROP_ROOM) / CROP)
    slack = CROP / 2 * field - CROP_ROOM - (high - low) / 2
    middle = (low + high) / 2 + np.clip(-np.asarray(patient.shift), -slack, slack)
    canal = np.stack([_canal_centre(name, placed[name])[:2] for name in cervical])
    return field, np.clip(middle, canal.max(axis=0) - OFF_CENTRE, canal.min(axis=0) + OFF_CENTRE)


def _canal_centre(name: str, frame: Frame) -> Matrix:
    depth = SIZES[name].depth / 2 + SIZES[name].canal_depth / 2 if name in SIZES else 13.0
    return np.asarray(frame.origin + frame.scale * frame.rotation @ np.array([0.0, depth, 0.0]))


def bounds_of(bone: Bone, frame: Frame) -> tuple[Matrix, Matrix]:
    """Smallest and largest corner of a box around a bone at its place, mm, in patient coordinates."""
    boxes = np.array([turned(frame, *solid.bounds()) for solid in bone.parts])
    return boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)


def turned(frame: Frame, low: npt.ArrayLike, high: npt.ArrayLike) -> tuple[Matrix, Matrix]:
    """The box around a box that is given in a bone's own frame, in patient coordinates."""
    low, high = np.asarray(low), np.asarray(high)
    centre = frame.origin + frame.scale * frame.rotation @ ((low + high) / 2)
    half = frame.scale * np.abs(frame.rotation) @ ((high - low) / 2)
    return centre - half, centre + half

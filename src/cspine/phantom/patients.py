"""One patient in the scanner: size, curve of the neck, pose, field of view; and where each bone is.

Every draw comes from a generator seeded by (seed, study index), so a patient never depends on the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cspine.hashing import seed_of
from cspine.phantom.solids import Array

Matrix = npt.NDArray[np.float64]

#: From each bone's origin up to the next one's along the spine, mm: body heights and discs of about 5 mm.
RISES = {"T1": 19.0, "C7": 17.6, "C6": 16.8, "C5": 16.4, "C4": 16.4, "C3": 21.2, "C2": 20.6}
ABOVE_C1 = 12.0  # from the atlas' origin to its upper end, mm
BELOW_C7 = 16.0  # from C7's origin down to the tip of its spinous process and its lower end, mm


@dataclass(frozen=True)
class Patient:
    """Sizes in mm, angles in degrees."""

    scale: float  # of all bones against the adult mean
    lordosis: float  # angle between C7 and C2; 0 = straight neck
    pitch: float  # nodding
    tilt: float  # leaning to one side
    twist: float  # turning the head, at C1; none at T1
    shift: tuple[float, float]  # of the spine from the middle of the image, to the left and to the back
    fat: float  # thickness of the fat under the skin
    girth: float  # of the soft tissue against the adult mean
    field: float  # of view: edge of the image
    above: float  # scanned above C1
    below: float  # scanned below C7
    cortical: float  # HU of dense bone
    trabecular: float  # HU of the bone within


def draw_patient(seed: int, index: int) -> Patient:
    """The patient of study ``index``.

    ASSUME: uniform ranges that cover adults lying supine in a collar; bone of 1000-1400 HU outside and
    200-350 HU inside, as textbooks give for cortical and cervical trabecular bone.
    """
    rng = np.random.default_rng(seed_of("phantom", "patient", seed, index))
    scale = rng.uniform(0.92, 1.08)
    return Patient(
        scale=scale,
        lordosis=rng.uniform(0, 26),
        pitch=rng.uniform(-6, 6),
        tilt=rng.uniform(-5, 5),
        twist=rng.uniform(-9, 9),
        shift=(rng.uniform(-7, 7), rng.uniform(-7, 7)),
        fat=rng.uniform(3, 9),
        girth=scale * rng.uniform(0.94, 1.12),
        field=rng.uniform(130, 160),
        above=rng.uniform(3, 11),
        below=rng.uniform(3, 11),
        cortical=rng.uniform(1000, 1400),
        trabecular=rng.uniform(200, 350),
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
    """The frame of every bone in patient coordinates; the origin of C4 is at (0, 0, 0) before the shift."""
    names = list(RISES)  # T1 ... C2
    heights = np.concatenate([[0.0], np.cumsum(list(RISES.values()))]) * patient.scale  # T1 ... C1
    middle = heights[names.index("C4")]
    reach = heights[-1] - heights[1]
    # above 0: leans back going up
    bend = np.radians(patient.lordosis * (heights - middle) / reach + patient.pitch)
    lean = np.radians(patient.tilt) * np.ones_like(heights)
    turn = np.radians(patient.twist) * heights / heights[-1]
    origins = _walk(heights, bend, lean)
    origins += np.array([*patient.shift, 0.0]) - origins[names.index("C4")]
    placed = {
        name: Frame(origins[i], _rotation(bend[i], lean[i], turn[i]), patient.scale)
        for i, name in enumerate([*names, "C1"])
    }
    return placed | {"occiput": placed["C1"], "ribs": placed["T1"]}


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


def make_grid(patient: Patient, placed: dict[str, Frame], pixels: int, slices: int) -> Grid:
    """Voxel centres from ``above`` over C1 to ``below`` under C7, in numbers a DICOM header holds exactly."""
    top = placed["C1"].origin[2] + ABOVE_C1 * patient.scale + patient.above
    bottom = placed["C7"].origin[2] - BELOW_C7 * patient.scale - patient.below
    step = round((top - bottom) / (slices - 1), 3)
    spacing = round(patient.field / pixels, 4)
    z = np.round(round(float(top), 3) - step * np.arange(slices), 3)
    first = round(-spacing * (pixels - 1) / 2, 4)
    x = (first + spacing * np.arange(pixels)).astype(np.float32)
    behind = np.float32(6.0)  # ASSUME: the field is centred a little behind the vertebral bodies
    return Grid(x, x + behind, z.astype(np.float32), spacing, step)

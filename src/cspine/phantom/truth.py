"""What is really in the slices of a study, and the part a radiologist would have drawn: the boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cspine.hashing import seed_of
from cspine.phantom.plans import PhantomConfig, StudyPlan
from cspine.phantom.rendering import Rendered

#: Room left around the clefts, mm: drawn once per study for the width and for the height, and a little more or less
#: at each side of each box. ASSUME: gives boxes of 10-60 mm as the real ones have (median 89 x 70 px of 512).
ROOM = (2.0, 10.0)
UNSTEADY = 1.5
LONGEST_GAP = 3  # slices left out inside a run of fractured ones (ASSUME)
MIXED_SLICES = 2  # at the foot end of a study of mixed sizes
MIXED_MARGIN = 16  # their edge is cut by one part in this many of the matrix, on each side
NO_BOX = (-1.0, -1.0, -1.0, -1.0)

#: x, y, width, height in pixels; x, y is the smallest-index corner
BoxTuple = tuple[float, float, float, float]


@dataclass(frozen=True)
class SliceTruth:
    """One slice that has a file. Numbers are the file's own; ``z_index`` counts the files from the head."""

    slice_number: int
    z_index: int
    plane: int  # its index in the rendered arrays: z_index, and one more below a missing file
    margin: int  # pixels that the file leaves out at each edge
    position: float  # ImagePositionPatient[2], mm, growing towards the head
    present: tuple[int, ...]  # C1..C7 has a voxel here
    fractured: tuple[int, ...]  # C1..C7 has a visible cleft here
    box: BoxTuple  # around all visible clefts, or NO_BOX


def slice_truths(plan: StudyPlan, rendered: Rendered, config: PhantomConfig) -> list[SliceTruth]:
    """The truth about every slice that has a file, in the order of the file numbers."""
    rng = np.random.default_rng(seed_of("phantom", "boxes", config.seed, plan.index))
    room = rng.uniform(*ROOM, 2)
    present, fractured = rendered.present(), rendered.fractured()
    numbers = slice_numbers(plan)
    margin = plan.pixels // MIXED_MARGIN
    without_file = _missing_plane(fractured, rng) if plan.missing_file else None
    truths: list[SliceTruth] = []
    for plane, number in enumerate(numbers):
        sides = (np.tile(room, 2) + rng.uniform(-UNSTEADY, UNSTEADY, 4)) / rendered.grid.spacing
        if plane == without_file:
            continue
        seen = np.flatnonzero(fractured[plane]) + 1
        truth = SliceTruth(
            slice_number=number,
            z_index=len(truths),
            plane=plane,
            margin=margin if plan.mixed_sizes and plane >= plan.slices - MIXED_SLICES else 0,
            position=round(float(rendered.grid.z[plane]), 3),
            present=tuple(int(v) for v in present[plane]),
            fractured=tuple(int(v) for v in fractured[plane]),
            box=enclosing_box(np.isin(rendered.clefts[plane], seen), sides) if len(seen) else NO_BOX,
        )
        truths.append(truth)
    return sorted(truths, key=lambda t: t.slice_number)


def _missing_plane(fractured: npt.NDArray[np.bool_], rng: np.random.Generator) -> int:
    """A plane that is neither first nor last, and shows no fracture if there is such a one."""
    inner = np.arange(1, len(fractured) - 1)
    unbroken = inner[~fractured[inner].any(axis=1)]
    return int(rng.choice(unbroken if len(unbroken) else inner))


def slice_numbers(plan: StudyPlan) -> list[int]:
    """File number of every plane from the head to the feet: rising, or falling in a reversed study."""
    numbers = range(plan.first_number, plan.first_number + plan.slices)
    return list(reversed(numbers)) if plan.reversed else list(numbers)


def enclosing_box(marked: npt.NDArray[np.bool_], sides: npt.NDArray[np.float64]) -> BoxTuple:
    """The box around the marked pixels with room (left, top, right, bottom; px), cut to the image."""
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    left, top = max(columns[0] - sides[0], 0.0), max(rows[0] - sides[1], 0.0)
    right = min(columns[-1] + 1 + sides[2], marked.shape[1])
    bottom = min(rows[-1] + 1 + sides[3], marked.shape[0])
    x, y, width, height = (float(np.round(v, 4)) for v in (left, top, right - left, bottom - top))
    return x, y, width, height


def published_boxes(plan: StudyPlan, truths: list[SliceTruth], config: PhantomConfig) -> list[SliceTruth]:
    """The slices whose box is published: all or none, less some inside a run where the plan wants a gap and none is."""
    if not plan.boxed:
        return []
    boxed = [t for t in truths if any(t.fractured)]
    unbroken = runs([t.slice_number for t in boxed])
    left_out: set[int] = set()
    if plan.box_gap and len(unbroken) == 1:
        rng = np.random.default_rng(seed_of("phantom", "box gap", config.seed, plan.index))
        inner = unbroken[0][1:-1]
        length = int(rng.integers(1, LONGEST_GAP + 1))
        start = int(rng.integers(0, max(len(inner) - length, 0) + 1))
        left_out = set(inner[start : start + length])
    return [t for t in boxed if t.slice_number not in left_out]


def runs(numbers: list[int]) -> list[list[int]]:
    """Rising ``numbers`` cut where one is left out."""
    cuts = np.flatnonzero(np.diff(numbers) > 1) + 1
    return [[int(n) for n in part] for part in np.split(np.asarray(numbers), cuts)]

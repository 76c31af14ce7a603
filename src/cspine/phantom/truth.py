"""What is really in the slices of a study, and the part a radiologist would have drawn: the boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cspine.hashing import seed_of
from cspine.phantom.plans import PhantomConfig, StudyPlan
from cspine.phantom.rendering import Rendered

#: Room left around the clefts, mm: drawn once per study, and a little more or less at each side of each box.
#: ASSUME: gives boxes of 20-40 mm as the real ones have (median 89 x 70 px of 512).
ROOM = (4.0, 9.0)
UNSTEADY = 1.5
NO_BOX = (-1.0, -1.0, -1.0, -1.0)

#: x, y, width, height in pixels; x, y is the smallest-index corner
BoxTuple = tuple[float, float, float, float]


@dataclass(frozen=True)
class SliceTruth:
    """One slice. Numbers are the file's own; ``z_index`` counts from the head."""

    slice_number: int
    z_index: int
    position: float  # ImagePositionPatient[2], mm, growing towards the head
    present: tuple[int, ...]  # C1..C7 has a voxel here
    fractured: tuple[int, ...]  # C1..C7 has a visible cleft here
    box: BoxTuple  # around all visible clefts, or NO_BOX


def slice_truths(plan: StudyPlan, rendered: Rendered, config: PhantomConfig) -> list[SliceTruth]:
    """The truth about every slice, in the order of the file numbers."""
    rng = np.random.default_rng(seed_of("phantom", "boxes", config.seed, plan.index))
    room = rng.uniform(*ROOM)
    present, fractured = rendered.present(), rendered.fractured()
    truths = []
    for z_index, number in enumerate(slice_numbers(plan)):
        sides = (room + rng.uniform(-UNSTEADY, UNSTEADY, 4)) / rendered.grid.spacing
        seen = np.flatnonzero(fractured[z_index]) + 1
        clefts = np.isin(rendered.clefts[z_index], seen)
        truths.append(
            SliceTruth(
                number,
                z_index,
                round(float(rendered.grid.z[z_index]), 3),
                tuple(int(v) for v in present[z_index]),
                tuple(int(v) for v in fractured[z_index]),
                enclosing_box(clefts, sides) if len(seen) else NO_BOX,
            )
        )
    return sorted(truths, key=lambda t: t.slice_number)


def slice_numbers(plan: StudyPlan) -> list[int]:
    """File numbers from the head to the feet: rising, or falling in a reversed study."""
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


def published_boxes(plan: StudyPlan, truths: list[SliceTruth]) -> list[SliceTruth]:
    """The slices whose box is published: all or none, less one inside a run where the plan wants a gap."""
    if not plan.boxed:
        return []
    boxed = [t for t in truths if any(t.fractured)]
    numbers = {t.slice_number for t in boxed}
    inner = [t.slice_number for t in boxed if {t.slice_number - 1, t.slice_number + 1} <= numbers]
    left_out = inner[len(inner) // 2] if plan.box_gap and inner else None
    return [t for t in boxed if t.slice_number != left_out]

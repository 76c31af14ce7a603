"""The ways in which a mask may be laid over its study, and which of them is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cspine.masks.bone import BoneMap, Fit, fit, in_place
from cspine.masks.nifti import Floats, StoredMask
from cspine.masks.orientation import (
    RULE,
    Orientation,
    by_header,
    every,
    positions_by_header,
    spacing_by_header,
    trend_of_levels,
)
from cspine.masks.stack import Labels, Stack, place_on_slices, resampled

#: Header and rule are believed where no other way fits bone better by more than this: a neck in the very middle of the
#: image looks alike from left and right.
AS_GOOD = 0.03


@dataclass(frozen=True)
class Reading:
    """One way to lay a mask over a stack.

    Attributes:
        name: header | rule | bone (any other way).
        orientation: how it is turned.
        planes: the mask, turned; (planes, rows, columns).
        plane_of: (slices,) the plane each shows, -1 = none.
        spacing: (2,) mm, of its rows and of its columns.
    """

    name: str
    orientation: Orientation
    planes: Labels
    plane_of: NDArray[np.int64]
    spacing: Floats

    def labels_at(self, z: int, stack: Stack) -> Labels:
        """The labels of slice ``z``, which a plane shows."""
        return resampled(self.planes[self.plane_of[z]], self.spacing, stack.sizes[z], stack.spacing[z])


class Readings:
    """The ways that shape, number of planes and order of the levels allow: header, rule, all others.

    A header that is wrong about the place may still be right about the turn; it then comes after the rule.
    """

    def __init__(self, stored: StoredMask, stack: Stack) -> None:
        self.stored, self.stack = stored, stack
        self.trend = trend_of_levels(stored)
        self.header = by_header(stored.affine) if stored.affine is not None else None
        self.objection = self._objection()
        named = [("header", self.header), ("rule", RULE)]
        others = [("bone", o) for o in every() if o not in (self.header, RULE)]
        ways = [*(reversed(named) if self.objection else named), *others]
        found = (self._reading(name, orientation) for name, orientation in ways if orientation is not None)
        self.possible = [reading for reading in found if reading is not None]

    def _rises(self, orientation: Orientation) -> bool:
        """Whether C1, C2, ... can follow each other from head to feet."""
        return self.trend[orientation.axes[0]] * (-1 if orientation.reversed[0] else 1) >= 0

    def _objection(self) -> str:
        """Why the mask cannot lie where its header says; "" where it can, or where the header says nothing."""
        if self.header is None or self.stored.affine is None:
            return ""
        if not self._rises(self.header):
            return "by it the levels run from the feet to the head"
        count, *size = self.header.turn(self.stored.labels).shape
        positions = positions_by_header(self.stored.affine, self.header, count)
        spacing = np.array(spacing_by_header(self.stored.affine, self.header))
        return self.stack.objection(positions, spacing, (size[0], size[1]))

    def _reading(self, name: str, orientation: Orientation) -> Reading | None:
        """One way, or None where the mask cannot lie so."""
        if not self._rises(orientation):
            return None
        planes = orientation.turn(self.stored.labels)
        size = planes.shape[1], planes.shape[2]
        positions, spacing = None, self.stack.spacing_of(size)
        if self.stored.affine is not None and not self.objection and self._along_header(orientation):
            positions = positions_by_header(self.stored.affine, orientation, len(planes))
            spacing = np.array(spacing_by_header(self.stored.affine, orientation))
        plane_of = place_on_slices(len(planes), positions, self.stack.positions)
        if spacing is None or not (plane_of >= 0).any():
            return None
        return Reading(name, orientation, planes, plane_of, spacing)

    def _along_header(self, orientation: Orientation) -> bool:
        """Whether the planes are the header's, in its order."""
        other = self.header
        return other is not None and (orientation.axes[0], orientation.reversed[0]) == (
            other.axes[0],
            other.reversed[0],
        )


@dataclass(frozen=True)
class Choice:
    """The right reading, or None; the fit of it (else the best fit there is); what there is to say."""

    reading: Reading | None
    fit: Fit
    remarks: list[tuple[str, str]]


def choose(readings: Readings, maps: Sequence[BoneMap]) -> Choice:
    """The first way that lies on bone and that no other way outdoes; without ``maps``, the first."""
    nothing = Fit(float("nan"), float("nan"))
    stack = readings.stack
    fits = [(r, fit(maps, partial(_labelled, r, stack))) for r in readings.possible]
    seen = [(r, f) for r, f in fits if not np.isnan(f.share)]
    if not fits:
        return Choice(None, nothing, [])
    if not seen:
        detail = "no slice with labels could be compared"
        return Choice(fits[0][0], nothing, [("mask-unproved", detail), *_about(fits[0][0], readings, "")])
    best = max(f.contrast for _, f in seen)
    shares = ", ".join(f"{f.share:.0%} by the {r.name}" for r, f in seen if r.name != "bone")
    for reading, its in seen:
        if its.contrast >= best - AS_GOOD and in_place(maps, partial(_labelled, reading, stack)):
            return Choice(reading, its, _about(reading, readings, shares))
    closest = max(seen, key=lambda pair: pair[1].contrast)[1]
    detail = f"{shares or 'neither header nor rule is possible'}; {closest.share:.0%} in the best of {len(seen)} ways"
    return Choice(None, closest, [("mask-off-bone", f"labelled voxels on bone: {detail}")])


def _about(chosen: Reading, readings: Readings, shares: str) -> list[tuple[str, str]]:
    """What there is to say about the way that was chosen."""
    on_bone = f"labelled voxels on bone: {shares}" if shares else "not compared with bone"
    if chosen.name == "bone":
        other, name = (readings.header, "header") if readings.header else (RULE, "rule")
        found = f"lies on bone when turned as by the {name} with {chosen.orientation.difference(other)}"
        return [("mask-turned", f"{found}; {on_bone}")]
    if readings.header is None or (chosen.name == "header" and not readings.objection):
        return []
    return [("mask-header-wrong", readings.objection or on_bone)]


def _labelled(reading: Reading, stack: Stack, of_slice: BoneMap) -> NDArray[np.bool_]:
    """Where ``reading`` has labels in a slice."""
    if reading.plane_of[of_slice.z_index] < 0:
        return np.zeros(of_slice.bone.shape, np.bool_)
    return reading.labels_at(of_slice.z_index, stack) > 0

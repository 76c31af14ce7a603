"""The slices of a study as a mask sees them: where they lie, how large they are, which plane of a mask each shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cspine.dicom import Study
from cspine.masks.nifti import Floats

SAME = 0.05  # two fields of view closer than this share are one
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Stack:
    """The slices that a mask is laid over.

    Attributes:
        positions: (slices,) mm along the normal, falling.
        sizes: (slices, 2) rows and columns.
        spacing: (slices, 2) mm, of rows and of columns.
    """

    positions: Floats
    sizes: NDArray[np.int64]
    spacing: Floats

    @classmethod
    def of_study(cls, study: Study) -> Stack:
        """Of a study as read."""
        sizes = np.array([image.shape for image in study.hounsfield], np.int64).reshape(-1, 2)
        return cls(study.positions.astype(np.float64), sizes, study.spacing.astype(np.float64))

    @cached_property
    def gap(self) -> float:
        """Median distance of neighbouring slices, mm; 0 of a single slice."""
        return float(np.median(np.abs(np.diff(self.positions)))) if len(self.positions) > 1 else 0.0

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns of most slices."""
        kinds, counts = np.unique(self.sizes, axis=0, return_counts=True)
        rows, columns = kinds[counts.argmax()]
        return int(rows), int(columns)

    @cached_property
    def field(self) -> Floats:
        """(2,) height and width that most slices show, mm."""
        return np.asarray(np.median(self.sizes * self.spacing, axis=0), np.float64)

    def spacing_of(self, size: tuple[int, int]) -> Floats | None:
        """(2,) spacing of an image of ``size`` that shows the same field; None where it cannot, by its shape."""
        spacing = self.field / np.array(size)
        own = self.field / np.array(self.size)
        ratio = (spacing[0] / spacing[1]) / (own[0] / own[1])
        return np.asarray(spacing) if abs(ratio - 1) <= SAME else None

    def objection(self, planes: Floats, spacing: Floats, size: tuple[int, int]) -> str:
        """Why a mask cannot lie where its header says; "" where it can.

        Args:
            planes: positions of its planes, mm, falling.
            spacing: (2,) of its rows and columns, mm.
            size: its rows and columns.
        """
        field = spacing * np.array(size)
        if (np.abs(field / self.field - 1) > SAME).any():
            return "its planes are {:.0f} x {:.0f} mm, the slices {:.0f} x {:.0f} mm".format(*field, *self.field)
        if len(planes) == len(self.positions):
            apart = float(np.median(np.abs(planes - self.positions)))
            return f"its planes lie {apart:.0f} mm from the slices" if apart > max(self.gap / 2, 0.1) else ""
        inner, outer = sorted((planes, self.positions), key=lambda p: p[0] - p[-1])
        room = max(self.gap, np.abs(np.diff(planes)).max(initial=0))
        out = max(inner[0] - outer[0], outer[-1] - inner[-1])
        return f"it reaches {out:.0f} mm beyond the slices or they beyond it" if out > room else ""


def place_on_slices(count: int, planes: Floats | None, positions: Floats) -> NDArray[np.int64]:
    """The plane that each slice shows, -1 where none does.

    As many planes as slices belong together one by one; otherwise, by the nearest position within half a plane's
    distance (``planes``: mm, falling, as ``positions``; None = not known).
    """
    if count == len(positions):
        return np.arange(count)
    if planes is None or count < 2:
        return np.full(len(positions), -1)
    gaps = np.abs(positions[:, None] - planes[None, :])
    reach = abs(float(np.median(np.diff(planes)))) / 2
    return np.where(gaps.min(axis=1) <= reach, gaps.argmin(axis=1), -1)


def resampled(plane: Labels, spacing: Floats, size: NDArray[np.int64], wanted: Floats) -> Labels:
    """``plane`` (rows, columns; ``spacing`` mm) at the pixels of a slice of ``size`` and ``wanted`` spacing.

    The nearest label, 0 outside the plane. ASSUME: both have the same middle.
    """
    if plane.shape == tuple(size) and np.allclose(spacing, wanted, rtol=0.01):
        return plane
    at, inside = [], []
    for axis in range(2):
        middle = np.arange(size[axis]) - (size[axis] - 1) / 2
        index = np.floor(middle * wanted[axis] / spacing[axis] + plane.shape[axis] / 2).astype(np.int64)
        inside.append((index >= 0) & (index < plane.shape[axis]))
        at.append(np.clip(index, 0, plane.shape[axis] - 1))
    return np.asarray(np.where(np.outer(*inside), plane[np.ix_(*at)], 0), np.uint8)

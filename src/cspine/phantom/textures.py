"""Smooth random fields, and fields worked out at coarse points and read at fine ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cspine.phantom.solids import Array


def smooth_field(extent: Sequence[Array], grain: tuple[float, float, float], rng: np.random.Generator) -> Array:
    """A random field of about unit variance on the grid of ``extent`` (coordinates along each axis, mm).

    ``grain`` is the distance (mm) of the normal values it is drawn from along each axis.
    """
    counts = [2 + int(abs(float(axis[-1] - axis[0])) / g) for axis, g in zip(extent, grain, strict=True)]
    knots = rng.standard_normal(counts, dtype=np.float32)
    places = [np.abs(axis - axis[0]) / g for axis, g in zip(extent, grain, strict=True)]
    # linear interpolation between independent values has on average (2/3)^3 of their variance
    return np.asarray(resample(knots, places) * np.float32(1.5**1.5), np.float32)


def resample(field: Array, places: Sequence[npt.NDArray[np.floating]]) -> Array:
    """``field`` read by linear interpolation at fractional indices along each of its three axes."""
    for axis in (0, 2, 1):  # rows last: they are copied whole
        place = np.clip(places[axis], 0, field.shape[axis] - 1)
        low = np.minimum(place.astype(int), max(field.shape[axis] - 2, 0))
        high = np.minimum(low + 1, field.shape[axis] - 1)
        share = [1, 1, 1]
        share[axis] = -1
        part = (place - low).astype(np.float32).reshape(share)
        first = np.take(field, low, axis=axis)
        second = np.take(field, high, axis=axis)
        second -= first
        second *= part
        second += first
        field = second
    return field

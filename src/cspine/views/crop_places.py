"""Where the cervical spine is in a study, from what a localizer says: the slices, and a square in them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.localization.columns import BOX, SHOWN
from cspine.studies import UID

TYPES = {
    "cohort": "str",
    UID: "str",
    "first_z": "int32",  # inclusive, z_index of the index
    "last_z": "int32",
    "x": "float32",  # middle of the square in shares of the stored slice
    "y": "float32",
    "side": "int32",  # of the square, stored pixels
    "found": "bool",  # False: the localizer shows no vertebra anywhere; the whole stack's middle instead
}
OUTLYING = 0.05  # share of a study's slices whose boxes may reach beyond the study's, on each side: a few are wrong


def crop_places(localization: pd.DataFrame, slices: pd.DataFrame, pixels: int, margin: float) -> pd.DataFrame:
    """A row for every readable study: TYPES, by cohort and study.

    Args:
        localization: ``predicted`` rows of a fold's localization.
        slices: cohort, StudyInstanceUID, z_index, rows, columns of index/slices.parquet.
        pixels: least side of the square.
        margin: share of the spine's box and of its run of slices that is added on each side.
    """
    known = localization[["cohort", UID, "z_index", *SHOWN, *BOX]]
    joined = slices[["cohort", UID, "z_index", "rows", "columns"]].merge(
        known, on=["cohort", UID, "z_index"], how="left", validate="one_to_one"
    )
    joined = joined.sort_values(["cohort", UID, "z_index"])
    rows = [
        {"cohort": cohort, UID: uid, **place_of(own, pixels, margin)}
        for (cohort, uid), own in joined.groupby(["cohort", UID], sort=True)
    ]
    return pd.DataFrame(rows, columns=list(TYPES)).astype(TYPES)


def place_of(study: pd.DataFrame, pixels: int, margin: float) -> dict[str, Any]:
    """Where the crop of one study lies, from its slices in their order."""
    shown = (study[list(SHOWN)].to_numpy(np.float64) > 0).any(axis=1)
    boxes = study[list(BOX)].to_numpy(np.float64)
    seen = shown & np.isfinite(boxes).all(axis=1)
    if not seen.any():
        return {"first_z": 0, "last_z": len(study) - 1, "x": 0.5, "y": 0.5, "side": pixels, "found": False}
    first, last = np.flatnonzero(shown)[[0, -1]]
    more = math.ceil(margin * (last - first + 1))
    x, y, side = _square(boxes[seen], study[["columns", "rows"]].to_numpy(np.float64)[seen], margin)
    return {
        "first_z": max(0, int(first) - more),
        "last_z": min(len(study) - 1, int(last) + more),
        "x": x,
        "y": y,
        "side": max(pixels, min(side, int(study[["rows", "columns"]].to_numpy().max()))),
        "found": True,
    }


def _square(boxes: NDArray[np.float64], sizes: NDArray[np.float64], margin: float) -> tuple[float, float, int]:
    """Middle (x, y in shares) and side (pixels) of a square around all boxes but outlying ones.

    Args:
        boxes: (slices, 4) x0, y0, x1, y1 in shares.
        sizes: (slices, 2) columns and rows.
        margin: added on each side.
    """
    low = np.quantile(boxes[:, :2], OUTLYING, axis=0)
    high = np.quantile(boxes[:, 2:], 1 - OUTLYING, axis=0)
    middle = (low + high) / 2
    reach = np.maximum(boxes[:, 2:] - middle, middle - boxes[:, :2]) * sizes
    side = 2 * float(np.quantile(reach, 1 - OUTLYING, axis=0).max()) * (1 + 2 * margin)
    return float(middle[0]), float(middle[1]), math.ceil(side)

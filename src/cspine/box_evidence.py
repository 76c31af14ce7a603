"""What speaks for each vertebra in a boxed slice: that the slice shows it, how much of it, and how near the box it is.

All of it is the localizer's word, as its table has it (rows ``predicted``: of a study that it has not learnt from).
Columns that a localizer does not give are NaN, and then say nothing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.errors import CspineError
from cspine.studies import PRESENCE, UID, VERTEBRAE

Floats = NDArray[np.float64]

RATIO = [f"ratio_{vertebra}" for vertebra in VERTEBRAE]
MIDDLES = [[f"middle_{vertebra}_{axis}" for vertebra in VERTEBRAE] for axis in "xy"]
SPINE = ["box_x0", "box_y0", "box_x1", "box_y1"]
COLUMNS = [UID, "slice_number", "z_index", *PRESENCE, *RATIO, *SPINE, *MIDDLES[0], *MIDDLES[1]]
CORNERS = ["x0", "y0", "x1", "y1"]

# ASSUME: as the numbers of ``box_levels``; a localizer is seldom quite sure with reason.
LEAST = 0.02  # probability that a slice shows a vertebra of which the localizer sees nothing
NEAR = 0.1  # the same next to one that it sees: at worst it is one level off
EDGE = 0.2  # a fracture in a slice that just touches the vertebra, of one in its largest slice
REACH = 0.25  # from the box to the middle of the vertebra, in sizes of the spine: one standard deviation
FAR = 0.1  # what a box far from the middle still weighs: arches and spinous processes reach far
SPINE_SIZE = 0.3  # of the stored slice, where the localizer gives no box of the spine


def boxes_in_shares(boxes: pd.DataFrame, slices: pd.DataFrame) -> pd.DataFrame:
    """Boxes as shares of their slice's columns and rows: StudyInstanceUID, slice_number, x0, y0, x1, y1.

    Args:
        boxes: the valid boxes (``cspine.boxes.check_boxes``), pixels.
        slices: the training rows of index/slices.parquet.
    """
    key = [UID, "slice_number"]
    sized = boxes.merge(slices[[*key, "rows", "columns"]], on=key, validate="m:1")
    sized = sized.assign(x0=sized["x"], y0=sized["y"], x1=sized["x"] + sized["width"], y1=sized["y"] + sized["height"])
    for axis, size in (("x", "columns"), ("y", "rows")):
        for side in "01":
            sized[f"{axis}{side}"] /= sized[size]
    return sized[[*key, *CORNERS]]


def predicted_rows(localization: pd.DataFrame, wanted: pd.DataFrame) -> pd.DataFrame:
    """The localizer's rows of training slices ``wanted`` (StudyInstanceUID, z_index), in their order.

    Raises:
        CspineError: it has not seen one of them.
    """
    rows = localization[(localization["source"] == "predicted") & (localization["cohort"] == "train")]
    found = wanted.merge(rows, on=[UID, "z_index"], how="left", validate="1:1")
    missing = found[found[PRESENCE[0]].isna()]
    if len(missing):
        raise CspineError(
            f"localization: no row `predicted` for slice {missing['z_index'].iloc[0]} of study "
            f"{missing[UID].iloc[0]} ({len(missing)} of {len(wanted)} slices have none); expected one for every "
            "readable slice: make the localization again from the present index"
        )
    return found


def strengths(rows: pd.DataFrame, boxes: list[Floats]) -> Floats:
    """What speaks for each of C1..C7 in each slice, (slices, 7), above 0.

    Args:
        rows: the localizer's, one per boxed slice.
        boxes: of each of these slices its boxes, (boxes, 4) as CORNERS in shares.
    """
    ratio = rows[RATIO].to_numpy(np.float64)
    larger = EDGE + (1 - EDGE) * np.where(np.isnan(ratio), 1.0, ratio)
    return shown(rows) * larger * nearness(rows, boxes)


def shown(rows: pd.DataFrame) -> Floats:
    """The probability of each vertebra, (slices, 7), as far as the localizer can be believed."""
    presence = rows[list(PRESENCE)].to_numpy(np.float64)
    padded = np.pad(presence, ((0, 0), (1, 1)))
    beside = NEAR * np.maximum(padded[:, :-2], padded[:, 2:])
    return np.maximum(np.maximum(presence, beside), LEAST)


def nearness(rows: pd.DataFrame, boxes: list[Floats]) -> Floats:
    """How well the boxes of a slice fit the middle of each vertebra, (slices, 7): 1 inside a box, FAR at any distance.

    Each vertebra goes by the box nearest to it; 1 where the localizer gives no middle.
    """
    middles = np.stack([rows[columns].to_numpy(np.float64) for columns in MIDDLES], axis=-1)
    sizes = _spine_sizes(rows)
    found = np.ones(middles.shape[:2])
    for at, (corners, middle, size) in enumerate(zip(boxes, middles, sizes, strict=True)):
        outside = np.maximum(corners[:, None, :2] - middle, middle - corners[:, None, 2:]).clip(min=0)
        distance = np.hypot(outside[..., 0], outside[..., 1]).min(axis=0) / size
        found[at] = FAR + (1 - FAR) * np.exp(-0.5 * (distance / REACH) ** 2)
    return np.where(np.isnan(found), 1.0, found)


def _spine_sizes(rows: pd.DataFrame) -> Floats:
    """The size of the spine in each slice, in shares: the side of a square as large as its box."""
    x0, y0, x1, y1 = rows[SPINE].to_numpy(np.float64).T
    size = np.sqrt(np.clip(x1 - x0, 0, None) * np.clip(y1 - y0, 0, None))
    return np.where(np.isnan(size) | (size <= 0), SPINE_SIZE, size)

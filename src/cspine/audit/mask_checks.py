"""Masks that contradict themselves, the labels or the boxes. Pure functions on tables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from cspine.findings import Finding
from cspine.studies import UID, UNKNOWN, VERTEBRAE

BOX_REACH_MM = 5.0  #: ASSUME: a box this far above or below a vertebra still means it

#: reason code -> what is done about it
CONSEQUENCES = {
    "boxes-off-fracture": "the boxed slices are taught as fractured all the same",
    "box-off-fracture": "the boxed slices are taught as fractured all the same",
    "vertebra-without-box": "its slices are taught as not fractured, where no box of another vertebra covers them",
    "mask-lacks-fracture": "label and mask are used as they are",
    "mask-lacks-level": "that vertebra is taught as absent, where presence is taught",
    "mask-incomplete": "the other vertebrae are taught as absent, where presence is taught",
    "mask-level-order": "presence is taught as the mask says",
}


def check_masks(presence: pd.DataFrame, studies: pd.DataFrame) -> Iterator[Finding]:
    """Masks with missing or misplaced vertebrae, or without a fractured one.

    Args:
        presence: labels/presence.parquet: StudyInstanceUID, z_index, C1..C7.
        studies: the training rows of index/studies.parquet.
    """
    fractured = _fractured(studies)
    for uid, rows in presence.groupby(UID, sort=True):
        shown = rows[list(VERTEBRAE)].to_numpy(bool)
        levels = np.flatnonzero(shown.any(axis=0))
        centres = [float(rows["z_index"].to_numpy()[shown[:, level]].mean()) for level in levels]
        yield from _levels_there(str(uid), levels)
        if (np.diff(centres) <= 0).any():
            order = ", ".join(VERTEBRAE[level] for level in levels[np.argsort(centres, kind="stable")])
            yield _finding(str(uid), "mask-level-order", f"from head to feet: {order}")
        absent = [v for v in fractured.get(str(uid), []) if not rows[v].any()]
        if absent:
            yield _finding(str(uid), "mask-lacks-fracture", ", ".join(absent))


def check_boxes_against_masks(
    boxes: pd.DataFrame, presence: pd.DataFrame, slices: pd.DataFrame, studies: pd.DataFrame
) -> Iterator[Finding]:
    """Boxes where the mask shows no fractured vertebra, and fractured vertebrae that no box touches.

    A vertebra whose label is unknown may be the one that a box means.

    Args:
        boxes: the valid boxes (``cspine.boxes.check_boxes``): StudyInstanceUID, slice_number.
        presence: labels/presence.parquet: StudyInstanceUID, slice_number, z_index, C1..C7.
        slices: the training rows of index/slices.parquet: StudyInstanceUID, slice_number, z_index, position.
        studies: the training rows of index/studies.parquet.
    """
    fractured, unknown = _fractured(studies), _labelled(studies, UNKNOWN)
    both = sorted(set(boxes[UID]) & set(presence[UID]) & set(fractured))
    places = slices[slices[UID].isin(both)]
    for uid in both:
        stack = places[places[UID] == uid].set_index("z_index")["position"]
        rows = presence[presence[UID] == uid]
        numbers = boxes.loc[boxes[UID] == uid, "slice_number"].unique()
        boxed = places[(places[UID] == uid) & places["slice_number"].isin(numbers)]
        broken = [v for v in fractured[uid] if rows[v].any()]
        maybe = [*broken, *(v for v in unknown[uid] if rows[v].any())]
        if not maybe or boxed.empty:
            continue  # ``mask-lacks-fracture`` says it, or the boxes were found wrong already
        distance = {
            v: _distance(boxed["position"].to_numpy(), stack[rows.loc[rows[v] == 1, "z_index"]].to_numpy())
            for v in maybe
        }
        off = np.min(list(distance.values()), axis=0) > BOX_REACH_MM
        if off.any():
            where = ", ".join(str(n) for n in sorted(boxed.loc[off, "slice_number"])[:5])
            code = "boxes-off-fracture" if off.all() else "box-off-fracture"
            detail = f"{int(off.sum())} of {len(boxed)} boxed slices, e.g. {where}; {', '.join(maybe)} fractured"
            yield _finding(uid, code, detail)
        untouched = [v for v in broken if (distance[v] > BOX_REACH_MM).all()]
        if untouched and not off.all():
            yield _finding(uid, "vertebra-without-box", ", ".join(untouched))


def _fractured(studies: pd.DataFrame) -> dict[str, list[str]]:
    """By study, the vertebrae that train.csv calls fractured."""
    return _labelled(studies, 1)


def _labelled(studies: pd.DataFrame, label: int) -> dict[str, list[str]]:
    return {str(row[UID]): [v for v in VERTEBRAE if row[v] == label] for row in studies.to_dict("records")}


def _levels_there(uid: str, levels: np.ndarray) -> Iterator[Finding]:
    if not len(levels):
        yield _finding(uid, "mask-incomplete", "no slice shows any of C1 to C7")
        return
    between = sorted(set(range(levels[0], levels[-1] + 1)) - set(levels.tolist()))
    if between:
        yield _finding(uid, "mask-lacks-level", ", ".join(VERTEBRAE[level] for level in between))
    if levels[0] > 0 or levels[-1] < len(VERTEBRAE) - 1:
        yield _finding(uid, "mask-incomplete", f"from {VERTEBRAE[levels[0]]} to {VERTEBRAE[levels[-1]]}")


def _distance(points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """From each of ``points`` to the nearest of ``places``, mm."""
    return np.abs(points[:, None] - places[None, :]).min(axis=1)


def _finding(uid: str, code: str, detail: str) -> Finding:
    return Finding(uid, code, "", detail, CONSEQUENCES[code])

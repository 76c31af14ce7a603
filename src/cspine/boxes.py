"""Bounding boxes around fractures: reading train_bounding_boxes.csv, and which of its rows can be believed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cspine.errors import CspineError
from cspine.findings import Finding
from cspine.raw_folder import CSV_COLUMNS
from cspine.studies import UID

COLUMNS = CSV_COLUMNS["train_bounding_boxes.csv"]
NUMBERS = ("x", "y", "width", "height")  # pixels of the stored image; x, y = the corner of smallest index
BOX_TYPES = {UID: "str", **dict.fromkeys(NUMBERS, "float64"), "slice_number": "int32"}

#: reason code -> what is done about it
CONSEQUENCES = {
    "box-not-a-number": "box left out",
    "box-unknown-study": "boxes left out",
    "box-in-unfractured-study": "boxes left out; the labels of train.csv count",
    "box-in-unreadable-study": "boxes left out",
    "box-without-slice": "box left out",
    "box-without-area": "box left out",
    "box-outside-image": "box left out",
    "box-clipped": "box cut at the image's edge",
    "box-twice": "one of the equal boxes kept",
}


def read_boxes(path: Path) -> pd.DataFrame:
    """The rows of a box CSV: StudyInstanceUID as text, the other columns as numbers (NaN where unreadable)."""
    table = pd.read_csv(path, dtype="str", keep_default_na=False)
    _check_columns(table, str(path))
    table = table[list(COLUMNS)]
    for column in (*NUMBERS, "slice_number"):
        table[column] = pd.to_numeric(table[column], errors="coerce").astype("float64")
    return table


def check_boxes(boxes: pd.DataFrame, slices: pd.DataFrame, studies: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """The boxes that lie in a readable slice of a fractured training study, and what was wrong with the others.

    boxes: as ``read_boxes`` gives them; slices: StudyInstanceUID, slice_number, rows, columns; studies:
    StudyInstanceUID, patient_overall, readable (of both, the train cohort where ``cohort`` is given).
    Returns the columns of ``boxes`` sorted by study and slice_number, and findings, one per box or per study.
    """
    _check_columns(boxes, "boxes")
    slices, studies = (t[t["cohort"] == "train"] if "cohort" in t.columns else t for t in (slices, studies))
    found: list[Finding] = []
    boxes = boxes[list(COLUMNS)]
    numbers = boxes[[*NUMBERS, "slice_number"]].apply(pd.to_numeric, errors="coerce").astype("float64")
    boxes = boxes.assign(**{c: numbers[c] for c in numbers.columns})
    boxes = _leave_out(boxes, ~np.isfinite(numbers).all(axis=1), "box-not-a-number", found)
    boxes = _whole_studies(boxes, studies, found)
    boxes = _leave_out(boxes, boxes.duplicated(), "box-twice", found)
    boxes = _in_slices(boxes, slices, found)
    boxes = boxes.astype(BOX_TYPES)
    return boxes.sort_values([UID, "slice_number", "x", "y"], kind="stable", ignore_index=True), found


def _check_columns(table: pd.DataFrame, name: str) -> None:
    missing = [c for c in COLUMNS if c not in table.columns]
    if missing:
        raise CspineError(f"{name}: no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")


def _whole_studies(boxes: pd.DataFrame, studies: pd.DataFrame, found: list[Finding]) -> pd.DataFrame:
    """Leave out the boxes of studies that cannot have any; one finding per study."""
    overall = studies.set_index(UID)["patient_overall"]
    readable = set(studies.loc[studies["readable"].astype("bool"), UID])
    for uid, count in boxes.groupby(UID).size().items():
        label = overall.get(uid, -1)
        if label == 1 and uid in readable:
            continue
        code = "box-in-unreadable-study" if label == 1 else "box-in-unfractured-study"
        code = "box-unknown-study" if label not in (0, 1) else code
        found.append(Finding(str(uid), code, "", f"{count} boxes", CONSEQUENCES[code]))
        boxes = boxes[boxes[UID] != uid]
    return boxes


def _in_slices(boxes: pd.DataFrame, slices: pd.DataFrame, found: list[Finding]) -> pd.DataFrame:
    """Leave out boxes without a slice, an area, or a part inside the image; cut the others at its edges."""
    sizes = slices.loc[slices["slice_number"] >= 0, [UID, "slice_number", "rows", "columns"]]
    boxes = boxes.merge(sizes, on=[UID, "slice_number"], how="left", validate="many_to_one")
    boxes = _leave_out(boxes, boxes["rows"].isna(), "box-without-slice", found)
    boxes = _leave_out(boxes, (boxes["width"] <= 0) | (boxes["height"] <= 0), "box-without-area", found)
    left, top = boxes["x"].clip(lower=0), boxes["y"].clip(lower=0)
    right, bottom = boxes["x"] + boxes["width"], boxes["y"] + boxes["height"]
    cut = (left > boxes["x"]) | (top > boxes["y"]) | (right > boxes["columns"]) | (bottom > boxes["rows"])
    right, bottom = right.clip(upper=boxes["columns"]), bottom.clip(upper=boxes["rows"])
    inside = pd.DataFrame({"x": left, "y": top, "width": right - left, "height": bottom - top})
    outside = (inside["width"] <= 0) | (inside["height"] <= 0)
    cut &= ~outside
    _tell(boxes[cut], "box-clipped", found)
    boxes = boxes.assign(**{c: inside[c].where(cut | outside, boxes[c]) for c in NUMBERS})
    boxes = _leave_out(boxes, outside, "box-outside-image", found)
    return boxes[list(COLUMNS)]


def _leave_out(boxes: pd.DataFrame, wrong: pd.Series, code: str, found: list[Finding]) -> pd.DataFrame:
    _tell(boxes[wrong], code, found)
    return boxes[~wrong]


def _tell(boxes: pd.DataFrame, code: str, found: list[Finding]) -> None:
    for row in boxes.to_dict("records"):
        detail = ", ".join(f"{c} {row[c]:g}" for c in ("slice_number", *NUMBERS))
        found.append(Finding(str(row[UID]), code, "", detail, CONSEQUENCES[code]))

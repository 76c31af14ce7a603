"""What is drawn over the picture of a slice: boxes, and the outlines of the mask's vertebrae, in places of its view."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.box_evidence import CORNERS, boxes_in_shares
from cspine.cache.codecs import decode
from cspine.localization.columns import LEVELS
from cspine.studies import UID
from cspine.views.places import in_view

SLICE = [UID, "slice_number"]
TURNED = "turned-upright"  #: reason code: boxes mean the stored image, which is shown turned


@dataclass(frozen=True)
class Overlays:
    """What can be drawn over the slices of training studies; of test studies neither boxes nor masks are given.

    Attributes:
        boxes: from ``boxes_in_view``.
        masks: StudyInstanceUID, z_index and mask, as the stage lay_masks writes them.
        turned: studies whose images were turned upright: their boxes mean the stored images and have no place here.
        pixels: side of the view, and so of a mask.
        centre: share of the slice's side that the view shows.
    """

    boxes: pd.DataFrame
    masks: pd.DataFrame
    turned: set[str]
    pixels: int
    centre: float = 1.0

    def over(self, slices: pd.DataFrame) -> pd.DataFrame:
        """Of the slices of one study (``slice_facts``): boxes, [[x0, y0, x1, y1], ...], and outlines, {level: path}.

        Both are JSON, "" where there is nothing to draw. ``boxes_turned``: there are boxes, without a place;
        ``view_mm``: side of what the view shows.
        """
        cohort, uid = slices["cohort"].iloc[0], slices[UID].iloc[0]
        boxes, masks = (table[(table[UID] == uid) & (cohort == "train")] for table in (self.boxes, self.masks))
        turned = uid in self.turned and len(boxes) > 0
        of_slice = {} if turned else {n: rows[CORNERS].round(4) for n, rows in boxes.groupby("slice_number")}
        drawn = {
            z: outlines(decode(blob, self.pixels)) for z, blob in zip(masks["z_index"], masks["mask"], strict=True)
        }
        return pd.DataFrame(
            {
                "boxes": [
                    _json(of_slice[n].to_numpy().tolist()) if n in of_slice else "" for n in slices["slice_number"]
                ],
                "outlines": [_json(drawn[z]) if drawn.get(z) else "" for z in slices["z_index"]],
                "boxes_turned": turned,
                "view_mm": (slices["side_mm"] * self.centre).astype(np.float32),
            },
            index=slices.index,
        )


#: where no pixels are shown, nothing is drawn over them
NO_OVERLAYS = Overlays(
    pd.DataFrame(columns=[*SLICE, *CORNERS]), pd.DataFrame(columns=[UID, "z_index", "mask"]), set(), pixels=0
)


def boxes_in_view(boxes: pd.DataFrame, slices: pd.DataFrame, centre: float) -> pd.DataFrame:
    """Boxes as shares 0..1 of the side of their slice's view: StudyInstanceUID, slice_number, x0, y0, x1, y1.

    A view that shows the middle of a slice only may leave a box out: its shares are then outside 0..1.

    Args:
        boxes: the valid boxes (``cspine.boxes.check_boxes``), pixels of the stored slice.
        slices: the training rows of index/slices.parquet.
        centre: share of the slice's side that the view shows, around its middle.
    """
    shares = boxes_in_shares(boxes, slices).merge(slices[[*SLICE, "rows", "columns"]], on=SLICE, validate="m:1")
    corners = shares[CORNERS].to_numpy(np.float64).reshape(-1, 2, 2)
    sizes = shares[["rows", "columns"]].to_numpy(np.int64)
    shares[CORNERS] = in_view(corners, sizes, centre).reshape(-1, 4) if len(shares) else shares[CORNERS]
    return shares[[*SLICE, *CORNERS]]


def outlines(labels: NDArray[np.uint8]) -> dict[str, str]:
    """The outline of each vertebra that the slice shows: C1..C7, and T for all thoracic levels together.

    Args:
        labels: (pixels, pixels), 0 = no vertebra, 1..7 = C1..C7, 8 = thoracic.
    """
    there = sorted(set(np.unique(labels).tolist()) - {0})
    return {LEVELS[label - 1]: outline(labels == label) for label in there}


def outline(inside: NDArray[np.bool_]) -> str:
    """The border of a region as an SVG path: each edge between a pixel inside it and one that is not, and no other.

    Its places are edges of pixels: the first pixel reaches from 0 to 1.
    """
    padded = np.pad(inside, 1)
    across = (padded[1:] != padded[:-1])[:, 1:-1]  # [y, x]: below row y - 1 and above row y
    along = (padded[:, 1:] != padded[:, :-1])[1:-1]  # [y, x]: right of column x - 1 and left of column x
    lines = [f"M{start} {y}h{end - start}" for y, start, end in _runs(across)]
    return "".join([*lines, *(f"M{x} {start}v{end - start}" for x, start, end in _runs(along.T))])


def _runs(marked: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """(row, start, end) of every run of marked cells of every row."""
    steps = np.diff(np.pad(marked.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    return zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))

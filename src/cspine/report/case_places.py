"""Where in its stored slice a picture of a case lies, and the boxes that are known there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cspine.boxes import NUMBERS
from cspine.prediction.regions import Field
from cspine.report.overlays import TURNED
from cspine.report.study_words import in_index
from cspine.studies import UID
from cspine.vertebrae.placing import CORNERS
from cspine.views.fields import Place

SLICE = ["cohort", UID, "z_index", "slice_number", "rows", "columns"]


@dataclass(frozen=True)
class Places:
    """What is known of the slices of the cases.

    Attributes:
        slices: SLICE of index/slices.parquet.
        boxes: cohort, StudyInstanceUID, slice_number, x, y, width, height (stored pixels).
        turned: studies whose images were turned.
    """

    slices: pd.DataFrame
    boxes: pd.DataFrame
    turned: frozenset[str]

    @classmethod
    def of(
        cls, slices: pd.DataFrame, boxes: pd.DataFrame, findings: pd.DataFrame, truth: pd.DataFrame | None
    ) -> Places:
        """From the tables; ``truth`` (the phantom's slices, -1 without a box) knows the boxes of every study."""
        known = boxes.assign(cohort="train")
        if truth is not None:
            known = truth[truth["width"] > 0]
        named = known[["cohort", UID, "slice_number", *NUMBERS]].dropna()
        return cls(slices[SLICE], named, frozenset(findings.loc[findings["code"] == TURNED, UID]))

    def boxes_in(self, cohort: str, uid: str, z: int, field: Field | None) -> list[float]:
        """The boxes of a slice in shares of the field's side: x0, y0, x1, y1 of the first, of the second ...

        Args:
            cohort: of the case.
            uid: StudyInstanceUID.
            z: of the slice; -1 = none.
            field: the part of the slice that is shown; None = it is not known.
        """
        row = self.slice_at(cohort, uid, z)
        if row is None or field is None or uid in self.turned or row["slice_number"] < 0:
            return []
        found = self.boxes[(self.boxes["cohort"] == in_index(cohort)) & (self.boxes[UID] == uid)]
        found = found[found["slice_number"] == row["slice_number"]].sort_values(list(NUMBERS))
        corners = [(b.x, b.y, b.x + b.width, b.y + b.height) for b in found[list(NUMBERS)].itertuples()]
        starts = (field.left, field.top) * 2
        return [(edge - start) / field.side for box in corners for edge, start in zip(box, starts, strict=True)]

    def slice_at(self, cohort: str, uid: str, z: int) -> dict[str, Any] | None:
        """SLICE of one slice; None where the index has none such."""
        own = self.slices[(self.slices["cohort"] == in_index(cohort)) & (self.slices[UID] == uid)]
        found = own[own["z_index"] == z]
        return {str(name): value for name, value in found.iloc[0].items()} if len(found) else None

    def field_of_slice(self, cohort: str, uid: str, z: int, centre: float) -> Field | None:
        """What a view of whole slices shows of one, which keeps the share ``centre`` of its side."""
        row = self.slice_at(cohort, uid, z)
        return None if row is None else Field.of(int(row["rows"]), int(row["columns"]), centre)

    def field_of_vertebra(
        self, cohort: str, uid: str, z: int, crop: Mapping[Any, Any], vertebra: Mapping[Any, Any], number: int
    ) -> Field | None:
        """What a model of vertebrae is shown of a slice: a square of the crop.

        Args:
            cohort: of the case.
            uid: StudyInstanceUID.
            z: of the slice.
            crop: of the study, a row of results/crops/{view}/fold-{k}.parquet.
            vertebra: its row of vertebrae.parquet.
            number: which of the vertebra's slices it is.
        """
        row = self.slice_at(cohort, uid, z)
        if row is None:
            return None
        place = Place(float(crop["x"]), float(crop["y"]), int(crop["side"]))
        top, left = place.corner(int(row["rows"]), int(row["columns"]))
        x0, y0, x1, _ = (float(vertebra[corner][number]) for corner in CORNERS)
        return Field(left + x0 * place.side, top + y0 * place.side, (x1 - x0) * place.side)

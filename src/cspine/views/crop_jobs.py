"""The studies of a list with the place of their crops: what there is to read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cspine.studies import UID
from cspine.tables import read_table
from cspine.views.crop_rows import CropJob
from cspine.views.fields import Place


class CropPlan:
    """Where the crop of each study lies, and the numbers of its slices.

    Args:
        crops: crops.parquet (stage place_crops).
        slices: index/slices.parquet.
    """

    def __init__(self, crops: Path, slices: Path) -> None:
        places = read_table(crops)
        self._places = {(row["cohort"], row[UID]): row for row in places.to_dict("records")}
        numbers = read_table(slices, ["cohort", UID, "z_index", "slice_number"]).sort_values(["cohort", UID, "z_index"])
        grouped: Mapping[object, pd.Series] = dict(iter(numbers.groupby(["cohort", UID], sort=False)["slice_number"]))
        self._numbers = grouped

    def job(self, cohort: str, folder: Path, files: tuple[tuple[str, int], ...]) -> CropJob | None:
        """What to read of a study; None of one without a readable slice, which ``ingest`` has reported."""
        place = self._places.get((cohort, folder.name))
        if place is None:
            return None
        numbers = self._numbers[cohort, folder.name].to_numpy()[place["first_z"] : place["last_z"] + 1]
        square = Place(float(place["x"]), float(place["y"]), int(place["side"]))
        return CropJob(folder, files, int(place["first_z"]), tuple(numbers.tolist()), square, bool(place["found"]))

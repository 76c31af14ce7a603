"""Where each vertebra of a study is, as rows of vertebrae.parquet: which slices of the crop's cache, which squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.localization.columns import BOX, OWN_BOX, RATIO
from cspine.studies import UID, VERTEBRAE
from cspine.vertebrae.boxes import WHOLE, boxes_in_crop, nearest_known, squared
from cspine.vertebrae.choosing import chosen_slices
from cspine.views.fields import Place

CORNERS = ("x0", "y0", "x1", "y1")
#: columns of vertebrae.parquet; the last five hold a list each, one value for each slice that is looked at
COLUMNS = ("cohort", UID, "vertebra", "found", "slices", "z_indices", *CORNERS)
SIZE = ("rows", "columns")


@dataclass(frozen=True)
class VertebraeConfig:
    """What stands for a vertebra; the ``vertebrae`` block of a method."""

    slices: int  # how many are looked at
    ratio: float  # of the slices that show more than this share of its largest extent
    box: Literal["slice", "vertebra"]  # of all vertebrae in the slice (S1d) | of the vertebra itself (S2)
    margin: float  # around the box, as a share of its longer side


@dataclass(frozen=True)
class Crop:
    """How a study lies in a crop view: a row of results/crops/{view}/fold-{k}.parquet."""

    first_z: int
    last_z: int  # inclusive
    place: Place  # of the square in each slice


def vertebrae_of(slices: pd.DataFrame, crop: Crop, config: VertebraeConfig) -> list[dict[str, Any]]:
    """The seven vertebrae of one study as the columns of ``COLUMNS`` without cohort and study.

    Slices outside the crop are in no cache, and are not looked at. A slice without a box has that of the nearest slice
    with one; a vertebra without any has the box of all vertebrae, a study without any the whole view (ASSUME).

    Args:
        slices: the study's slices, the most cranial first: z_index, rows, columns, and of the localization RATIO, BOX
            and OWN_BOX.
        crop: of the study.
        config: see VertebraeConfig.
    """
    kept = slices[slices["z_index"].between(crop.first_z, crop.last_z)]
    ratios = kept[list(RATIO)].to_numpy(np.float64)
    of_all = kept[list(BOX)].to_numpy(np.float64)
    own = kept[list(OWN_BOX)].to_numpy(np.float64).reshape(len(kept), len(VERTEBRAE), 4)
    sizes, z_indices = kept[list(SIZE)].to_numpy(np.int64), kept["z_index"].to_numpy(np.int64)
    rows: list[dict[str, Any]] = []
    for number, vertebra in enumerate(VERTEBRAE):
        chosen, showing = chosen_slices(ratios[:, number], config.ratio, config.slices)
        choices = [own[:, number], of_all] if config.box == "vertebra" else [of_all]
        squares = _squares(choices, chosen, sizes, crop, config.margin)
        rows.append(
            {"vertebra": vertebra, "found": showing > 0, "slices": showing}
            | {"z_indices": (z_indices[chosen] - crop.first_z).astype(np.int32)}
            | {corner: squares[:, column].astype(np.float32) for column, corner in enumerate(CORNERS)}
        )
    return rows


def _squares(
    choices: list[NDArray[np.float64]], chosen: NDArray[np.int64], sizes: NDArray[np.int64], crop: Crop, margin: float
) -> NDArray[np.float64]:
    """(n, 4) of the ``chosen`` slices, in shares of the view, by the first of ``choices`` that knows a box."""
    for boxes in choices:
        found = nearest_known(boxes_in_crop(boxes, sizes, crop.place), chosen)
        if not np.isnan(found).any():
            return squared(found, margin)
    return np.tile(WHOLE, (len(chosen), 1))

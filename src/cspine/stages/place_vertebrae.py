"""place_vertebrae: which slices stand for each vertebra of every study, and which square of each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cspine.errors import CspineError
from cspine.localization.columns import BOX, OWN_BOX, RATIO
from cspine.progress import say
from cspine.stage import InPath, OutPath
from cspine.studies import UID, VERTEBRAE
from cspine.tables import read_table, write_table
from cspine.vertebrae.placing import COLUMNS, SIZE, Crop, VertebraeConfig, vertebrae_of
from cspine.views.fields import Place

STUDY = ["cohort", UID]
KEY = [*STUDY, "z_index"]
SAID = [*RATIO, *BOX, *OWN_BOX]
PLACE = ["first_z", "last_z", "x", "y", "side"]


@dataclass(frozen=True)
class PlaceVertebraeConfig(VertebraeConfig):
    """What stands for a vertebra, and of which fold."""

    fold: int


def place_vertebrae(
    localization: InPath, crops: InPath, slices: InPath, vertebrae: OutPath, *, config: PlaceVertebraeConfig
) -> None:
    """Place the seven vertebrae of every readable study of both cohorts, by a localizer's predictions alone.

    Args:
        localization: localization/{localizer}/fold-{k}.parquet. Only its rows ``predicted`` are read: what a mask says
            of a study is no news of a study without one.
        crops: crops/{view}/fold-{k}.parquet.
        slices: index/slices.parquet.
        vertebrae: by cohort, study and vertebra: found (bool), slices (int32: that show enough of it), and lists of
            ``config.slices`` values: z_indices (int32, of the crop view's cache) and x0, y0, x1, y1 (float32, shares of
            the view's square, which they may leave).
        config: see PlaceVertebraeConfig.

    Raises:
        CspineError: the localizer says nothing about how much of a vertebra a slice shows, or where; or a study of the
            index has no crop.
    """
    said = read_table(localization, [*KEY, "source", *SAID]).query("source == 'predicted'")
    _check(said, localization, config)
    index = read_table(slices, [*KEY, *SIZE])
    table = index.merge(said.drop(columns="source"), on=KEY, how="left", validate="1:1").sort_values(KEY)
    places = _crops_of(read_table(crops, [*STUDY, *PLACE]))
    rows = []
    for key, of_study in table.groupby(STUDY, sort=True):
        cohort, uid = map(str, key)
        if (cohort, uid) not in places:
            raise CspineError(
                f"{crops}: no row for study {uid} of cohort {cohort}; expected one for every study of {slices}"
            )
        found = vertebrae_of(of_study, places[cohort, uid], config)
        rows += [{"cohort": cohort, UID: uid} | row for row in found]
    placed = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"slices": np.int32, "found": bool})
    write_table(placed, vertebrae)
    say(f"place_vertebrae: fold {config.fold}: {summary_of(placed, config.ratio)}")


def _crops_of(table: pd.DataFrame) -> dict[tuple[str, str], Crop]:
    """(cohort, study) -> how it lies in the crop view."""
    return {
        (row["cohort"], row[UID]): Crop(
            int(row["first_z"]), int(row["last_z"]), Place(float(row["x"]), float(row["y"]), int(row["side"]))
        )
        for row in table.to_dict("records")
    }


def summary_of(placed: pd.DataFrame, ratio: float) -> str:
    """How many studies, and in how many of them which vertebra was not found."""
    studies = len(placed) // len(VERTEBRAE)
    missing = placed.loc[~placed["found"], "vertebra"].value_counts()
    listed = ", ".join(f"{name} {missing[name]}" for name in VERTEBRAE if name in missing) or "none"
    return (
        f"{studies} studies; not found (no slice shows more than {ratio:g} of it, the slices that show most are "
        f"taken): {listed}"
    )


def _check(said: pd.DataFrame, path: InPath, config: PlaceVertebraeConfig) -> None:
    if said[list(RATIO[: len(VERTEBRAE)])].isna().all(axis=None):
        raise CspineError(
            f"{path}: {RATIO[0]}..{RATIO[len(VERTEBRAE) - 1]} are unknown in all rows; expected a localizer that says "
            "how much of a vertebra a slice shows: set labels.localizer to one of the family slice_localizer or "
            "volume_segmenter"
        )
    if config.box == "vertebra" and said[list(OWN_BOX)].isna().all(axis=None):
        raise CspineError(
            f"{path}: {OWN_BOX[0]}..{OWN_BOX[-1]} are unknown in all rows; expected vertebrae.box: slice, or a "
            "localizer that gives each vertebra a box of its own: set labels.localizer to one of the family "
            "volume_segmenter"
        )

"""place_crops: which slices of every study show its cervical spine, and where in them it is."""

from __future__ import annotations

from dataclasses import dataclass

from cspine.errors import CspineError
from cspine.localization.columns import BOX, SHOWN
from cspine.progress import say
from cspine.stage import InPath, OutPath
from cspine.studies import UID
from cspine.tables import read_table, write_table
from cspine.views.crop_places import crop_places

INDEXED = ["cohort", UID, "z_index", "rows", "columns"]


@dataclass(frozen=True)
class PlaceCropsConfig:
    """A view of kind crop."""

    #: its name
    view: str
    #: least side of the square, in the slice's own pixels
    pixels: int
    #: share of the spine's box and of its run of slices that is added on each side
    margin: float

    def __post_init__(self) -> None:
        if self.margin < 0:
            raise CspineError(f"views.{self.view}.margin is {self.margin:g}; a share of 0 or more is needed")


def place_crops(localization: InPath, slices: InPath, crops: OutPath, *, config: PlaceCropsConfig) -> None:
    """Place the crop of every readable study.

    Args:
        localization: of a localizer and a fold (stage localize_slices). Only its ``predicted`` rows are read: a mask of
            a study that the fold holds out, or of the test set, must tell nothing.
        slices: index/slices.parquet.
        crops: ``views.crop_places.TYPES``, by cohort and study: cohort, StudyInstanceUID, first_z and last_z (both
            inside), x and y (middle of the square, shares of the stored slice), side (of the square, stored pixels) and
            found; where nothing was found, the crop is the middle of the whole stack.
        config: see PlaceCropsConfig.
    """
    table = read_table(localization, ["cohort", UID, "z_index", "source", *SHOWN, *BOX])
    placed = crop_places(
        table[table["source"] == "predicted"], read_table(slices, INDEXED), config.pixels, config.margin
    )
    write_table(placed, crops)
    found = placed[placed["found"]]
    larger, kept = (found["side"] > config.pixels).sum(), (placed["last_z"] - placed["first_z"] + 1).sum()
    say(
        f"place_crops: {config.view}: {kept} slices of {len(placed)} studies, {len(placed) - len(found)} without a "
        f"spine, {larger} with one of more than {config.pixels} pixels"
    )

"""The slices of a labelled run and its neighbours as one picture, and the same in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cspine.cache.reading import SliceCache
from cspine.pages import Table, picture
from cspine.studies import UID

LABELLED, PLAIN, DARK = "#ff9600", "#e6e9ec", "#101418"
HEADS = {
    "slice_number": "file",
    "z_index": "slice from the head",
    "probability": "probability",
    "student": "next round's",
    "label": "label",
    "truth": "truth",
}


def slices_around(run: Mapping[Any, Any], slices: int) -> list[int]:
    """The z_index of the slice before the run, its first, likeliest and last, and the one after, if there."""
    wanted = {run["first"] - 1, run["first"], run["peak"], run["last"], run["last"] + 1}
    return sorted(z for z in wanted if 0 <= z < slices)


def run_rows(run: Mapping[Any, Any], cells: pd.DataFrame) -> pd.DataFrame:
    """The slices around a run with what is said of its vertebra.

    Args:
        run: a row of ``doubtful_runs``.
        cells: the study's slices by z_index: slice_number, and for each vertebra and each of ``probability``, ``label``
            and, where there are any, ``student`` and ``truth`` a column ``{what}_{vertebra}``.
    """
    chosen = cells.loc[slices_around(run, len(cells))].reset_index()
    told = {what: f"{what}_{run['vertebra']}" for what in ("probability", "student", "label", "truth")}
    columns = {column: what for what, column in told.items() if column in chosen}
    return chosen[["slice_number", "z_index", *columns]].rename(columns=columns)


def draw_run(run: Mapping[Any, Any], rows: pd.DataFrame, cache: SliceCache) -> str:
    """The slices side by side, the labelled ones named in colour; an embedded PNG."""
    figure = Figure(figsize=(1.75 * len(rows), 1.98), dpi=100, facecolor=DARK, layout="constrained")
    grid = figure.subplots(1, len(rows), squeeze=False)[0]
    images = cache.read(str(run[UID]), rows["z_index"].tolist())
    for axes, image, row in zip(grid, images, rows.to_dict("records"), strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        colour = LABELLED if row["label"] >= 0.5 else PLAIN
        axes.set_title(f"slice {row['z_index']}: {row['probability']:.2f}", fontsize=9, color=colour, pad=3)
        axes.set_axis_off()
    names = ", ".join(f"{row['z_index']} ({row['probability']:.2f})" for row in rows.to_dict("records"))
    return picture(figure, f"Study {run[UID]}, {run['vertebra']}: slices {names}", (LABELLED,))


def run_table(rows: pd.DataFrame) -> Table:
    """The same in numbers."""
    shown = [name for name in HEADS if name in rows]
    cells = [[_cell(name, row[name]) for name in shown] for row in rows.to_dict("records")]
    return Table([HEADS[name] for name in shown], cells)


def _cell(name: str, value: Any) -> Any:
    if name in ("slice_number", "z_index"):
        return int(value)
    if name == "truth":
        return "fractured" if value == 1 else "whole"
    if pd.isna(value):
        return "left out"
    return f"{value:.2f}" if name != "label" or value not in (0, 1) else ("fractured" if value == 1 else "whole")

"""Panels of a figure, and what all of them have: a heading, axes with a name and a unit, a legend below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import offset_copy

from cspine.bootstrap import Floats
from cspine.palette import LINE
from cspine.report.drawn import Form

COHORTS = {"heldout": "held-out", "test": "test", "submission": "submitted test", "unseen": "unseen"}
#: levels of an answer, as in the tables of errors
LEVELS = {"patient": "patient", "vertebra": "vertebra, C1 to C7 pooled", **{f"C{i}": f"C{i}" for i in range(1, 8)}}
BAND = 0.16  # how opaque an interval is
BELOW = 38  # points from an axis to its legend: ticks and name lie between


def cohorts_of(table: pd.DataFrame) -> list[str]:
    """Those of a table, in the order of COHORTS."""
    there = set(table["cohort"]) if len(table) else set()
    return [cohort for cohort in COHORTS if cohort in there]


def panels(form: Form, count: int, height: float, columns: int = 2, **shared: Any) -> tuple[Figure, list[Axes]]:
    """``count`` panels of ``height`` inches, in ``columns``, one below the other in the narrow form."""
    beside = 1 if form.narrow else min(columns, count)
    rows = -(-count // beside)
    figure = Figure(figsize=(form.width, rows * height), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.08, w_pad=0.1)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(rows, beside, squeeze=False, **shared).ravel()
    for spare in grid[count:]:
        spare.remove()
    return figure, list(grid[:count])


def head(axes: Axes, heading: str, x: str, y: str) -> None:
    """Name a panel and its axes."""
    axes.set_title(heading)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def legend_below(axes: Axes, columns: int = 1) -> None:
    """Where it hides nothing: below the name of the x axis."""
    below = offset_copy(axes.transAxes, fig=axes.figure, y=-BELOW, units="points")  # type: ignore[arg-type]
    axes.legend(
        loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=below, ncols=columns, borderaxespad=0, handlelength=1.6
    )


def unit_square(axes: Axes) -> None:
    """Both axes from 0 to 1, and the page's lines behind."""
    axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
    axes.set_xticks(np.arange(0, 1.01, 0.25), ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks(np.arange(0, 1.01, 0.25), ["0", "0.25", "0.5", "0.75", "1"])
    axes.grid(color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def band(axes: Axes, x: Floats, low: Floats, high: Floats, colour: str, step: str | None = None) -> None:
    """An interval along x."""
    axes.fill_between(x, low, high, color=colour, alpha=BAND, linewidth=0, step=step)  # type: ignore[arg-type]


def with_interval(value: float, low: float, high: float, digits: int = 2, sign: str = "") -> str:
    """``0.75 [0.63, 0.87]``; a figure that nothing is known of is a dash."""
    if np.isnan(value):
        return "\N{EN DASH}"
    shown = [f"{part:{sign}.{digits}f}".replace("-", "\N{MINUS SIGN}") for part in (value, low, high)]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def spoken(parts: Sequence[str]) -> str:
    """Parts of a description, as sentences."""
    return ". ".join(part for part in parts if part) + "."

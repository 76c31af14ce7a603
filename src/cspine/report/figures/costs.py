"""What a run took: seconds and memory of each stage."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cspine.palette import FIRST, LINE, SECOND
from cspine.report.drawn import SMALL, About, Drawn, Form, draw, in_words
from cspine.report.panels import panels, spoken

NAME, TITLE = "costs", "Time and memory of each stage"
MOST = 14  #: stages with a row of their own; the others are one row
ROW, AROUND = 0.27, 1.0  # inches


def costs(costs: pd.DataFrame, about: About) -> Drawn:
    """Seconds (all results of a stage added up) and peak memory (the largest of them) by stage, the longest first.

    Args:
        costs: a row for each result: stage, at, seconds, cpu_seconds, peak_mb, device; NaN where no record tells.
        about: for the caption.
    """
    known = costs.dropna(subset=["seconds"]) if len(costs) else costs
    if known.empty:
        return in_words(NAME, TITLE, "no record tells what the stages took")
    table = by_stage(known)

    def figure(form: Form) -> Figure:
        page, grid = panels(form, 2, len(table) * ROW + AROUND)
        names = [f"{stage} ({row['results']:.0f})" for stage, row in table.iterrows()]
        _bars(grid[0], table["seconds"], names, FIRST, "wall time, s")
        _bars(grid[1], table["peak_mb"], names if form.narrow else [""] * len(names), SECOND, "peak memory, MB")
        return page

    devices = ", ".join(sorted(set(known["device"].dropna()) - {""}))
    caption = (
        f"Wall time of all results of a stage added up, {known['seconds'].sum():,.0f} s in all, and the most memory "
        "that one of them held on the host, not the GPU. In brackets: results. Stages run side by side, so a run takes "
        f"less than the sum; a result that was there already is counted as when it was made. Computed on: "
        f"{devices or 'not recorded'}.{' Data: the phantom.' if about.phantom else ''}"
    )
    told = [f"{stage}: {row['seconds']:,.1f} s, {row['peak_mb']:,.0f} MB" for stage, row in table.iterrows()]
    return draw(NAME, TITLE, caption, spoken(["; ".join(told)]), figure)


def by_stage(costs: pd.DataFrame) -> pd.DataFrame:
    """results, seconds and peak_mb by stage, the longest first, those beyond MOST as one row."""
    table = costs.groupby("stage").agg(
        results=("seconds", "size"), seconds=("seconds", "sum"), peak_mb=("peak_mb", "max")
    )
    table = table.sort_values(["seconds"], ascending=False, kind="stable")
    if len(table) <= MOST + 1:
        return table
    rest = table.iloc[MOST:]
    others = pd.DataFrame(
        {"results": rest["results"].sum(), "seconds": rest["seconds"].sum(), "peak_mb": rest["peak_mb"].max()},
        index=[f"{len(rest)} other stages"],
    )
    return pd.concat([table.iloc[:MOST], others])


def _bars(axes: Axes, values: pd.Series, names: list[str], colour: str, label: str) -> None:
    places, lengths = np.arange(len(values)), values.to_numpy(np.float64)
    axes.barh(places, np.nan_to_num(lengths), height=0.62, color=colour)
    for place, value in zip(places, lengths, strict=True):
        words = "not recorded" if np.isnan(value) else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
        axes.annotate(
            words, (np.nan_to_num(value), place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=SMALL
        )
    axes.set_yticks(places, labels=names)
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.set_xlim(0, max(float(np.nanmax([*lengths, 0.1])) * 1.18, 0.1))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.set_xlabel(label)

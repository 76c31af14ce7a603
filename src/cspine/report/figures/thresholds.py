"""Accuracy and F1 against the threshold, with what calling nothing fractured would reach."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cspine.palette import FIRST, INK, LINE, SECOND, SOFT
from cspine.report.drawn import About, Drawn, Form, draw, in_words
from cspine.report.panels import COHORTS, band, cohorts_of, head, panels, spoken
from cspine.report.tables import row_of

NAME, TITLE = "thresholds", "Accuracy and F1 against the threshold"
SAID = (0.1, 0.3, 0.5, 0.7, 0.9)  # thresholds of the description
SHOWN = ("patient", "vertebra", "slice")  #: the levels that have a threshold of their own


def thresholds(thresholds: pd.DataFrame, points: pd.DataFrame, confusion: pd.DataFrame, about: About) -> Drawn:
    """Accuracy, F1 and the accuracy of calling nothing fractured, a panel for each cohort and level.

    Args:
        thresholds: errors/thresholds.parquet.
        points: errors/points.parquet: the thresholds chosen on select, per fold.
        confusion: errors/confusion.parquet, for the number of studies.
        about: for the caption.
    """
    known = thresholds.dropna(subset=["accuracy"]) if len(thresholds) else thresholds
    cohorts = cohorts_of(known)
    if not cohorts:
        return in_words(NAME, TITLE, "no cell with a known label was predicted")
    groups = [(cohort, level, _of(known, cohort, level)) for level in SHOWN for cohort in cohorts]
    groups = [group for group in groups if len(group[2])]

    def figure(form: Form) -> Figure:
        page, grid = panels(form, len(groups), 2.5, columns=len(cohorts))
        for axes, (cohort, level, rows) in zip(grid, groups, strict=True):
            _panel(axes, rows, _chosen(points, cohort, level))
            number = int(row_of(confusion, cohort, level)["studies"])
            head(axes, f"{level}: {about.studies(COHORTS[cohort], number)}", "threshold", "share of cells; F1")
        lines = grid[0].get_legend_handles_labels()
        page.legend(*lines, loc="outside lower left", ncols=1 if form.narrow else 4, handlelength=1.6)
        return page

    caption = (
        f"Accuracy and F1 at every hundredth of the threshold; bands: pointwise {about.intervals}. Dashed: the "
        "accuracy of calling nothing fractured, which accuracy has to be held against. Upright lines: the thresholds "
        "chosen on the folds' role select (held-out: of each fold; test: their mean), each on other studies than it "
        f"judges. Slices: cells slice x vertebra of which something is known.{about.data}"
    )
    words = [f"{COHORTS[c]}, {level}: {_said(rows, _chosen(points, c, level))}" for c, level, rows in groups]
    return draw(NAME, TITLE, caption, spoken(words), figure)


def _of(table: pd.DataFrame, cohort: str, level: str) -> pd.DataFrame:
    return table[(table["cohort"] == cohort) & (table["level"] == level)].sort_values("threshold")


def _chosen(points: pd.DataFrame, cohort: str, level: str) -> list[float]:
    """The thresholds that a cohort is judged by."""
    values = points.loc[points["kind"] == level, "threshold"].to_numpy(np.float64)
    if len(values) == 0:
        return []
    return sorted(set(values)) if cohort == "heldout" else [float(values.mean())]


def _panel(axes: Axes, rows: pd.DataFrame, chosen: list[float]) -> None:
    x = rows["threshold"].to_numpy(np.float64)
    for name, words, colour in (("accuracy", "accuracy", FIRST), ("f1", "F1", SECOND)):
        low, high = (rows[f"{name}_{end}"].to_numpy(np.float64) for end in ("low", "high"))
        band(axes, x, low, high, colour)
        axes.plot(x, rows[name], color=colour, label=words)
    axes.plot(x, rows["accuracy_all_negative"], color=SOFT, linestyle="--", linewidth=1.2, label="all negative")
    for place, threshold in enumerate(chosen):
        label = "_" if place else "chosen on select"
        axes.axvline(threshold, color=INK, linewidth=1, label=label, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.grid(color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def _said(rows: pd.DataFrame, chosen: list[float]) -> str:
    table = rows.set_index(rows["threshold"].round(2))
    told = [f"at {t} accuracy {table['accuracy'][t]:.3f}, F1 {table['f1'][t]:.3f}" for t in SAID]
    told.append(f"all negative {rows['accuracy_all_negative'].iloc[0]:.3f}")
    return "; ".join([*told, f"chosen {', '.join(f'{t:.3g}' for t in chosen)}" if chosen else "none chosen"])

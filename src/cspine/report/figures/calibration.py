"""Calibration: the share of fractured against the probability, and the Brier score beside the best constant's."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cspine.palette import FIRST, LINE, SECOND, SOFT
from cspine.report.drawn import About, Drawn, Form, draw, in_words
from cspine.report.forest import Row, forest, height_of, said
from cspine.report.panels import COHORTS, cohorts_of, head, panels, spoken, with_interval
from cspine.report.tables import few_of, row_of

SHOWN = {"patient": FIRST, "vertebra": SECOND}


def calibration(reliability: pd.DataFrame, calibration: pd.DataFrame, about: About) -> Drawn:
    """Reliability of patients and of vertebrae pooled: equal-count bins with intervals, a panel for each cohort.

    Args:
        reliability: errors/reliability.parquet.
        calibration: errors/calibration.parquet.
        about: for the caption.
    """
    name, title, cohorts = "calibration", "Calibration", cohorts_of(reliability)
    if not cohorts:
        return in_words(name, title, "no study with a known label was predicted")
    shown = [(cohort, level) for cohort in cohorts for level in SHOWN]

    def figure(form: Form) -> Figure:
        page, grid = panels(form, len(shown), 4.1)
        for axes, (cohort, level) in zip(grid, shown, strict=True):
            _panel(axes, _bins(reliability, cohort, level), SHOWN[level])
            number = int(row_of(calibration, cohort, "patient")["cells"])
            heading = f"{level}: {about.studies(COHORTS[cohort], number)}\n{_error(row_of(calibration, cohort, level))}"
            head(axes, heading, "mean predicted probability", "share of fractured")
        return page

    caption = (
        "Bins of equal count: the share of fractured against the mean probability, with "
        f"{about.intervals}. Dotted: perfect calibration. Each panel goes as far as its bins and intervals do. ECE: "
        "expected calibration error, which is above 0 for a perfect model, too, and more so with few studies. "
        "Where every or no cell of a bin is fractured the resamples cannot differ, and an interval without width is no "
        f"certainty.{about.data}"
    )
    words = [f"{COHORTS[c]}, {level}: {_said(_bins(reliability, c, level))}" for c, level in shown]
    return draw(name, title, caption, spoken(words), figure)


def brier(calibration: pd.DataFrame, about: About) -> Drawn:
    """The Brier score of each level beside the best constant's, a panel for each cohort.

    Args:
        calibration: errors/calibration.parquet.
        about: for the caption.
    """
    name, title, cohorts = "brier", "Brier score beside the best constant's", cohorts_of(calibration)
    if not cohorts:
        return in_words(name, title, "no study with a known label was predicted")
    tables = {cohort: calibration[calibration["cohort"] == cohort] for cohort in cohorts}
    rows = {cohort: [_row(row) for _, row in table.iterrows()] for cohort, table in tables.items()}

    def figure(form: Form) -> Figure:
        page, grid = panels(form, len(cohorts), height_of(rows.values()))
        for axes, cohort in zip(grid, cohorts, strict=True):
            forest(axes, rows[cohort], digits=3)
            number = int(row_of(calibration, cohort, "patient")["cells"])
            axes.set_title(about.studies(COHORTS[cohort], number))
            axes.set(xlabel="Brier score (lower is better)")
            axes.set_xlim(left=0)
        return page

    below = [
        f"{COHORTS[row['cohort']]} {row['level']}"
        for _, row in calibration.iterrows()
        if row["measurable"] and row["difference_high"] < 0
    ]
    caption = (
        f"Mean squared distance of probability and truth, with {about.intervals}. Upright line: the best constant of "
        "each label, fitted on the very labels it is scored by. Paired on the same resamples, the score is below the "
        f"constant's, the interval of their difference without 0, at: {', '.join(below) or 'no level'}. Hollow: too "
        f"few to measure.{about.data}"
    )
    words = [f"{COHORTS[c]}: {said(rows[c], 3)}" for c in cohorts]
    return draw(name, title, caption, spoken(words), figure)


def _bins(table: pd.DataFrame, cohort: str, level: str) -> pd.DataFrame:
    return table[(table["cohort"] == cohort) & (table["level"] == level)].dropna(subset=["fractured"])


def _panel(axes: Axes, bins: pd.DataFrame, colour: str) -> None:
    x, y, low, high = (
        bins[name].to_numpy(np.float64) for name in ("probability", "fractured", "fractured_low", "fractured_high")
    )
    most = float(np.nanmax([*x, *high, *y, 0.1])) * 1.04
    axes.plot([0, most], [0, most], color=SOFT, linestyle=":", linewidth=1.2)
    axes.vlines(x, low, high, color=colour, linewidth=1.6)
    axes.plot(x, y, "o-", color=colour, markersize=5, linewidth=0.8, clip_on=False)
    axes.set(xlim=(0, most), ylim=(0, most), aspect="equal")
    axes.grid(color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def _error(row: pd.Series) -> str:
    return f"ECE {with_interval(row['error'], row['error_low'], row['error_high'])}{few_of(row)}"


def _row(row: pd.Series) -> Row:
    colour = SECOND if row["level"] == "vertebra" else FIRST
    return Row(
        row["level"],
        row["brier"],
        row["brier_low"],
        row["brier_high"],
        bool(row["measurable"]),
        colour,
        row["constant"],
    )


def _said(bins: pd.DataFrame) -> str:
    pairs = zip(bins["probability"], bins["fractured"], strict=True)
    return "; ".join(f"said {said:.2f}, fractured {true:.2f}" for said, true in pairs)

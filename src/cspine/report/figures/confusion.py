"""Right and wrong answers at the chosen threshold: counts of each level, and the rates made of them."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cspine.palette import FIRST, SECOND
from cspine.report.drawn import About, Drawn, Form, draw, in_words
from cspine.report.forest import Row, forest, height_of, said
from cspine.report.panels import COHORTS, LEVELS, cohorts_of, panels, spoken

NAME, TITLE = "confusion", "Right and wrong answers of each level"
COUNTS = {"tn": "true negative", "fp": "false positive", "fn": "false negative", "tp": "true positive"}
OF_CLASS = {"tn": ("tn", "fp"), "fp": ("tn", "fp"), "fn": ("fn", "tp"), "tp": ("fn", "tp")}
RATES = {"recall": "recall (sensitivity)", "specificity": "specificity"}
MOST = 0.6  # how opaque a whole class in one cell is: its number is still read


def confusion(confusion: pd.DataFrame, about: About) -> Drawn:
    """The 2 x 2 counts of each level as a row of a heat map, with recall and specificity; a row for each cohort.

    Args:
        confusion: errors/confusion.parquet; its rows of the chosen threshold are drawn.
        about: for the caption.
    """
    chosen = confusion
    if len(confusion):
        chosen = confusion[(confusion["rule"] == "select") & confusion["level"].isin(LEVELS)]
    cohorts = cohorts_of(chosen)
    if not cohorts:
        return in_words(NAME, TITLE, "no study with a known label was predicted")
    tables = {cohort: chosen[chosen["cohort"] == cohort].reset_index(drop=True) for cohort in cohorts}

    def figure(form: Form) -> Figure:
        height = height_of(_rates(table, "recall") for table in tables.values()) + 0.25
        page, grid = panels(form, 3 * len(cohorts), height, columns=3)
        for place, (cohort, table) in enumerate(tables.items()):
            counts, *rates = grid[3 * place : 3 * place + 3]
            _counts(counts, table)
            counts.set_title(about.studies(COHORTS[cohort], int(table["studies"].iloc[0])))
            counts.set_xlabel("cells")
            for axes, (rate, words) in zip(rates, RATES.items(), strict=True):
                forest(axes, _rates(table, rate))
                axes.set(xlim=(0, 1), xlabel=words, xticks=(0, 0.5, 1))
                if not form.narrow:
                    axes.set_yticks([])
        return page

    caption = (
        "True and false negatives and positives (TN, FN, FP, TP) of each level at the threshold chosen on the fold's "
        "role select: the most sensitivity + specificity; C1 to C7 share the one of vertebrae. Shade: the share of the "
        f"true class, right answers blue, wrong ones orange. Rates with {about.intervals}, the thresholds taken as "
        "given; where every or no cell is right the resamples cannot differ, and an interval without width is no "
        f"certainty. Hollow: too few to measure.{about.data}"
    )
    return draw(NAME, TITLE, caption, spoken([_words(c, t) for c, t in tables.items()]), figure)


def _counts(axes: Axes, table: pd.DataFrame) -> None:
    for place, row in table.iterrows():
        for column, name in enumerate(COUNTS):
            whole = sum(int(row[part]) for part in OF_CLASS[name])
            share = int(row[name]) / whole if whole else 0.0
            colour = FIRST if name in ("tn", "tp") else SECOND
            corner = (column - 0.48, int(str(place)) - 0.45)
            axes.add_patch(Rectangle(corner, 0.96, 0.9, facecolor=colour, alpha=MOST * share, linewidth=0))
            axes.text(column, int(str(place)), f"{row[name]:,}", ha="center", va="center")
    axes.set(xlim=(-0.5, len(COUNTS) - 0.5), ylim=(len(table) - 0.5, -0.5))
    axes.set_yticks(range(len(table)), labels=list(table["level"]))
    axes.set_xticks(range(len(COUNTS)), labels=[name.upper() for name in COUNTS])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _rates(table: pd.DataFrame, rate: str) -> list[Row]:
    return [
        Row(row["level"], row[rate], row[f"{rate}_low"], row[f"{rate}_high"], bool(row["measurable"]), FIRST)
        for _, row in table.iterrows()
    ]


def _words(cohort: str, table: pd.DataFrame) -> str:
    counts = "; ".join(
        f"{row['level']}: " + ", ".join(f"{row[name]} {words}" for name, words in COUNTS.items())
        for _, row in table.iterrows()
    )
    rates = ". ".join(f"{rate}: {said(_rates(table, rate))}" for rate in RATES)
    return f"{COHORTS[cohort]}: {counts}. {rates}"

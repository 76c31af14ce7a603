"""Area under the ROC curve at every level: patient, vertebrae pooled, C1 to C7."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from cspine.palette import FIRST, SECOND
from cspine.report.drawn import About, Drawn, Form, draw, in_words
from cspine.report.forest import Row, forest, height_of, said
from cspine.report.panels import COHORTS, cohorts_of, panels, spoken
from cspine.report.tables import number_of_studies
from cspine.scores import CHANCE

NAME, TITLE = "areas", "AUC of each level"


def areas(areas: pd.DataFrame, about: About) -> Drawn:
    """The AUC of each level with its interval, a panel for each cohort.

    Args:
        areas: errors/areas.parquet.
        about: for the caption.
    """
    cohorts, known = cohorts_of(areas), areas[areas["auc"].notna()] if len(areas) else areas
    if known.empty:
        return in_words(NAME, TITLE, "no level has both classes, so there is no AUC")
    rows = {cohort: [_row(row) for _, row in areas[areas["cohort"] == cohort].iterrows()] for cohort in cohorts}

    def figure(form: Form) -> Figure:
        page, grid = panels(form, len(cohorts), height_of(rows.values()), sharex=True)
        for axes, cohort in zip(grid, cohorts, strict=True):
            forest(axes, rows[cohort], zero=CHANCE)
            axes.set_title(about.studies(COHORTS[cohort], number_of_studies(areas, cohort)))
            axes.set(xlim=(0, 1.02), xlabel="area under the ROC curve")
            axes.tick_params(labelbottom=True)
        return page

    caption = (
        f"Area under the ROC curve with {about.intervals}. In brackets behind a level: cells with and without a "
        "fracture. Hollow: too few of a class, or too few studies, to measure. Dotted: chance. Seven levels were "
        f"looked at; the highest of them is high in part because of that.{about.data}"
    )
    words = [f"{about.studies(COHORTS[c], number_of_studies(areas, c))}: {said(rows[c])}" for c in cohorts]
    return draw(NAME, TITLE, caption, spoken(words), figure)


def _row(row: pd.Series) -> Row:
    colour = SECOND if row["level"] == "vertebra" else FIRST
    name = f"{row['level']} ({row['positives']} / {row['negatives']})"
    return Row(name, row["auc"], row["auc_low"], row["auc_high"], bool(row["measurable"]), colour)

"""Every compared method against the best constant, in pairs on the same studies."""

from __future__ import annotations

import pandas as pd

from cspine.palette import FIRST, SECOND
from cspine.report.against_constant import against_constant
from cspine.report.drawn import About, Drawn, draw, in_words
from cspine.report.forest import Row
from cspine.report.panels import COHORTS, cohorts_of

NAME, TITLE = "comparison", "Methods against the best constant"
FIGURE = "minus_constant_per_exam"  #: the other form would say the same twice; the table has it


def comparison(comparison: pd.DataFrame, about: About, submitted: str = "") -> Drawn:
    """Loss minus the best constant's with paired intervals: a panel for each cohort, a row for each method.

    Args:
        comparison: comparison.csv.
        about: for the caption.
        submitted: the method that results/submission.csv is of, drawn in another colour and named so.
    """
    cohorts = cohorts_of(comparison)
    if not cohorts:
        return in_words(NAME, TITLE, "no comparison was asked for (report.comparison)")
    tables = {cohort: comparison[comparison["cohort"] == cohort] for cohort in cohorts}
    rows = {cohort: [_row(row, submitted) for _, row in table.iterrows()] for cohort, table in tables.items()}
    headings = {cohort: about.studies(COHORTS[cohort], int(t["studies"].iloc[0])) for cohort, t in tables.items()}

    caption = (
        "Weighted log loss (per exam) minus that of the best constant, on the same studies; left of the dotted line is "
        f"better. Paired {about.intervals}. {str(comparison['claim'].iloc[0]).capitalize()}. Two methods differ where "
        f"the interval of their own paired difference, which comparison.txt has, does not hold 0.{about.data}"
    )
    return draw(NAME, TITLE, caption, *against_constant(rows, headings))


def _row(row: pd.Series, submitted: str) -> Row:
    own = row["method"] == submitted
    name = f"{row['method']} (submitted)" if own else row["method"]
    return Row(name, row[FIGURE], row[f"{FIGURE}_low"], row[f"{FIGURE}_high"], colour=SECOND if own else FIRST)

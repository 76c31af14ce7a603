"""The loss of every round, teacher and students, against the best constant's in pairs."""

from __future__ import annotations

import pandas as pd

from cspine.palette import FIRST, SECOND
from cspine.report.against_constant import against_constant
from cspine.report.drawn import About, Drawn, draw, in_words
from cspine.report.forest import Row
from cspine.report.panels import COHORTS, cohorts_of

NAME, TITLE = "scores", "Loss of each round against the best constant"
FORMS = {"per_exam": ("per exam", FIRST), "pooled": ("pooled", SECOND)}  #: both readings of the competition's loss


def scores(scores: pd.DataFrame, about: About) -> Drawn:
    """Loss minus the best constant's with paired intervals: a panel for each cohort, rows for each round and form.

    Args:
        scores: scores.parquet of every round, with the column round (0: the teacher).
        about: for the caption.
    """
    losses = scores[(scores["measure"] == "loss") & scores["difference"].notna()] if len(scores) else scores
    cohorts = cohorts_of(losses)
    if not cohorts:
        return in_words(NAME, TITLE, "no round was scored")
    tables = {cohort: losses[losses["cohort"] == cohort] for cohort in cohorts}
    rows = {cohort: _rows(table) for cohort, table in tables.items()}
    headings = {cohort: about.studies(COHORTS[cohort], int(t["studies"].iloc[0])) for cohort, t in tables.items()}

    caption = (
        "Weighted log loss minus that of the best constant, which says the same eight numbers of every study and was "
        f"fitted on the training labels; left of the dotted line is better. Paired {about.intervals}: where one holds "
        "0, these studies do not tell the round from the constant. The loss itself and the constant's stand behind "
        "each round. Rounds are not compared with each other here; which form the competition uses is not settled."
        f"{about.data}"
    )
    return draw(NAME, TITLE, caption, *against_constant(rows, headings))


def _rows(table: pd.DataFrame) -> list[Row]:
    rows = []
    for row in table.sort_values(["round"], kind="stable").to_dict("records"):
        form, colour = FORMS[row["normalisation"]]
        who = "teacher" if row["round"] == 0 else f"student {row['round']}"
        name = f"{who}, {form}\n{row['value']:.3f}, constant {row['constant']:.3f}"
        ends = row["difference_low"], row["difference_high"]
        rows.append(Row(name, row["difference"], *ends, bool(row["measurable"]), colour))
    return rows

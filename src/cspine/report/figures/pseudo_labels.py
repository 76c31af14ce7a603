"""How good pseudo-labels are, round by round: precision, recall, and the fractured vertebrae that they find."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from cspine.palette import FIRST, FOURTH, SECOND
from cspine.pseudo_quality.figures import ALL
from cspine.report.drawn import About, Drawn, Form, draw, in_words
from cspine.report.forest import Row, forest, height_of, said
from cspine.report.panels import panels, spoken

NAME, TITLE = "pseudo_labels", "Pseudo-labels against boxes and truth"
COMPARED = "slice"  #: any vertebra of a slice: what boxes say without an assumption
ARMS = {"boxes": ("boxes", FIRST), "truth": ("truth", FOURTH), "unboxed": ("unboxed, truth", SECOND)}
EXPLAINED = {
    "boxes": "boxed studies of select, labelled as if they had no boxes, against these",
    "truth": "the same studies against the truth of every slice",
    "unboxed": "the unboxed studies that are taught, against the same truth",
}
MEASURES = {
    "precision": "precision (labelled slices that are fractured)",
    "recall": "recall (fractured slices that are labelled)",
    "found": "found (studies with a label in the right place)",
}


def pseudo_labels(quality: pd.DataFrame, about: About) -> Drawn:
    """Precision, recall and what is found, a panel each, a row for each arm, fold and round.

    Args:
        quality: pseudo_quality.parquet of every fold and round.
        about: for the caption.
    """
    chosen = quality[_wanted(quality)] if len(quality) else quality
    if chosen.empty:
        return in_words(NAME, TITLE, "the method gives no pseudo-labels, or no boxed study of select to judge them by")
    rows = {measure: _rows(chosen[chosen["measure"] == measure]) for measure in MEASURES}
    arms = [arm for arm in ARMS if (chosen["arm"] == arm).any()]

    def figure(form: Form) -> Figure:
        page, grid = panels(form, len(rows), height_of(rows.values(), form.narrow), columns=1)
        for axes, (measure, own) in zip(grid, rows.items(), strict=True):
            forest(axes, own, stacked=form.narrow)
            axes.set(xlim=(0, 1), xlabel=MEASURES[measure])
        grid[0].set_title("slices of phantom studies" if about.phantom else "slices")
        return page

    explained = "; ".join(f"{ARMS[arm][0]}: {EXPLAINED[arm]}" for arm in arms)
    caption = (
        f"Slices in which any vertebra is labelled fractured ({explained}), with {about.intervals}; n: studies with a "
        "fracture. Round: the one whose predictions the labels are made from. Hollow: too few to measure. Rounds are "
        f"not compared in pairs here, and overlapping intervals decide nothing.{about.data}"
    )
    return draw(NAME, TITLE, caption, spoken([f"{measure}: {said(own)}" for measure, own in rows.items()]), figure)


def _wanted(quality: pd.DataFrame) -> pd.Series:
    whole = (quality["than"] == "") & (quality["compared"] == COMPARED) & (quality["vertebra"] == ALL)
    return whole & quality["measure"].isin(list(MEASURES)) & quality["value"].notna()


def _rows(table: pd.DataFrame) -> list[Row]:
    several = table["fold"].nunique() > 1
    rows = []
    for arm, (words, colour) in ARMS.items():
        for row in table[table["arm"] == arm].sort_values(["fold", "round"]).to_dict("records"):
            fold = f"fold {row['fold']}, " if several else ""
            name = f"{words}: {fold}round {row['round']} (n = {row['fractured']})"
            rows.append(Row(name, row["value"], row["low"], row["high"], bool(row["measurable"]), colour))
    return rows

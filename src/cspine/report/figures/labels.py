"""What is taught: labelled slices by where their labels come from, in each round."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cspine.palette import FIRST, FOURTH, LINE, SECOND, SOFT, THIRD
from cspine.report.drawn import SMALL, About, Drawn, Form, draw, in_words
from cspine.report.panels import legend_below, panels, spoken
from cspine.studies import CONFIDENCE, UID, VERTEBRAE

NAME, TITLE = "labels", "What each round is taught"
#: source of a row -> what it is called, colour, hatch (so that bars differ without colour)
SOURCES = {
    "box": ("box", FIRST, ""),
    "united": ("box + model", THIRD, ""),
    "pseudo": ("pseudo-label", SECOND, "///"),
    "mask": ("mask", FOURTH, ""),
    "truth": ("truth", THIRD, ""),
    "study": ("study's label", FOURTH, ""),
    "shown": ("localized", FOURTH, ""),
    "unboxed": ("no box", SOFT, ""),
    "negative": ("unfractured", SOFT, ""),
}
#: the same as captions explain them
EXPLAINED = {
    "box": "a slice with a box",
    "united": "a slice of a boxed study, in which the model says which vertebra",
    "pseudo": "a slice of an unboxed fractured study, labelled by the round before",
    "mask": "what the slice's mask shows",
    "truth": "the truth of every slice",
    "study": "the study's label, for all that is taught of it",
    "shown": "the study's label, where a localizer sees the vertebra",
    "unboxed": "a slice without a box of a boxed study",
    "negative": "a slice of an unfractured study",
}
POSITIVE = 0.5  # a soft label counts as fractured from here on, as balanced sampling has it


def labels(training_sets: pd.DataFrame, about: About, noun: str = "slices") -> Drawn:
    """What is labelled fractured of each vertebra, and all that is labelled, by source; a row for each round.

    Args:
        training_sets: training_set.parquet of every round, with the columns fold and round; the first fold is drawn.
        about: for the caption.
        noun: what a row is: slices, vertebrae or studies.
    """
    taught = training_sets[training_sets["role"] == "train"] if len(training_sets) else training_sets
    if taught.empty:
        return in_words(NAME, TITLE, "no training set holds a label")
    fold = taught["fold"].min()
    rounds = {int(str(name)): rows for name, rows in taught[taught["fold"] == fold].groupby("round")}

    def figure(form: Form) -> Figure:
        page, grid = panels(form, 2 * len(rounds), 2.9)
        for place, (name, rows) in enumerate(rounds.items()):
            fractured, everything = grid[2 * place : 2 * place + 2]
            _fractured(fractured, rows)
            fractured.set(title=f"round {name}: labelled fractured", xlabel="vertebra", ylabel=noun)
            _everything(everything, amounts(rows), noun)
            everything.set(title=f"round {name}: all that is taught", xlabel=noun)
        return page

    sources = [source for source in SOURCES if (taught["source"] == source).any()]
    explained = "; ".join(f"{SOURCES[source][0]}: {EXPLAINED[source]}" for source in sources)
    caption = (
        f"What the role train of fold {fold} is taught, by where the label comes from ({explained}). Left: {noun} "
        f"labelled fractured ({POSITIVE} or more of a soft label); each counts for each of its vertebrae. Right: all "
        f"{noun} with their studies and their weight in the loss (a row's weight times the mean confidence of its "
        f"labels, before the metric's weights). A count of labels says nothing of whether they are right.{about.data}"
    )
    return draw(NAME, TITLE, caption, spoken([_said(name, rows, noun) for name, rows in rounds.items()]), figure)


def amounts(rows: pd.DataFrame) -> pd.DataFrame:
    """slices (rows, whatever one is), studies and weight by source, in the order of SOURCES."""
    confidence = rows[list(CONFIDENCE)].to_numpy(np.float64)
    confidence = np.where(rows[list(VERTEBRAE)].isna(), np.nan, confidence)
    known = ~np.isnan(confidence).all(axis=1)
    trust = np.nansum(confidence, axis=1) / np.maximum((~np.isnan(confidence)).sum(axis=1), 1)
    table = rows.assign(counted=rows["weight"] * trust)[known]
    found = table.groupby("source").agg(slices=(UID, "size"), studies=(UID, "nunique"), weight=("counted", "sum"))
    return found.reindex([source for source in SOURCES if source in found.index])


def positives(rows: pd.DataFrame) -> pd.DataFrame:
    """Slices labelled fractured: a row for each source, a column for each vertebra."""
    found = rows[list(VERTEBRAE)].ge(POSITIVE).groupby(rows["source"]).sum()
    return found.reindex([source for source in SOURCES if source in found.index])


def _fractured(axes: Axes, rows: pd.DataFrame) -> None:
    below = np.zeros(len(VERTEBRAE))
    for source, counts in positives(rows).iterrows():
        words, colour, hatch = SOURCES[str(source)]
        if counts.sum():
            numbers = counts.to_numpy(np.float64)
            axes.bar(
                VERTEBRAE, numbers, bottom=below, width=0.7, color=colour, label=words, hatch=hatch, edgecolor=LINE,
                linewidth=0,
            )  # fmt: skip
            below += numbers
    for place, total in enumerate(below):
        axes.text(place, total, f"{total:.0f}", ha="center", va="bottom", fontsize=SMALL)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.set_ylim(top=max(float(below.max()) * 1.12, 1.0))
    if below.any():
        legend_below(axes, columns=3)


def _everything(axes: Axes, table: pd.DataFrame, noun: str) -> None:
    for place, (source, row) in enumerate(table.iterrows()):
        _, colour, hatch = SOURCES[str(source)]
        axes.barh(place, row["slices"], height=0.6, color=colour, hatch=hatch, edgecolor=LINE, linewidth=0)
        words = f"{row['slices']:,.0f} {noun}\nweight {row['weight']:,.0f}"
        axes.annotate(
            words, (1, place), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
            va="center", fontsize=SMALL,
        )  # fmt: skip
    names = [f"{SOURCES[str(source)][0]}\n{row['studies']:,.0f} studies" for source, row in table.iterrows()]
    axes.set_yticks(range(len(table)), labels=names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))


def _said(name: int, rows: pd.DataFrame, noun: str) -> str:
    told = [
        f"{SOURCES[str(source)][0]}: {row['slices']:,.0f} {noun} of {row['studies']:,.0f} studies, "
        f"weight {row['weight']:,.0f}"
        for source, row in amounts(rows).iterrows()
    ]
    fractured = positives(rows)
    told += [
        f"fractured by {SOURCES[str(source)][0]}: " + ", ".join(f"{v} {counts[v]}" for v in VERTEBRAE)
        for source, counts in fractured.iterrows()
        if counts.sum()
    ]
    return f"round {name}: " + "; ".join(told)

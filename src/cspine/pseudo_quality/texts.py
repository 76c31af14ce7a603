"""The quality of pseudo-labels as a person reads it: what is compared first, then a block for each fold and round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from cspine.pseudo_quality.figures import ALL
from cspine.pseudo_quality.table import LEAST_FRACTURED, LEAST_STUDIES
from cspine.score_texts import CLAIMS, TOO_FEW, data_name
from cspine.studies import VERTEBRAE

WAYS = {
    "slice": "any vertebra labelled in the slice, against: has the slice a box",
    "one": "studies with one fractured vertebra, whose boxes are that vertebra's",
    "study": "all: a box counts for every vertebra that the study's label calls fractured (where",
    "shown": "the same, of those that the localisation shows in the slice",
}
MORE = {"study": "        several are, that asks for too much: recall too low, precision too high)"}
MEASURES = {
    "precision": "of what is labelled, the share that the reference confirms",
    "weighted": "the precision, every label weighted by its confidence",
    "recall": "of what the reference demands, the share that is labelled",
    "f1": "both in one number",
    "found": "share of the fractured vertebrae with at least one labelled slice in the right place",
    "overlap": "labelled and fractured slices of a vertebra: what is common / what is either",
    "brier": "mean squared distance of the predicted probability from the reference; lower is better",
    "ece": "distance of predicted from found shares over ten bins; lower is better, never below 0",
}
HEADS = {"boxes": "boxes, select", "truth": "truth, select", "unboxed": "truth, unboxed"}
BY_ROUND = (("slice", "precision"), ("slice", "recall"), ("one", "f1"), ("one", "found"))
NAME, CELL = 17, 20  # width of a row's name, and of a value with its interval


def quality_text(table: pd.DataFrame, method: str, phantom: bool, size: str, bootstrap: int, last_round: int) -> str:
    """The text; no line is longer than 100 columns.

    Args:
        table: the tables of ``measure_pseudo_labels``, of all folds and rounds, one below the other.
        method: whose pseudo-labels they are.
        phantom: the data are synthetic.
        size: smoke, demo or study: what may be claimed.
        bootstrap: resamples behind the intervals.
        last_round: its predictions make no labels for a further round.
    """
    lines = [f"pseudo-labels of {method} on {data_name(phantom)}", CLAIMS[size], *_legend(table, bootstrap)]
    lines += ["", "by round, boxes, select:", *_by_round(table)]
    for fold, number, rows in _by_fold_and_round(table):
        labels = f"labels of round {number}" if number < last_round else f"labels that round {number} would give"
        lines += ["", f"fold {fold}, {labels}", _studies(rows), *_block(rows)]
    return "\n".join(lines) + "\n"


def _legend(table: pd.DataFrame, bootstrap: int) -> list[str]:
    ways = [way for way in WAYS if (table["compared"] == way).any()]
    text = [
        f"[95 % interval] over {bootstrap} resamples of studies",
        "boxes, select: boxed studies of the role select, labelled as if they had none, against their boxes",
    ]
    if (table["arm"] == "truth").any():
        text += [
            "truth, select: the same studies and labels against the phantom's hidden truth",
            "truth, unboxed: the unboxed studies of the role train, whose labels are taught, against the truth;",
            "      from round 1 on the model has been taught these labels, and of select nothing",
            "= truth, = unboxed: whether the interval of the difference boxes - truth holds 0: the boxes agree",
        ]
    text += [f"~, few: {TOO_FEW}, fewer than {LEAST_STUDIES} studies or than {LEAST_FRACTURED} with a fracture"]
    text.append("compared:")
    text += [line for way in ways for line in (f"  {way:<6}{WAYS[way]}", *([MORE[way]] if way in MORE else []))]
    text.append("measured:")
    return text + [f"  {name:<10}{words}" for name, words in MEASURES.items()]


def _by_fold_and_round(table: pd.DataFrame) -> Iterator[tuple[int, int, pd.DataFrame]]:
    places = table[["fold", "round"]].drop_duplicates().sort_values(["fold", "round"])
    for fold, number in places.itertuples(index=False):
        yield int(fold), int(number), table[(table["fold"] == fold) & (table["round"] == number)]


def _by_round(table: pd.DataFrame) -> list[str]:
    lines = [_joined("fold round", [f"{way} {measure}" for way, measure in BY_ROUND])]
    for fold, number, rows in _by_fold_and_round(table):
        cells = [_cell(_row(rows, "boxes", "", way, ALL, measure)) for way, measure in BY_ROUND]
        lines.append(_joined(f"{fold:>4} {number:>5}", cells))
    return lines


def _studies(rows: pd.DataFrame) -> str:
    boxed, one = (int(_row(rows, "boxes", "", way, ALL, "f1")["studies"]) for way in ("slice", "one"))
    told = f"boxed studies of select: {boxed}, with one fractured vertebra: {one}"
    if not (rows["arm"] == "unboxed").any():
        return told
    return f"{told}; unboxed studies of train: {_row(rows, 'unboxed', '', 'slice', ALL, 'f1')['studies']}"


def _block(rows: pd.DataFrame) -> list[str]:
    arms = [arm for arm in HEADS if (rows["arm"] == arm).any()]
    against = [arm for arm in ("truth", "unboxed") if arm in arms]
    lines = [_joined("", [HEADS[arm] for arm in arms], [f"= {arm}" for arm in against])]
    for way in [way for way in WAYS if (rows["compared"] == way).any()]:
        lines += [_line(rows, arms, against, way, ALL, measure) for measure in MEASURES]
    way = "shown" if (rows["compared"] == "shown").any() else "study"
    return lines + [_line(rows, arms, against, way, vertebra, "f1") for vertebra in VERTEBRAE]


def _line(
    rows: pd.DataFrame, arms: Sequence[str], against: Sequence[str], way: str, vertebra: str, measure: str
) -> str:
    shown = [_row(rows, arm, "", way, vertebra, measure) for arm in arms]
    cells = [_cell(row) for row in shown]
    agree = [_agreement(_row(rows, "boxes", than, way, vertebra, measure)) for than in against]
    name = f"{way:<6}{measure if vertebra == ALL else f'{vertebra} {measure}'}"
    return _joined(name, cells, agree)


def _joined(name: str, cells: Sequence[str], words: Sequence[str] = ()) -> str:
    shown = "".join(f"{cell:<{CELL}}" for cell in cells) + "".join(f"{word:<10}" for word in words)
    return f"{name:<{NAME}}{shown}".rstrip()


def _row(rows: pd.DataFrame, arm: str, than: str, way: str, vertebra: str, measure: str) -> pd.Series:
    key = {"arm": arm, "than": than, "compared": way, "vertebra": vertebra, "measure": measure}
    return rows[np.logical_and.reduce([rows[name] == value for name, value in key.items()])].iloc[0]


def _cell(row: pd.Series) -> str:
    if np.isnan(row["value"]):
        return "-"
    few = "" if row["measurable"] else "~"
    return f"{few}{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _agreement(difference: pd.Series) -> str:
    if np.isnan(difference["value"]) or np.isnan(difference["low"]):
        return "-"
    if not difference["measurable"]:
        return "few"
    return "yes" if difference["holds_zero"] else f"NO {difference['value']:+.2f}"

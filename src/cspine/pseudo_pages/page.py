"""pseudo_labels.html: what a person should look at before believing the labels."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from cspine.amounts import counted
from cspine.pages import Table, render
from cspine.pseudo_pages.template import TEMPLATE
from cspine.studies import UID


class DoubtfulRun(NamedTuple):
    """One of the most doubtful runs."""

    uid: str
    vertebra: str
    doubt: float
    picture: str  # an embedded image
    table: Table


class ShownStudy(NamedTuple):
    """One study's matrices."""

    uid: str
    why: str
    fractured: str  # vertebrae of its label, in words
    drawing: str  # an inline SVG


class Shown(NamedTuple):
    """What the page is about."""

    method: str
    fold: int
    round: int  # whose predictions made the labels
    phantom: bool
    rule: str  # how the studies were chosen


def labels_page(
    shown: Shown,
    runs: pd.DataFrame,
    doubtful: list[DoubtfulRun],
    studies: list[ShownStudy],
    without: int,
) -> str:
    """The page's HTML.

    Args:
        shown: see Shown.
        runs: from ``doubtful_runs``: all of them.
        doubtful: those with pictures, the most doubtful first.
        studies: those with matrices.
        without: fractured vertebrae of pseudo-labelled studies without any labelled slice.
    """
    return render(
        TEMPLATE,
        **shown._asdict(),
        truth=shown.phantom,
        runs=len(runs),
        headline=f"{counted(len(runs), 'labelled run')} in {runs[UID].nunique()} studies without boxes, "
        f"{int((runs['mean'] < 0.5).sum())} of them against the model's own probability",
        without=counted(without, "fractured vertebra").replace("vertebras", "vertebrae") if without else "",
        doubtful=doubtful,
        studies=studies,
        table=_table(runs),
    )


def _table(runs: pd.DataFrame) -> Table:
    rows = [
        [
            f"{row['doubt']:.2f}",
            {"class": "uid", "text": row[UID]},
            row["vertebra"],
            f"{row['first']} - {row['last']}",
            row["slices"],
            f"{row['mean']:.2f}",
            f"{row['highest']:.2f}",
        ]
        for row in runs.to_dict("records")
    ]
    head = ["doubt", "study", "vertebra", "slices from the head", "slices", "mean probability", "highest"]
    return Table(head, rows, "the most doubtful first", shown=20)

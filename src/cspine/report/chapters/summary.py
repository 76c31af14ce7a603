"""What it comes to: the score beside the best constant, and what may be claimed of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from cspine.comparison.texts import estimate
from cspine.pages import Table
from cspine.report.config import ReportConfig
from cspine.report.parts import Chapter, Part, Points
from cspine.score_texts import CLAIMS, COHORTS, FORMS, TOO_FEW
from cspine.scores import LEAST_OF_A_CLASS, LEAST_STUDIES
from cspine.studies import LABELS

PRIVATE = (
    "It shows slices of the data and names studies: keep it where the data may be (report.images: false and "
    "report.uids: numbered make one without)."
)


def headline(scores: pd.DataFrame) -> tuple[str, str]:
    """What stands on top, and its tone: whether the held-out loss is better than the best constant's."""
    row = scores[(scores["cohort"] == "heldout") & (scores["normalisation"] == "per_exam")].iloc[0]
    said = (
        f"Loss {row['value']:.4f} [{row['low']:.4f}, {row['high']:.4f}] on {row['studies']} held-out studies; "
        f"the best constant has {row['constant']:.4f}"
    )
    if not row["measurable"]:
        return f"{said}: {TOO_FEW}", "warn"
    if row["difference_high"] < 0:
        return f"{said}, and the model is better", "good"
    if row["difference_low"] > 0:
        return f"{said}, and the model is worse", "bad"
    return f"{said}: no difference is shown", "warn"


def sentences(config: ReportConfig, pictures: bool) -> list[str]:
    """What a reader has to know before anything else."""
    said = [f"{config.method}, folds run: {', '.join(map(str, config.folds_run))}. {CLAIMS[config.size].capitalize()}."]
    if config.phantom:
        said.append("The data are the phantom, made by this project: nothing here says anything about patients.")
    elif pictures or config.uids == "plain":
        said.append(PRIVATE)
    return [*said, "Not a medical device: a person looks at every study."]


def summary(scores: pd.DataFrame, config: ReportConfig) -> Chapter:
    """Losses and AUCs of each cohort beside the best constant's."""
    parts: list[Part] = []
    for cohort, rows in scores.groupby("cohort", sort=False):
        parts.append(_table(str(cohort), rows))
    parts.append(Points(_how_to_read(config)))
    return Chapter("summary", "What it comes to", parts)


def _table(cohort: str, rows: pd.DataFrame) -> Table:
    studies = int(rows.loc[rows["measure"] == "loss", "studies"].iloc[0])
    cells = [_row(row) for row in rows.to_dict("records")]
    head = ["", "model", "constant", "model - constant", "positive / studies", ""]
    return Table(head, cells, f"{COHORTS[cohort]}: {studies} studies", shown=len(cells))


def _row(row: Mapping[Hashable, Any]) -> Sequence[str]:
    loss = row["measure"] == "loss"
    name = f"loss, {FORMS[str(row['normalisation'])]}" if loss else f"AUC, {_spoken(str(row['label']))}"
    own = {**row, "value_low": row["low"], "value_high": row["high"]}
    value, difference = estimate(own, "value"), estimate(own, "difference", sign="+")
    few = "" if row["measurable"] else "few"
    return [name, value, f"{row['constant']:.3f}", difference, f"{row['positives']} / {row['studies']}", few]


def _spoken(label: str) -> str:
    return "patient" if label == LABELS[0] else label


def _how_to_read(config: ReportConfig) -> list[str]:
    return [
        f"[95 % interval] over {config.bootstrap:,} resamples of studies; no interval holds the luck of another seed.",
        "Loss: per-exam (a) is the mean of the studies' weighted losses, pooled (b) the weighted mean of all rows; "
        "lower is "
        "better. Which of the two the competition uses is not settled.",
        f"few: {TOO_FEW}, fewer than {LEAST_STUDIES} studies or than {LEAST_OF_A_CLASS} of a class.",
        "The best constant gives every study the same eight numbers, fitted on the training labels.",
        "Held-out studies are judged by the model of the fold that holds them out; no model, threshold or calibration "
        "of "
        "that fold has seen them.",
    ]

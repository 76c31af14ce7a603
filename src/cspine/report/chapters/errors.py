"""What it gets wrong, at which level, by how much and in which studies."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from cspine.analysis.properties import LEAST_OF_A_GROUP
from cspine.comparison.texts import estimate
from cspine.pages import Table
from cspine.report.config import ReportConfig
from cspine.report.figures.areas import areas
from cspine.report.figures.calibration import brier, calibration
from cspine.report.figures.confusion import confusion
from cspine.report.figures.curves import precision_recall, roc
from cspine.report.figures.thresholds import thresholds
from cspine.report.parts import Chapter, Folded, Listing, Part, Words
from cspine.score_texts import COHORTS

Tables = Mapping[str, pd.DataFrame]  # of ``analyse_errors``, by name


def errors(tables: Tables, text: str, config: ReportConfig) -> Chapter:
    """Curves, counts and groups of studies.

    Args:
        tables: of ``analyse_errors``.
        text: errors.txt.
        config: see ReportConfig.
    """
    parts: list[Part] = [
        Words(
            "Thresholds are chosen on the select studies of each fold (the most sensitivity + specificity). What "
            "docs/errors.md "
            "says of every column holds here."
        ),
        roc(tables["areas"], tables["curves"], config.about),
        areas(tables["areas"], config.about),
        precision_recall(tables["areas"], tables["curves"], config.about),
        calibration(tables["reliability"], tables["calibration"], config.about),
        brier(tables["calibration"], config.about),
        confusion(tables["confusion"], config.about),
        thresholds(tables["thresholds"], tables["points"], tables["confusion"], config.about),
        Folded(
            f"By what is known of a study (groups of fewer than {LEAST_OF_A_GROUP} say little)",
            _groups(tables["properties"]),
        ),
        Folded("The error analysis in full", [Listing(text)]),
    ]
    return Chapter("errors", "Errors", parts)


def _groups(table: pd.DataFrame) -> list[Part]:
    head = ["property", "group", "studies", "fractured", "loss", "minus all others'", "sensitivity", "specificity"]
    parts: list[Part] = []
    for cohort, rows in table.groupby("cohort", sort=False):
        cells = [
            [row["property"], row["group"], int(row["studies"]), int(row["fractured"]), _figure(row, "loss"),
             _figure(row, "difference", "+"), _figure(row, "sensitivity"), _figure(row, "specificity")]
            for row in rows.to_dict("records")
        ]  # fmt: skip
        parts.append(Table(head, cells, COHORTS[str(cohort)], shown=30))
    return parts


def _figure(row: Mapping[Hashable, Any], name: str, sign: str = "") -> str:
    """With its interval; not measured where the group is too small to say."""
    enough = row[f"enough_{'loss' if name in ('loss', 'difference') else name}"]
    return estimate(row, name, 2, sign) if enough else "few"

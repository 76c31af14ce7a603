"""The rounds of the method, and where it was asked for all methods, beside the best constant."""

from __future__ import annotations

import pandas as pd

from cspine.comparison.texts import estimate, smallest_in_words
from cspine.pages import Table
from cspine.report.config import ReportConfig
from cspine.report.figures.comparison import comparison
from cspine.report.figures.scores import scores as drawn_scores
from cspine.report.parts import Chapter, Heading, Part, Points, Words
from cspine.score_texts import COHORTS

NOT_ASKED = (
    "The other methods are not part of this report: report.comparison is false. With true, every method of "
    "compare.methods "
    "is made and stands here on the same studies; snakemake compare makes the same as a page of its own."
)


def compared(rounds: pd.DataFrame, scores: pd.DataFrame, methods: pd.DataFrame | None, config: ReportConfig) -> Chapter:
    """Paired differences on the same studies.

    Args:
        rounds: the rounds of the method as rows of comparison.csv.
        scores: the same as rows of scores.parquet, with the column round.
        methods: comparison.csv, where it was asked for.
        config: see ReportConfig.
    """
    of_rounds = config.of_rounds()
    smallest = [f"{COHORTS[str(name)]}: {sentence}." for name, rows in rounds.groupby("cohort", sort=False)
                for sentence in smallest_in_words(rows, of_rounds)]  # fmt: skip
    parts: list[Part] = [
        Heading("The rounds of the method"),
        drawn_scores(scores, config.about),
        *_tables(rounds),
        Points(smallest),
        Heading("All methods"),
    ]
    if methods is None:
        parts.append(Words(NOT_ASKED))
    else:
        parts += [
            comparison(methods, config.about, config.method),
            *_tables(methods),
            Words("Costs, points and aggregation of each: results/comparison.html.", soft=True),
        ]
    return Chapter("comparison", "Comparison", parts)


def _tables(found: pd.DataFrame) -> list[Table]:
    head = ["", "loss, per-exam", "minus the constant's", "loss, pooled", "patient AUC", "vertebra AUC (mean)"]
    tables = []
    for cohort, rows in found.groupby("cohort", sort=False):
        cells = [
            [
                row["method"],
                estimate(row, "loss_per_exam"),
                estimate(row, "minus_constant_per_exam", sign="+"),
                estimate(row, "loss_pooled"),
                estimate(row, "auc_patient"),
                estimate(row, "auc_vertebra_mean"),
            ]
            for row in rows.to_dict("records")
        ]
        tables.append(Table(head, cells, COHORTS[str(cohort)]))
    return tables

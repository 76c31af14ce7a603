"""What one method is worth: a table for machines and one for the person, all beside the best constant."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from textwrap import wrap

import pandas as pd

from cspine.progress import say
from cspine.pseudo.counts import warning_of
from cspine.score_texts import CLAIMS, WIDTH, block_of, data_name, legend, sentence_of
from cspine.scores import (
    ScoreConfig,
    Scored,
    measure,
    read_truth,
    score_heldout_studies,
    score_test_studies,
)
from cspine.stage import InPath, OutPath
from cspine.tables import read_table, write_table
from cspine.tracked import answers, score_figures
from cspine.tracking import tracker


def score(
    studies: InPath,
    folds: InPath,
    study_probabilities: list[InPath],
    scores: OutPath,
    table: OutPath,
    *,
    truth: InPath | None = None,
    pseudo_counts: list[InPath] = [],  # noqa: B006 - never changed; the signature is read as text
    config: ScoreConfig,
) -> None:
    """Score the held-out studies of the folds run, and the test studies where their truth is known.

    Args:
        studies: index/studies.parquet.
        folds: folds.parquet.
        study_probabilities: one table for each of config.folds_run, in its order.
        scores: one row per cohort and measure, see ``cspine.scores.measure``.
        table: the same for the person, plain text of at most 100 columns.
        truth: a CSV like train.csv for the test studies; the phantom has one.
        pseudo_counts: the counts of every pseudo_label behind the models, to flag rounds that taught nothing.
        config: see ScoreConfig.
    """
    study_table, fold_table = read_table(studies), read_table(folds)
    tables = [read_table(p) for p in study_probabilities]
    cohorts = [score_heldout_studies(study_table, fold_table, tables, config)]
    if truth is not None:
        cohorts.append(score_test_studies(study_table, fold_table, tables, read_truth(truth), config))
    measured = [measure(cohort, config.method, config.bootstrap, config.seed) for cohort in cohorts]
    everything = pd.concat(measured, ignore_index=True)
    write_table(everything, scores)
    flags = pseudo_flags([read_table(p) for p in pseudo_counts])
    text = score_text(cohorts, measured, flags, config)
    table.write_text(text, encoding="utf-8")
    for rows in measured:
        say("score: " + sentence_of(rows))
    _track(everything, cohorts, scores.parent, config)


def _track(scores: pd.DataFrame, cohorts: list[Scored], folder: Path, config: ScoreConfig) -> None:
    run = tracker("score", folder, asdict(config))
    run.table("scores", lambda: scores)
    if run.names_studies:
        run.table("answers", lambda: answers(cohorts, run.ids_of))
    run.log(score_figures(scores), step=0)
    run.finish()


def score_text(cohorts: list[Scored], measured: list[pd.DataFrame], flags: list[str], config: ScoreConfig) -> str:
    """The table for the person: what it may claim first, then one block for each cohort."""
    folds = ", ".join(map(str, config.folds_run))
    interval, *how = legend(cohorts, config.bootstrap, "the training labels")
    lines = [
        f"{config.method} on {data_name(config.phantom)}",
        CLAIMS[config.size],
        f"folds run: {folds}; {interval}",
        *how,
        *flags,
    ]
    for cohort, rows in zip(cohorts, measured, strict=True):
        lines += ["", *block_of(cohort, rows)]
    return "\n".join(lines) + "\n"


def pseudo_flags(counts: list[pd.DataFrame]) -> list[str]:
    """Lines for each round whose pseudo-labels carried little or nothing."""
    flags = []
    for table in counts:
        warning = warning_of(table)
        if warning:
            flag = f"! fold {table['fold'].iloc[0]}, round {table['round'].iloc[0]}: {warning}"
            flags += wrap(flag, WIDTH, subsequent_indent="  ")
    return flags

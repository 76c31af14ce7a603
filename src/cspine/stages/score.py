"""What one method is worth: a table for machines and one for the person, all beside the best constant."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd

from cspine.errors import CspineError
from cspine.progress import say
from cspine.pseudo import warning_of
from cspine.scores import (
    LEAST_OF_A_CLASS,
    LEAST_STUDIES,
    ScoreConfig,
    Scored,
    measure,
    score_heldout_studies,
    score_test_studies,
)
from cspine.stage import InPath, OutPath
from cspine.studies import LABELS, UID
from cspine.tables import read_table, write_table

CLAIMS = {
    "smoke": "smoke: checks that it runs, measures nothing",
    "demo": "demo: too small to rank methods",
    "study": "study: a difference between methods needs their paired interval, not two of these tables",
}
COHORTS = {
    "heldout": "held-out studies, each by the model of its own fold",
    "test": "test studies, mean of the fold models",
}
FORMS = {"per_exam": "per-exam (a)", "pooled": "pooled (b)"}
WIDTH = 100
TOO_FEW = "too few to measure"
PARTLY = "positive 3/40: the label is known of 40 studies, and the AUC is theirs; losses are over all known labels"


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
        cohorts.append(score_test_studies(study_table, fold_table, tables, _read_truth(truth), config))
    measured = [measure(cohort, config) for cohort in cohorts]
    write_table(pd.concat(measured, ignore_index=True), scores)
    flags = pseudo_flags([read_table(p) for p in pseudo_counts])
    text = score_text(cohorts, measured, flags, config)
    table.write_text(text, encoding="utf-8")
    for rows in measured:
        say("score: " + _sentence(rows))


def score_text(cohorts: list[Scored], measured: list[pd.DataFrame], flags: list[str], config: ScoreConfig) -> str:
    """The table for the person: what it may claim first, then one block for each cohort."""
    data = "the PHANTOM (synthetic: says nothing about patients)" if config.phantom else "real data (data.root)"
    folds = ", ".join(map(str, config.folds_run))
    lines = [
        f"{config.method} on {data}",
        CLAIMS[config.size],
        f"folds run: {folds}; [95 % interval] over {config.bootstrap} resamples of studies",
        "loss: per-exam (a) = mean of the studies' weighted losses, pooled (b) = weighted mean of all rows;",
        "      lower is better; which of the two the competition uses is not settled",
        "best constant: the same 8 numbers for every study, fitted on the training labels",
        f"few: {TOO_FEW}, fewer than {LEAST_STUDIES} studies or than {LEAST_OF_A_CLASS} of a class",
        *([PARTLY] if any(np.isnan(cohort.truth).any() for cohort in cohorts) else []),
        *flags,
    ]
    for cohort, rows in zip(cohorts, measured, strict=True):
        lines += ["", *_block(cohort, rows)]
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


def _block(cohort: Scored, rows: pd.DataFrame) -> list[str]:
    fractured = int(np.nansum(cohort.truth[:, 0]))
    lines = [f"{COHORTS[cohort.cohort]}: {len(cohort.truth)} studies, {fractured} fractured"]
    if cohort.by_prior:
        lines.append(f"{cohort.by_prior} of them could not be predicted and are given the training prior")
    lines.append(f"{'':21}{'model':<25}{'constant':<10}{'model - constant':<27}{'positive':>8}")
    lines += [_line(row, len(cohort.truth)) for row in rows.itertuples()]
    return lines + [_verdict(row) for row in rows.itertuples() if row.measure == "loss"]


def _sentence(rows: pd.DataFrame) -> str:
    loss = rows.iloc[0]  # the first row is the loss, per exam
    model, constant = f"{loss.value:.4f} [{loss.low:.4f}, {loss.high:.4f}]", f"{loss.constant:.4f}"
    return f"{loss.cohort}: {FORMS[loss.normalisation]} loss {model}, best constant {constant}, {loss.studies} studies"


def _line(row: Any, studies: int) -> str:
    name = FORMS[row.normalisation] if row.measure == "loss" else f"{row.label}"
    head = f"{row.measure if row.measure == 'loss' else 'AUC':<5}{name:<16}"
    positives = f"{row.positives}/{row.studies}" if row.studies < studies else str(row.positives)  # of those known
    if np.isnan(row.value):
        return f"{head}{'only one class':<25}{row.constant:<10.4f}{'':27}{positives:>8}"
    model = f"{row.value:.4f} [{row.low:.4f}, {row.high:.4f}]"
    difference = f"{row.difference:+.4f} [{row.difference_low:+.4f}, {row.difference_high:+.4f}]"
    return f"{head}{model:<25}{row.constant:<10.4f}{difference:<27}{positives:>8}{'' if row.measurable else '  few'}"


def _verdict(row: Any) -> str:
    if row.difference == 0:
        verdict = "equal to the best constant"
    else:
        clear = row.difference_low > 0 or row.difference_high < 0
        word = "WORSE than" if row.difference > 0 else "better than"
        verdict = f"{word} the best constant; the interval {'excludes' if clear else 'includes'} 0"
    few = "" if row.measurable else f"; {TOO_FEW}"
    return f"{FORMS[row.normalisation]}: the model is {verdict}{few}"


def _read_truth(path: InPath) -> pd.DataFrame:
    truth = pd.read_csv(path, dtype={UID: "str"})
    missing = [c for c in (UID, *LABELS) if c not in truth.columns]
    if missing:
        raise CspineError(f"{path}: expected the columns of train.csv, {', '.join(missing)} missing")
    return truth

"""Scores as a person reads them: one block of at most 100 columns for each cohort, and what it may claim."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cspine.scores import LEAST_OF_A_CLASS, LEAST_STUDIES, Scored

CLAIMS = {
    "smoke": "smoke: checks that it runs, measures nothing",
    "demo": "demo: too small to rank methods",
    "study": "study: a difference between methods needs their paired interval, not two of these tables",
}
COHORTS = {
    "heldout": "held-out studies, each by the model of its own fold",
    "test": "test studies, mean of the fold models",
    "unseen": "labelled studies that no model of the bundle has seen, mean of its models",
}
FORMS = {"per_exam": "per-exam (a)", "pooled": "pooled (b)"}
WIDTH = 100
TOO_FEW = "too few to measure"
PARTLY = "positive 3/40: the label is known of 40 studies, and the AUC is theirs; losses are over all known labels"


def legend(cohorts: list[Scored], bootstrap: int, constant: str) -> list[str]:
    """What stands above the blocks: how to read them.

    Args:
        cohorts: what is shown.
        bootstrap: resamples behind the intervals.
        constant: what the best constant was fitted on.
    """
    return [
        f"[95 % interval] over {bootstrap} resamples of studies",
        "loss: per-exam (a) = mean of the studies' weighted losses, pooled (b) = weighted mean of all rows;",
        "      lower is better; which of the two the competition uses is not settled",
        f"best constant: the same 8 numbers for every study, fitted on {constant}",
        f"few: {TOO_FEW}, fewer than {LEAST_STUDIES} studies or than {LEAST_OF_A_CLASS} of a class",
        *([PARTLY] if any(np.isnan(cohort.truth).any() for cohort in cohorts) else []),
    ]


def data_name(phantom: bool) -> str:
    """What was scored, in words."""
    return "the PHANTOM (synthetic: says nothing about patients)" if phantom else "real data (data.root)"


def block_of(cohort: Scored, rows: pd.DataFrame) -> list[str]:
    """A cohort's losses and AUCs beside the best constant, and what that comes to."""
    fractured = int(np.nansum(cohort.truth[:, 0]))
    lines = [f"{COHORTS[cohort.cohort]}: {len(cohort.truth)} studies, {fractured} fractured"]
    if cohort.by_prior:
        lines.append(f"{cohort.by_prior} of them could not be predicted and are given the training prior")
    lines.append(f"{'':21}{'model':<25}{'constant':<10}{'model - constant':<27}{'positive':>8}")
    lines += [_line(row, len(cohort.truth)) for row in rows.itertuples()]
    return lines + [_verdict(row) for row in rows.itertuples() if row.measure == "loss"]


def sentence_of(rows: pd.DataFrame) -> str:
    """A cohort's loss in one line."""
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

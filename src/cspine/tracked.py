"""What a tracker is told besides the figures of each epoch: tables and pictures, without a study's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.scores import Scored
from cspine.studies import LABELS, UID

MOST_SLICES = 5  # of an example that has many
GROUPS = ["role", "source"]  # of what is taught: train | select; and where the labels come from


def class_counts(training_set: pd.DataFrame) -> pd.DataFrame:
    """How many examples of how many studies a training has, by role and source, and how many are positive.

    Args:
        training_set: training_set.parquet, of slices, studies or vertebrae; a label is positive from 0.5 on.
    """
    by = [name for name in GROUPS if name in training_set]
    labels = [name for name in (*LABELS, "fractured") if name in training_set]
    positive = training_set[labels].ge(0.5).add_suffix("_positive")
    rows = training_set[[*by, UID]].join(positive).assign(weight=training_set.get("weight", 1.0)).groupby(by, sort=True)
    counted = rows.agg(examples=(UID, "size"), studies=(UID, "nunique"), weight=("weight", "sum"))
    return counted.join(rows[list(positive)].sum()).reset_index()


def score_figures(scores: pd.DataFrame) -> dict[str, float]:
    """The scores by name, ``heldout/auc C1``, ``test/loss pooled``; without those that could not be measured."""
    known = scores[scores["value"].notna()]
    names = known["cohort"] + "/" + known["measure"] + " " + known["normalisation"] + known["label"]
    return dict(zip(names, known["value"].astype(float), strict=True))


def answers(cohorts: Sequence[Scored], ids_of: Callable[[Sequence[str]], list[str]]) -> pd.DataFrame:
    """One row a study: cohort, study, each label's truth (NaN: unknown) and probability.

    Rows come in the order of the names shown: in that of the real ones, a hashed name would give its study away.
    """
    tables = []
    for cohort in cohorts:
        table = pd.DataFrame({"cohort": cohort.cohort, "study": ids_of(cohort.uids)})
        for kind, values in (("truth", cohort.truth), ("probability", cohort.probability)):
            table = table.join(pd.DataFrame(values, columns=[f"{label}_{kind}" for label in LABELS]))
        tables.append(table)
    return pd.concat(tables).sort_values(["cohort", "study"], ignore_index=True)


def example_image(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The slices of an example, (…, rows, columns), side by side; of many the middle ones, where the neck is."""
    slices = pixels.reshape(-1, *pixels.shape[-2:])
    first = max(0, (len(slices) - MOST_SLICES) // 2)
    return np.concatenate(list(slices[first : first + MOST_SLICES]), axis=1)

"""The comparison as the terminal shows it: what it may claim first, then a row for each method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cspine.amounts import duration, table
from cspine.comparison.config import CompareConfig
from cspine.score_texts import COHORTS, TOO_FEW, data_name
from cspine.scores import LEAST_STUDIES

CLAIMS = {
    "smoke": "smoke: checks that it runs, measures nothing; not a ranking",
    "demo": "demo: not a ranking, too small to tell methods apart",
    "study": "study: a method is better than another where the paired interval excludes 0 (of many, some do by chance)",
}
FORMS = {"per_exam": "per-exam (a)", "pooled": "pooled (b)"}
UNKNOWN = "--"


def comparison_text(found: pd.DataFrame, ways: pd.DataFrame, config: CompareConfig) -> str:
    """At most 100 columns.

    Args:
        found: rows of comparison.csv.
        ways: rows of comparison_aggregation.csv.
        config: see CompareConfig.
    """
    lines = [
        f"{len(config.methods)} method{'s' if len(config.methods) > 1 else ''} on {data_name(config.phantom)}",
        CLAIMS[config.size].split(" (")[0],
        f"folds run: {', '.join(map(str, config.folds_run))}; [95 % interval] over {config.bootstrap} resamples of "
        "studies, differences in pairs",
        f"reference: {config.reference}; {UNKNOWN}: not measured, see results/comparison.html",
    ]
    for cohort, rows in found.groupby("cohort", sort=False):
        lines += ["", f"{COHORTS[str(cohort)]}: {studies_in_words(rows)}", *_losses(rows)]
        lines += [f"  {text}" for text in smallest_in_words(rows, config)]
        lines += ["", *_others(rows)]
    lines += ["", *_costs(found.drop_duplicates("method"))]
    if len(ways):
        lines += ["", *_best_ways(ways)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def sentence_of(rows: pd.DataFrame, config: CompareConfig) -> str:
    """A cohort in one line."""
    losses = ", ".join(f"{row.method} {row.loss_per_exam:.4f}" for row in rows.itertuples())
    constant = rows["constant_per_exam"].iloc[0]
    return f"{rows['cohort'].iloc[0]}: loss {losses}, best constant {constant:.4f}; {CLAIMS[config.size].split(':')[0]}"


def studies_in_words(rows: pd.DataFrame) -> str:
    """How many studies a cohort has, and whether they suffice."""
    first = rows.iloc[0]
    few = f" ({TOO_FEW}: fewer than {LEAST_STUDIES})" if first["studies"] < LEAST_STUDIES else ""
    prior = int(rows["by_prior"].max())
    unread = f"; {prior} could not be predicted and are given the training prior" if prior else ""
    return f"{first['studies']} studies, {first['fractured']} fractured{few}{unread}"


def smallest_in_words(rows: pd.DataFrame, config: CompareConfig) -> list[str]:
    """The smallest difference that these studies can show, to the reference and to the constant; by the worst pair.

    Nothing of too few studies: their resamples do not tell how others would spread.
    """
    said: list[str] = []
    if rows["studies"].iloc[0] < LEAST_STUDIES:
        return said
    for against, what in (("reference", config.reference), ("constant", "the best constant")):
        name = f"minus_{against}_per_exam"
        needed = rows[f"{name}_smallest"].dropna()
        if len(needed):
            half = ((rows[f"{name}_high"] - rows[f"{name}_low"]) / 2).max()
            shown = f"smallest difference it can show to {what}: {needed.max():.3f}"
            said.append(f"{shown} (half an interval: {half:.3f})")
    return said


def estimate(row: Any, name: str, digits: int = 3, sign: str = "") -> str:
    """``0.465 [0.412, 0.516]``; UNKNOWN where it was not measured."""
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if np.isnan(value):
        return UNKNOWN
    return f"{value:{sign}.{digits}f} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


def whole(value: float) -> str:
    """``8,432``; UNKNOWN where there is none."""
    return UNKNOWN if np.isnan(value) else f"{value:,.0f}"


def seconds(value: float) -> str:
    """Of a study, to two figures: ``0.013 s``; UNKNOWN where no record tells."""
    return UNKNOWN if np.isnan(value) else f"{value:.2g} s" if value < 10 else duration(value)


def _losses(rows: pd.DataFrame) -> list[str]:
    head = ("loss per-exam (a)", "method", "minus constant", "minus reference")
    cells = [
        (
            row["method"],
            estimate(row, "loss_per_exam"),
            estimate(row, "minus_constant_per_exam", sign="+"),
            estimate(row, "minus_reference_per_exam", sign="+"),
        )
        for row in rows.to_dict("records")
    ]
    return table([head, *cells])


def _others(rows: pd.DataFrame) -> list[str]:
    head = ("at points chosen on select", "AUC patient", "vertebrae", "sens. patient", "spec.", "sens. vert.", "spec.")
    names = ("patient_sensitivity", "patient_specificity", "vertebra_sensitivity", "vertebra_specificity")
    cells = [
        (
            row["method"],
            *(UNKNOWN if np.isnan(row[name]) else f"{row[name]:.3f}" for name in ("auc_patient", "auc_vertebra_mean")),
            *(UNKNOWN if np.isnan(row[name]) else f"{row[name]:.2f}" for name in names),
        )
        for row in rows.to_dict("records")
    ]
    return table([head, *cells])


def _costs(rows: pd.DataFrame) -> list[str]:
    head = ("what each took", "weights", "training", "a study", "memory MB", "published (other data)")
    cells = [
        (
            row["method"],
            whole(row["parameters"]),
            UNKNOWN if np.isnan(row["training_seconds"]) else duration(row["training_seconds"]),
            seconds(row["inference_seconds_per_study"]),
            whole(np.fmax(row["training_peak_mb"], row["inference_peak_mb"])),
            UNKNOWN if np.isnan(row["published_score"]) else f"{row['published_score']:.4f}",
        )
        for row in rows.to_dict("records")
    ]
    devices = ", ".join(sorted({name for names in rows["device"] for name in names.split(", ")} - {""}))
    return [*table([head, *cells]), f"networks on: {devices or UNKNOWN}; localizers and reading are apart (shared)"]


def _best_ways(ways: pd.DataFrame) -> list[str]:
    """The lowest of each method; all of them are in the table."""
    cohort = ways["cohort"].iloc[-1]
    rows = ways[ways["cohort"] == cohort]
    least = rows.loc[rows.groupby("method", sort=False)["loss_per_exam"].idxmin()]
    lines = [
        f"{row['method']}: {row['evidence']}, {row['vertebra']}, {row['patient']}: {estimate(row, 'loss_per_exam')}"
        for row in least.to_dict("records")
    ]
    return [
        f"lowest of the uncalibrated ways to aggregate, picked on {COHORTS[cohort].split(',')[0]} and so flattered",
        "(all ways: results/comparison_aggregation.csv)",
        *lines,
    ]

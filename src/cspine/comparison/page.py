"""comparison.html: the table of all methods for the person, with what it cannot say."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cspine.amounts import duration
from cspine.comparison.config import CompareConfig
from cspine.comparison.template import TEMPLATE
from cspine.comparison.texts import (
    CLAIMS,
    FORMS,
    UNKNOWN,
    estimate,
    seconds,
    smallest_in_words,
    studies_in_words,
    whole,
)
from cspine.pages import Table, render
from cspine.score_texts import COHORTS
from cspine.studies import VERTEBRAE

Row = Mapping[Any, Any]  # of comparison.csv, by column
AUCS = ("patient", "vertebra_mean", *VERTEBRAE)


def comparison_page(found: pd.DataFrame, ways: pd.DataFrame, image: bytes, config: CompareConfig) -> str:
    """The page's HTML.

    Args:
        found: rows of comparison.csv.
        ways: rows of comparison_aggregation.csv.
        image: comparison.png.
        config: see CompareConfig.
    """
    once = found.drop_duplicates("method").to_dict("records")
    return render(
        TEMPLATE,
        phantom=config.phantom,
        tone="good" if config.size == "study" else "warn",
        headline=CLAIMS[config.size],
        methods=len(config.methods),
        reference=config.reference,
        folds=", ".join(map(str, config.folds_run)),
        bootstrap=config.bootstrap,
        image=base64.b64encode(image).decode(),
        described=_described(found),
        cohorts=[_cohort(str(name), rows, config) for name, rows in found.groupby("cohort", sort=False)],
        costs=_costs(once),
        localizers=any(not np.isnan(row["localizer_training_seconds"]) for row in once),
        published=_published(once),
        ways=[_ways(str(name), rows) for name, rows in ways.groupby("cohort", sort=False)],
    )


def _cohort(name: str, rows: pd.DataFrame, config: CompareConfig) -> Row:
    """What the page says of one cohort."""
    records = rows.to_dict("records")
    few = rows["auc_few"].iloc[0]
    return {
        "id": name,
        "words": COHORTS[name],
        "studies": studies_in_words(rows),
        "smallest": smallest_in_words(rows, config),
        "losses": [_losses(records, form) for form in FORMS],
        "aucs": Table(
            ["method", "patient", "mean", *VERTEBRAE], [[r["method"], *(_auc(r, a) for a in AUCS)] for r in records]
        ),
        "few": few.replace(" ", ", "),
        "points": Table(
            ["method", "patient: threshold", "sensitivity", "specificity", "vertebrae: threshold", "sensitivity",
             "specificity"],
            [[r["method"], *(cell for kind in ("patient", "vertebra") for cell in _point(r, kind))] for r in records],
        ),
        "missing": [(r["method"], r["points"]) for r in records if r["points"]],
    }  # fmt: skip


def _losses(records: Sequence[Row], form: str) -> Table:
    head = ["method", "loss", "minus the best constant", "minus the reference", "smallest it could show"]
    rows = [
        [
            row["method"],
            estimate(row, f"loss_{form}", 4),
            _judged(row, f"minus_constant_{form}"),
            _judged(row, f"minus_reference_{form}"),
            UNKNOWN if np.isnan(least := row[f"minus_reference_{form}_smallest"]) else f"{least:.3f}",
        ]
        for row in records
    ]
    caption = f"{FORMS[form]}; the best constant has {records[0][f'constant_{form}']:.4f}"
    return Table(head, rows, caption)


def _judged(row: Row, name: str) -> Row | str:
    """A difference, coloured where its interval excludes 0 at a size that may say so."""
    text = estimate(row, name, 4, "+")
    tone = "good" if row[f"{name}_high"] < 0 else "bad" if row[f"{name}_low"] > 0 else ""
    return {"class": f"clear {tone}", "text": text} if tone and row["size"] == "study" else text


def _auc(row: Row, name: str) -> str:
    return estimate(row, f"auc_{name}", 2)


def _point(row: Row, kind: str) -> list[str]:
    threshold = row[f"{kind}_threshold"]
    first = "not chosen" if np.isnan(threshold) else f"{threshold:.3f}"
    return [first, *(estimate(row, f"{kind}_{name}", 2) for name in ("sensitivity", "specificity"))]


def _costs(records: Sequence[Row]) -> Table:
    head = ["method", "weights", "training", "training, a study", "inference, a study", "memory, training / inference",
            "device", "shared: localizers' weights", "their training", "their inference, a study"]  # fmt: skip
    rows = [
        [
            row["method"],
            whole(row["parameters"]),
            _time(row["training_seconds"]),
            seconds(row["training_seconds_per_study"]),
            seconds(row["inference_seconds_per_study"]),
            f"{whole(row['training_peak_mb'])} / {whole(row['inference_peak_mb'])} MB",
            row["device"] or UNKNOWN,
            whole(row["localizer_parameters"]) if row["localizer_parameters"] else "none",
            _time(row["localizer_training_seconds"]),
            seconds(row["localizer_inference_seconds_per_study"]),
        ]
        for row in records
    ]
    return Table(head, rows)


def _time(value: float) -> str:
    return UNKNOWN if np.isnan(value) else duration(value)


def _published(records: Sequence[Row]) -> Table:
    rows = [
        [row["method"], f"{row['published_score']:.4f}", row["published_where"]]
        for row in records
        if not np.isnan(row["published_score"])
    ]
    return Table(["method", "published", "where"], rows)


def _ways(cohort: str, rows: pd.DataFrame) -> Row:
    """A table for each method: a row for each N, a column for each way to a vertebra."""
    tables = []
    localized = np.where(rows["evidence"] == "localized", ", localized", "")
    for method, own in rows.assign(vertebra=rows["vertebra"] + localized).groupby("method", sort=False):
        columns = list(dict.fromkeys(own["vertebra"]))
        lines = []
        for patient, of_patient in own.groupby("patient", sort=False):
            by_way = of_patient.set_index("vertebra").to_dict("index")
            first = of_patient.iloc[0]
            name = f"{str(patient).removeprefix('noisy_or_of_')}{' = ' + first['same_as'] if first['same_as'] else ''}"
            cells = [estimate(by_way[way], "loss_per_exam", 4) for way in columns]
            lines.append([name, *cells, f"{first['source_loss']:.4f}"])
        tables.append(Table(["N", *(f"vertebra: {way}" for way in columns), "S1d printed"], lines, str(method)))
    return {"words": COHORTS[cohort], "tables": tables}


def _described(found: pd.DataFrame) -> str:
    """The plot in words, for who cannot see it."""
    parts = [f"{r['cohort']}, {r['method']}: {estimate(r, 'minus_constant_per_exam', 3, '+')}"
             for r in found.to_dict("records")]  # fmt: skip
    return "Loss minus the best constant's, per exam. " + "; ".join(parts)

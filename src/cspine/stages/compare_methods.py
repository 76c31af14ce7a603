"""compare_methods: every method of ``compare.methods`` on the same studies, side by side, and what each took."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cspine.bootstrap import resample_counts
from cspine.comparison.aggregation import aggregation_rows, aggregation_table, predicted_columns
from cspine.comparison.config import CompareConfig, ComparedMethod
from cspine.comparison.figures import Entry, Studies, rows_of
from cspine.comparison.files import Files
from cspine.comparison.forest import draw_forest
from cspine.comparison.page import comparison_page
from cspine.comparison.spent import costs_of, over_folds
from cspine.comparison.texts import CLAIMS, comparison_text, sentence_of
from cspine.folds import roles_of
from cspine.model_headers import parameters_of
from cspine.progress import say
from cspine.scores import read_truth
from cspine.stage import InPath, OutCopy
from cspine.tables import read_table
from cspine.writing import write_whole


def compare_methods(
    studies: InPath,
    folds: InPath,
    study_probabilities: list[InPath],
    predictions: list[InPath],
    models: list[InPath],
    table: OutCopy,
    aggregation: OutCopy,
    picture: OutCopy,
    page: OutCopy,
    text: OutCopy,
    *,
    localizer_models: list[InPath] = [],  # noqa: B006 - never changed; the signature is read as text
    truth: InPath | None = None,
    config: CompareConfig,
) -> None:
    """Put every method on the same held-out studies, and on the test studies where their truth is known.

    Everything but the columns of costs is a function of the inputs; these come from the store's records of them.
    docs/comparison.md says what is in which column.

    Args:
        studies: index/studies.parquet.
        folds: folds.parquet.
        study_probabilities: one table for each method and fold run, the folds of the first method first.
        predictions: predictions.parquet of the same models, in the same order.
        models: model.safetensors in the same order, a fold's members one after the other.
        table: comparison.csv, one row per cohort and method.
        aggregation: comparison_aggregation.csv, every way from slices to the patient.
        picture: comparison.png, paired differences to the best constant.
        page: comparison.html, one file that needs no network and no script.
        text: the same for the terminal, at most 100 columns.
        localizer_models: of config.localizers, localizer by localizer, by fold and inner model.
        truth: a CSV like train.csv for the test studies; the phantom has one.
        config: see CompareConfig.

    Raises:
        CspineError: files that are not one for each method and fold; tables that are not those of the folds run.
    """
    files = Files(config, study_probabilities, predictions, models, localizer_models)
    known = Studies(read_table(studies), read_table(folds), None if truth is None else read_truth(truth))
    entries = [
        known.entry(m, [read_table(path) for path in paths], config) for m, paths in files.by_method("probabilities")
    ]
    figures = pd.concat(
        [_of_cohort(entries, cohort, known, config) for cohort in entries[0].cohorts], ignore_index=True
    )
    of_methods = pd.DataFrame([_of_method(entry, files, known, config) for entry in entries])
    found = figures.merge(of_methods, on="method", how="left", validate="m:1")
    ways = aggregation_table({
        m.name: aggregation_rows(m, [read_table(path, predicted_columns(m)) for path in paths], known, config)
        for m, paths in files.by_method("predictions")
        if m.unit != "study"
    })  # fmt: skip
    image = draw_forest(found, config)
    write_whole(table, found.to_csv(index=False).encode())
    write_whole(aggregation, ways.to_csv(index=False).encode())
    write_whole(picture, image)
    write_whole(page, comparison_page(found, ways, image, config).encode())
    write_whole(text, comparison_text(found, ways, config).encode())
    for cohort in entries[0].cohorts:
        say("compare_methods: " + sentence_of(found[found["cohort"] == cohort], config))


def _of_cohort(entries: list[Entry], cohort: str, known: Studies, config: CompareConfig) -> pd.DataFrame:
    counts = resample_counts(len(entries[0].cohorts[cohort].uids), config.bootstrap, config.seed)
    return rows_of(entries, cohort, known, counts, config)


def _of_method(entry: Entry, files: Files, known: Studies, config: CompareConfig) -> dict[str, Any]:
    """What is the same of a method in every cohort: its size, what it took, what is published, what may be claimed."""
    method = entry.method
    taught = [int((roles_of(known.folds, fold) == "train").sum()) for fold in config.folds_run]
    costs = [
        costs_of(path, count, len(table))
        for path, count, table in zip(files.probabilities(method), taught, entry.tables, strict=True)
    ]
    published = config.published.get(method.name)
    return {
        "method": method.name,
        **_parameters(method, files),
        **over_folds(costs),
        "published_score": published.score if published else float("nan"),
        "published_where": published.where if published else "",
        "data": "phantom" if config.phantom else "data.root",
        "size": config.size,
        "claim": CLAIMS[config.size],
        "folds_run": " ".join(map(str, config.folds_run)),
    }


def _parameters(method: ComparedMethod, files: Files) -> dict[str, int]:
    """Weights of all members of a fold, and of all models of the localizers that must speak first."""
    return {
        "parameters": sum(map(parameters_of, files.models_of_a_fold(method))),
        "localizer_parameters": sum(map(parameters_of, files.localizers_of_a_fold(method))),
    }

"""From the probabilities of slices, or of studies, to study probabilities: every method ends here."""

from __future__ import annotations

import json
from dataclasses import asdict

from cspine.predictions import AggregateConfig, Choice, study_probabilities_of
from cspine.progress import say
from cspine.stage import InPath, OutPath
from cspine.studies import UID
from cspine.tables import read_table, write_table


def aggregate_studies(
    predictions: InPath,
    studies: InPath,
    folds: InPath,
    study_probabilities: OutPath,
    choice: OutPath,
    *,
    config: AggregateConfig,
) -> None:
    """Choose the aggregation on the fold's select studies and apply it to every study.

    Args:
        predictions: predictions.parquet, every readable slice, or every readable study.
        studies: index/studies.parquet; only the select studies' labels are looked at.
        folds: folds.parquet.
        study_probabilities: StudyInstanceUID, cohort, patient_overall, C1..C7.
        choice: JSON with what was taken and the loss of everything tried.
        config: see AggregateConfig.
    """
    judged = read_table(predictions, ["cohort", UID, *config.columns()])
    table, made = study_probabilities_of(judged, read_table(studies), read_table(folds), config)
    write_table(table, study_probabilities)
    block = {"fold": config.fold, "normalisation": config.normalisation, **asdict(made)}
    choice.write_text(json.dumps(block, indent=1) + "\n", encoding="utf-8")
    say(f"aggregate_studies: fold {config.fold}: {_said(made, config)}")


def _said(made: Choice, config: AggregateConfig) -> str:
    c = made.chosen
    way = f"vertebra {c.vertebra}, patient {c.patient}, calibration {c.calibration}, clip {c.clip:g}"
    way = way if len(config.evidence) == 1 else f"evidence {made.evidence}, {way}"
    if made.fallback:
        return f"nothing chosen ({made.fallback}); the first combination is used: {way}"
    loss = min(row["loss"] for row in made.tried)
    tried = f"best of {len(made.tried)} on {made.select_studies} select studies"
    return f"{way}: {config.normalisation} loss {loss:.4f}, {tried}"

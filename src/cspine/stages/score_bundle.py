"""What a bundle's models are worth on labelled studies that are new to them, beside the best constant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cspine.bundles.manifest import read_bundle
from cspine.errors import CspineError
from cspine.metric import NORMALISATIONS, best_constant
from cspine.partial_labels import truth_of
from cspine.progress import say
from cspine.raw_folder import read_rows
from cspine.score_texts import block_of, data_name, legend, sentence_of
from cspine.scores import Scored, measure
from cspine.stage import InPath, OutPath
from cspine.studies import LABELS, UID, UNKNOWN
from cspine.tables import read_table, write_table


@dataclass(frozen=True)
class ScoreBundleConfig:
    """How it is measured, and what the data are."""

    phantom: bool  # the data are synthetic: said in the table
    bootstrap: int = 1000  # resamples of studies behind each interval
    seed: int = 0
    constant_clip: float = 0.01  # the constant is kept this far from 0 and 1


def score_bundle(
    train: InPath,
    manifest: InPath,
    study_probabilities: InPath,
    scores: OutPath,
    table: OutPath,
    *,
    config: ScoreBundleConfig,
) -> None:
    """Score the predicted studies by their labels in train.csv.

    ASSUME: the constant beside it is fitted on the labels it is scored by, so no constant could do better: data of
    others have their own share of fractures, and whoever knows it needs no model to tell it.

    Args:
        train: the inventory's snapshot of train.csv.
        manifest: bundle.json.
        study_probabilities: of ``predict_with_bundle``.
        scores: one row per measure, see ``cspine.scores.measure``.
        table: the same for the person.
        config: see ScoreBundleConfig.

    Raises:
        CspineError: of no predicted study a label is known.
    """
    probabilities = read_table(study_probabilities)
    labels = _labels(train).reindex(probabilities[UID])
    known = labels.ne(UNKNOWN).any(axis=1).to_numpy()
    if not known.any():
        raise CspineError(
            f"{train}: no label of the {len(labels)} predicted studies is known; there is nothing to score by"
        )
    truth, rows = truth_of(labels[known]), probabilities[known]
    bundle = read_bundle(manifest.parent)
    clip = config.constant_clip
    constants = {form: np.clip(best_constant(truth, form), clip, 1 - clip) for form in NORMALISATIONS}
    tiled = {form: np.tile(row, (len(truth), 1)) for form, row in constants.items()}
    by_prior = int(rows["reason"].ne("").sum())
    scored = Scored("unseen", truth, rows[list(LABELS)].to_numpy(np.float64), tiled, by_prior)
    measured = measure(scored, str(bundle.manifest["method"]), config.bootstrap, config.seed)
    write_table(measured, scores)
    lines = [
        f"{bundle.name()}",
        f"evaluated on {data_name(config.phantom)}",
        *legend([scored], config.bootstrap, "the very labels it is scored by"),
        *([f"not scored: {int((~known).sum())} studies of which no label is known"] if not known.all() else []),
        "",
        *block_of(scored, measured),
    ]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    say("score_bundle: " + sentence_of(measured))


def _labels(train: InPath) -> pd.DataFrame:
    """Labels by StudyInstanceUID, UNKNOWN where train.csv has a blank."""
    rows = [row for _, row in read_rows(train, (UID, *LABELS))]
    values = [[int(row[label] or UNKNOWN) for label in LABELS] for row in rows]
    return pd.DataFrame(values, columns=list(LABELS), index=[row[UID] for row in rows])

"""Labels for the next round from this round's predictions (system S3, step 3)."""

from __future__ import annotations

import json
from dataclasses import asdict

import pandas as pd

from cspine.progress import say
from cspine.pseudo.boxes import united_with_boxes
from cspine.pseudo.choices import Choices
from cspine.pseudo.config import PseudoConfig
from cspine.pseudo.counts import warning_of
from cspine.pseudo.labels import choices_on, pseudo_labels_of
from cspine.pseudo.who import boxed_studies, labels_seen, unlabelled_studies
from cspine.stage import InPath, OutPath
from cspine.studies import UID
from cspine.tables import read_table, write_table


def pseudo_label(
    predictions: InPath,
    studies: InPath,
    folds: InPath,
    labels: InPath,
    pseudo_labels: OutPath,
    counts: OutPath,
    choices: OutPath,
    *,
    localization: InPath | None = None,
    config: PseudoConfig,
) -> None:
    """Turn the predictions of the fractured training studies without boxes into labels.

    Args:
        predictions: predictions.parquet of the same fold, one round earlier.
        studies: index/studies.parquet.
        folds: folds.parquet.
        labels: the slice labels that the method is taught; only the boxed select studies' decide anything, and the
            boxed training studies' are given on where ``boxed_studies`` is "united".
        pseudo_labels: study, slice, targets C1..C7 (NaN = left out), what each counts, weight.
        counts: per vertebra and for all: studies and slices, by threshold and by run.
        choices: JSON with what was chosen on the select studies.
        localization: which vertebrae a slice shows, as a localizer sees it; needed when ``evidence`` asks for it.
        config: see PseudoConfig.
    """
    index, fold_table, predicted = read_table(studies), read_table(folds), read_table(predictions)
    shown = read_table(localization) if localization is not None else None
    chosen = unlabelled_studies(index, fold_table, config.fold)
    known = labels_seen(read_table(labels), fold_table, config.fold)
    select = boxed_studies(index, fold_table, config.fold, "select")
    made = choices_on(predicted, select, known, config, shown)
    table, tally = pseudo_labels_of(predicted, chosen, config, shown, made)
    united = _united(known, predicted, boxed_studies(index, fold_table, config.fold, "train"), config)
    write_table(pd.concat([table, united], ignore_index=True) if len(united) else table, pseudo_labels)
    write_table(tally, counts)
    block = {"fold": config.fold, "round": config.round, **_written(made)}
    choices.write_text(json.dumps(block, indent=1) + "\n", encoding="utf-8")
    total = tally.set_index("vertebra").loc["all"]
    rule = f"top {config.top_slices}" if config.positives == "top" else f"threshold {_said(made)}"
    say(
        f"pseudo_label: fold {config.fold} round {config.round}: {len(table)} slices of "
        f"{table[UID].nunique()} of {len(chosen)} studies, {total['slices_positive']} positive "
        f"({total['slices_by_threshold']} by {rule}, {total['slices_by_run']} by run)"
        + (f"; {united[UID].nunique()} boxed studies united with the model" if len(united) else "")
    )
    if made.fallback:
        say(f"pseudo_label: nothing chosen ({made.fallback})")
    warning = warning_of(tally)
    if warning:
        say(f"pseudo_label: {warning.replace('the threshold', _said(made))}")


def _united(
    labels: pd.DataFrame, predictions: pd.DataFrame, studies: pd.DataFrame, config: PseudoConfig
) -> pd.DataFrame:
    own = labels[labels[UID].isin(studies[UID])] if config.boxed_studies == "united" else labels.iloc[:0]
    return united_with_boxes(own, predictions, soft=config.target == "soft")


def _written(made: Choices) -> dict[str, object]:
    return {**asdict(made), "log_lengths": [round(float(value), 6) for value in made.log_lengths]}


def _said(made: Choices) -> str:
    values = sorted(set(made.thresholds))
    return f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"

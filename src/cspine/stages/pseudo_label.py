"""Labels for the next round from this round's predictions (system S3, step 3)."""

from __future__ import annotations

from cspine.progress import say
from cspine.pseudo import PseudoConfig, pseudo_labels_of, unlabelled_studies, warning_of
from cspine.stage import InPath, OutPath
from cspine.studies import UID
from cspine.tables import read_table, write_table


def pseudo_label(
    predictions: InPath,
    studies: InPath,
    folds: InPath,
    pseudo_labels: OutPath,
    counts: OutPath,
    *,
    config: PseudoConfig,
) -> None:
    """Binarise the predictions of the fractured training studies without boxes.

    Args:
        predictions: predictions.parquet of the same fold, one round earlier.
        studies: index/studies.parquet.
        folds: folds.parquet.
        pseudo_labels: study, slice, C1..C7, weight.
        counts: per vertebra and for all: studies and slices, by threshold and by run.
        config: see PseudoConfig.
    """
    chosen = unlabelled_studies(read_table(studies), read_table(folds), config.fold)
    table, tally = pseudo_labels_of(read_table(predictions), chosen, config)
    write_table(table, pseudo_labels)
    write_table(tally, counts)
    total = tally.set_index("vertebra").loc["all"]
    say(
        f"pseudo_label: fold {config.fold} round {config.round}: {len(table)} slices of "
        f"{table[UID].nunique()} of {len(chosen)} studies, {total['slices_positive']} positive "
        f"({total['slices_by_threshold']} by threshold {config.threshold:g}, {total['slices_by_run']} by run)"
    )
    warning = warning_of(tally)
    if warning:
        say(f"pseudo_label: {warning.replace('the threshold', f'{config.threshold:g}')}")

"""The role of every labelled study in every fold."""

from __future__ import annotations

from cspine.audit.table import excluded_from_training
from cspine.folds import LEAST_BOXED, LEAST_HELDOUT, FoldConfig, deal_folds, too_few
from cspine.progress import say
from cspine.stage import InPath, OutPath
from cspine.tables import read_table, write_table


def assign_folds(studies: InPath, folds: OutPath, *, audit: InPath | None = None, config: FoldConfig) -> None:
    """Deal the readable studies of train.csv into train, select and heldout, once for each fold.

    Args:
        studies: index/studies.parquet.
        folds: folds.parquet: fold, StudyInstanceUID, role.
        audit: audit.parquet; the studies it excludes are in no role of any fold.
        config: see FoldConfig.
    """
    study_table = read_table(studies)
    excluded = excluded_from_training(audit) if audit is not None else set()
    table = deal_folds(study_table, config, excluded)
    write_table(table, folds)
    first = table.loc[table["fold"] == 0, "role"].value_counts()
    sizes = ", ".join(f"{role} {first[role]}" for role in ("train", "select", "heldout"))
    say(f"assign_folds: {config.count} folds of {first.sum()} studies; fold 0: {sizes}; excluded: {len(excluded)}")
    for phrase in too_few(table, study_table):
        say(f"assign_folds: too few to measure: {phrase} (of {LEAST_HELDOUT} and {LEAST_BOXED})")

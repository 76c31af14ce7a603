"""What a model that judges whole studies or whole vertebrae is taught: their labels, roles and weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cspine.errors import CspineError
from cspine.folds import readable_training_studies, roles_of
from cspine.partial_labels import truth_of
from cspine.progress import say
from cspine.stage import InPath, OutPath
from cspine.studies import LABELS, UID, VERTEBRAE
from cspine.tables import read_table, write_table

TAUGHT = ("train", "select")


@dataclass(frozen=True)
class StudySetConfig:
    """Which fold."""

    fold: int


def build_study_set(
    studies: InPath,
    folds: InPath,
    training_set: OutPath,
    *,
    vertebrae: InPath | None = None,
    config: StudySetConfig,
) -> None:
    """Join labels and roles; held-out studies stay out.

    Args:
        studies: index/studies.parquet.
        folds: folds.parquet.
        training_set: without ``vertebrae`` one row a study: StudyInstanceUID, patient_overall, C1..C7 (NaN = unknown),
            source "study", weight, role. With them, the rows of ``vertebrae`` whose label is known, and fractured (0 or
            1), source, weight, role.
        vertebrae: where each vertebra of each study lies (stage place_vertebrae).
        config: see StudySetConfig.

    Raises:
        CspineError: nothing is left to be taught.
    """
    fold_table = read_table(folds)
    labels = labelled_studies(read_table(studies), fold_table, config.fold)
    table = labels if vertebrae is None else labelled_vertebrae(read_table(vertebrae), labels)
    check_study_set(table, fold_table, config.fold)
    write_table(table, training_set)
    say(f"build_study_set: fold {config.fold}: {_described(table)}")


def labelled_studies(studies: pd.DataFrame, folds: pd.DataFrame, fold: int) -> pd.DataFrame:
    """The readable studies of the roles train and select with their labels, by StudyInstanceUID."""
    known = readable_training_studies(studies)
    labels = pd.DataFrame(truth_of(known), columns=list(LABELS)).astype(np.float32)
    table = pd.concat([known[[UID]], labels], axis=1)
    table = table.assign(source="study", weight=np.float32(1), role=table[UID].map(roles_of(folds, fold)))
    return table[table["role"].isin(TAUGHT)].reset_index(drop=True)


def labelled_vertebrae(vertebrae: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """The placed vertebrae of ``labels``' studies with fractured, source, weight, role; unknown ones are left out."""
    of_vertebra = labels.melt([UID, "source", "weight", "role"], list(VERTEBRAE), "vertebra", "fractured")
    own = vertebrae[vertebrae["cohort"] == "train"].drop(columns="cohort")
    table = own.merge(of_vertebra.dropna(subset="fractured"), on=[UID, "vertebra"], validate="1:1")
    return table.sort_values([UID, "vertebra"], ignore_index=True)


def check_study_set(table: pd.DataFrame, folds: pd.DataFrame, fold: int) -> None:
    """No held-out study, one role per study, something to be taught."""
    roles = roles_of(folds, fold)
    heldout = set(roles.index[roles == "heldout"])
    assert not heldout & set(table[UID]), "a held-out study is in the training set"
    assert (table.groupby(UID)["role"].nunique() <= 1).all(), "a study has two roles"
    if not (table["role"] == "train").any():
        raise CspineError(
            f"fold {fold}: no study of the role train can be taught; expected readable studies with labels "
            "(results/audit.html says what is wrong with them), or another split (folds.count)"
        )


def _described(table: pd.DataFrame) -> str:
    what = "vertebrae" if "vertebra" in table else "studies"
    label = "fractured" if "vertebra" in table else LABELS[0]
    phrases = []
    for role in TAUGHT:
        rows = table[table["role"] == role]
        phrases.append(f"{role} {len(rows)} {what}, {int(rows[label].eq(1).sum())} fractured")
    return "; ".join(phrases)

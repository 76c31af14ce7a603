"""Whose slices are pseudo-labelled, and on whose boxes that is decided."""

from __future__ import annotations

import pandas as pd

from cspine.folds import roles_of
from cspine.studies import UID, VERTEBRAE


def unlabelled_studies(studies: pd.DataFrame, folds: pd.DataFrame, fold: int) -> pd.DataFrame:
    """The fractured, unboxed, readable studies of the fold's role train, sorted by name."""
    return _fractured(studies, folds, fold, "train", boxed=False)


def boxed_studies(studies: pd.DataFrame, folds: pd.DataFrame, fold: int, role: str) -> pd.DataFrame:
    """The fractured, boxed, readable studies of a role, sorted by name."""
    return _fractured(studies, folds, fold, role, boxed=True)


def labels_seen(labels: pd.DataFrame, folds: pd.DataFrame, fold: int) -> pd.DataFrame:
    """Of slice labels those of the roles train and select: what a fold's choices may look at."""
    return labels[labels[UID].map(roles_of(folds, fold)).isin(["train", "select"])]


def _fractured(studies: pd.DataFrame, folds: pd.DataFrame, fold: int, role: str, boxed: bool) -> pd.DataFrame:
    fractured = studies["patient_overall"].eq(1) | studies[list(VERTEBRAE)].eq(1).any(axis=1)
    readable = (studies["cohort"] == "train") & studies["readable"]
    chosen = readable & fractured & (studies["boxed"].astype(bool) == boxed)
    own = studies[UID].map(roles_of(folds, fold)).eq(role)
    return studies[chosen & own].sort_values(UID, ignore_index=True)

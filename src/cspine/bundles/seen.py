"""Which studies a bundle's models learnt from, so that nobody scores them on these; told without naming them.

Who has a StudyInstanceUID can ask about it; nobody can read the names off the list.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from cspine.folds import roles_of
from cspine.hashing import digest_of


def mark_of(uid: str) -> str:
    """What a bundle keeps of a study's name: 64 bits of a digest."""
    return digest_of("study seen in training", uid)[:16]


def seen_by(folds: pd.DataFrame, folds_run: Iterable[int]) -> list[str]:
    """The marks, sorted, of all studies that the model of any of these folds was taught or chosen by.

    Args:
        folds: folds.parquet.
        folds_run: whose models are in the bundle.
    """
    names: set[str] = set()
    for fold in folds_run:
        roles = roles_of(folds, fold)
        names |= set(roles.index[roles != "heldout"])
    return sorted(mark_of(uid) for uid in names)


def unseen(uids: Iterable[str], marks: Iterable[str]) -> list[str]:
    """Of ``uids`` those that no model of the bundle has seen, in their order."""
    known = frozenset(marks)
    return [uid for uid in uids if mark_of(uid) not in known]

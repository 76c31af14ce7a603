"""Three roles per fold, disjoint by study: train, select (for choices), heldout (scored, and nothing else).

Studies are dealt like cards: sorted by stratum and vertebrae, then handed out in turn, so that every fold
gets its share of each kind, to within one study. Slices never enter: one study in two roles would leak.
What the audit excludes is dropped after the deal, and has no role.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cspine.errors import CspineError
from cspine.hashing import seed_of
from cspine.studies import UID, VERTEBRAE

ROLES = ("train", "select", "heldout")
STRATA = ["fractured", "boxed", "segmented", "vertebrae"]
LEAST_BOXED, LEAST_HELDOUT = 10, 20  #: a fold that holds out fewer measures nothing
LEAST_TO_SHARE = 3  #: ASSUME: a training part with this many studies of a kind can spare one for select


@dataclass(frozen=True)
class FoldConfig:
    """How the labelled studies are split."""

    count: int = 5  # folds; each study is held out in exactly one
    select: float = 0.2  # share of a fold's training part kept for choices (early stopping, aggregation, ...)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 2:
            raise CspineError(f"folds.count: found {self.count}, expected 2 or more")
        if not 0 < self.select <= 0.5:
            raise CspineError(f"folds.select: found {self.select}, expected a share above 0, at most 0.5")


def readable_training_studies(studies: pd.DataFrame) -> pd.DataFrame:
    """The rows of index/studies.parquet that train.csv labels and whose pixels can be read, by name."""
    listed = (studies["cohort"] == "train") & studies["in_csv"] & (studies["patient_overall"] >= 0)
    rows = studies[listed & studies["readable"]].sort_values(UID, ignore_index=True)
    assert rows[UID].is_unique, "a training study occurs twice in the index"
    return rows


def deal_folds(studies: pd.DataFrame, config: FoldConfig, excluded: Set[str] = frozenset()) -> pd.DataFrame:
    """The role of every readable labelled training study in every fold: fold, StudyInstanceUID, role.

    Excluded studies are dealt like the others and then dropped, so that excluding one moves no other.

    Args:
        studies: index/studies.parquet.
        config: see FoldConfig.
        excluded: studies that get no role.

    Raises:
        CspineError: fewer studies than a train, a select and a held-out study for each fold; or none of some role
            that is not excluded.
    """
    cards = _cards(studies)
    if cards.empty:
        raise CspineError("no training study is readable and labelled; `snakemake audit` shows what is wrong")
    largest = -(-len(cards) // config.count)
    if len(cards) < config.count or len(cards) - largest < 2:
        raise CspineError(
            f"folds.count: {config.count} folds of {len(cards)} readable labelled studies; use fewer folds"
        )
    cards = _shuffled(cards, "fold", config.seed)
    turn = np.arange(len(cards)) % config.count
    folds = []
    for fold in range(config.count):
        training = cards[turn != fold]
        select = _deal_select(training, config, fold)
        role = np.where(turn == fold, "heldout", np.where(cards[UID].isin(select), "select", "train"))
        folds.append(pd.DataFrame({"fold": np.int8(fold), UID: cards[UID].to_numpy(), "role": role}))
    table = pd.concat(folds).sort_values(["fold", UID], ignore_index=True)
    check_folds(table, set(cards[UID]))
    return without_excluded(table, excluded)


def without_excluded(folds: pd.DataFrame, excluded: Set[str]) -> pd.DataFrame:
    """``folds`` without these studies; everybody else's roles as before.

    Raises:
        CspineError: a fold has no study left of some role.
    """
    kept = folds[~folds[UID].isin(excluded)].reset_index(drop=True)
    for fold in sorted(folds["fold"].unique()):
        empty = [role for role in ROLES if not ((kept["fold"] == fold) & (kept["role"] == role)).any()]
        if empty:
            raise CspineError(
                f"audit: {len(excluded)} excluded studies leave fold {fold} without any {' or '.join(empty)} study; "
                "exclude fewer (audit.exclude_codes, audit.exclude_studies) or use fewer folds (folds.count)"
            )
    check_folds(kept, set(folds[UID]) - excluded)
    return kept


def check_folds(folds: pd.DataFrame, studies: set[str]) -> None:
    """One role per study and fold, every study held out exactly once, each role somewhere filled."""
    assert not folds.duplicated(["fold", UID]).any(), "a study has two roles in one fold"
    heldout = folds.loc[folds["role"] == "heldout", UID]
    assert heldout.is_unique and set(heldout) == studies, "the held-out studies do not partition the studies"
    for fold, rows in folds.groupby("fold"):
        assert set(rows[UID]) == studies, f"fold {fold} lacks studies"
        assert set(rows["role"]) == set(ROLES), f"fold {fold} has no {set(ROLES) - set(rows['role'])}"


def roles_of(folds: pd.DataFrame, fold: int) -> pd.Series:
    """The role of each study in one fold, indexed by StudyInstanceUID.

    Raises:
        CspineError: the table has no such fold.
    """
    rows = folds[folds["fold"] == fold]
    if rows.empty:
        known = ", ".join(str(f) for f in sorted(folds["fold"].unique()))
        raise CspineError(f"fold {fold} does not exist; folds.count made the folds {known}")
    return pd.Series(rows["role"].to_numpy(), index=rows[UID].to_numpy(), name="role")


def too_few(folds: pd.DataFrame, studies: pd.DataFrame) -> list[str]:
    """One phrase for each fold that holds out too few studies to measure anything."""
    boxed = set(studies.loc[studies["boxed"], UID])
    phrases = []
    for fold, rows in folds[folds["role"] == "heldout"].groupby("fold"):
        with_box = int(rows[UID].isin(boxed).sum())
        if len(rows) < LEAST_HELDOUT or with_box < LEAST_BOXED:
            phrases.append(f"fold {fold} holds out {len(rows)} studies, {with_box} boxed")
    return phrases


def _cards(studies: pd.DataFrame) -> pd.DataFrame:
    rows = readable_training_studies(studies)
    pattern = rows[list(VERTEBRAE)].astype(int).astype(str).agg("".join, axis=1) if len(rows) else ""
    return rows[[UID, "boxed", "segmented"]].assign(fractured=rows["patient_overall"] == 1, vertebrae=pattern)


def _shuffled(cards: pd.DataFrame, *seed: object) -> pd.DataFrame:
    """Sorted by stratum and vertebrae, and by a seeded hash of the name among equals."""
    ranked = cards.assign(rank=[seed_of(*seed, uid) for uid in cards[UID]])
    return ranked.sort_values([*STRATA, "rank"], ignore_index=True).drop(columns="rank")


def _deal_select(training: pd.DataFrame, config: FoldConfig, fold: int) -> set[str]:
    """Evenly spaced studies of the training part, over all strata; then one of each rare kind that lacks."""
    cards = _shuffled(training, "select", config.seed, fold)
    share = max(config.select, 1 / len(cards))
    steps = np.floor(np.arange(len(cards) + 1) * share + 0.5).astype(int)
    select = set(cards.loc[np.diff(steps) > 0, UID])
    if not select:
        select = {cards[UID].iloc[len(cards) // 2]}
    for kind in ("segmented", "boxed", "fractured"):
        for value in (True, False):
            _spare_one(cards, cards[kind] == value, select, config.seed)
    return select


def _spare_one(cards: pd.DataFrame, kind: pd.Series, select: set[str], seed: int) -> None:
    uids = cards.loc[kind, UID]
    if len(uids) >= LEAST_TO_SHARE and not select & set(uids):
        select.add(min(uids, key=lambda uid: (seed_of("spare", seed, uid), uid)))

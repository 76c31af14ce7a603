"""What one round of one fold is taught, as a readable table: slice, targets, source, weight, role, confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.label_sources import Sources, labels_taught, with_presence_beside
from cspine.progress import say
from cspine.shares import share_of_studies
from cspine.slice_targets import TARGETS
from cspine.stage import InPath, OutPath
from cspine.studies import CONFIDENCE, UID, UNKNOWN, VERTEBRAE
from cspine.tables import read_table, write_table

COLUMNS = [UID, "slice_number", "z_index", *VERTEBRAE, "source", "weight", "role", *CONFIDENCE]
SLICE = [UID, "z_index"]
POSITIVE = 0.5  # a soft target counts as positive from here on, as balanced sampling has it


@dataclass(frozen=True)
class TrainingSetConfig:
    """Which round of which fold, and what is taught."""

    fold: int
    round: int  # 0: the teacher; from 1 on: a student, taught the pseudo-labels of the round before as well
    targets: str = "fracture"  # one of slice_targets.TARGETS
    presence: str = "masks"  # whence what a slice shows is taught beside the targets: masks | localized
    soft: bool = True  # what a localizer sees is taught as its probability; else rounded ...
    least: float = 0.5  # ... and 1 from this one on
    share: float = 1.0  # of the fold's training studies that are taught; select is watched as a whole
    seed: int = 0  # of the draw of that share

    def __post_init__(self) -> None:
        if self.round < 0:
            raise CspineError(f"round: found {self.round}, expected 0 or more")
        if self.targets not in TARGETS:
            raise CspineError(f"targets: found {self.targets!r}, expected one of {', '.join(TARGETS)}")
        if self.presence not in ("masks", "localized"):
            raise CspineError(f"labels.presence: found {self.presence!r}, expected masks or localized")
        if not 0 < self.share <= 1:
            raise CspineError(f"labels.share: found {self.share}, expected a share above 0, up to 1")


def build_training_set(
    labels: InPath,
    folds: InPath,
    slices: InPath,
    training_set: OutPath,
    *,
    pseudo_labels: InPath | None = None,
    presence: InPath | None = None,
    localization: InPath | None = None,
    studies: InPath | None = None,
    truth: InPath | None = None,
    config: TrainingSetConfig,
) -> None:
    """Join labels, pseudo-labels and roles; held-out studies stay out.

    Args:
        labels: labels/slices.parquet, or the method's own (stage assign_boxes); what is taught with ``targets:
            fracture``.
        folds: folds.parquet.
        slices: index/slices.parquet; every row must be a readable slice of it.
        training_set: the rows of the roles train and select.
        pseudo_labels: of the round before; needed from round 1 on, refused in round 0.
        presence: labels/presence.parquet. With ``targets: presence`` it is what is taught, otherwise it is laid beside
            the targets in the columns present_C1..present_C7 (NaN where no mask covers the slice).
        localization: localization/{localizer}/fold-{k}.parquet of the fold. With ``targets: shown`` it says in which
            slices a fractured vertebra is taught; with ``presence: localized`` it is laid beside the targets.
        studies: index/studies.parquet; for ``targets: study`` and ``shown``, and for a share below 1.
        truth: slices.parquet of the phantom's truth; what is taught with ``targets: truth``.
        config: see TrainingSetConfig.
    """
    if (pseudo_labels is None) != (config.round == 0):
        found = "none was given" if pseudo_labels is None else "it was given"
        raise CspineError(
            f"build_training_set: --pseudo_labels in round {config.round}: {found}; rounds from 1 on need it"
        )
    fold_table = read_table(folds)
    given = Sources(
        read_table(labels),
        read_table(slices, ["cohort", UID, "slice_number", "z_index"]),
        *(read_table(path) if path is not None else None for path in (studies, presence, localization, truth)),
    )
    pseudo = read_table(pseudo_labels) if pseudo_labels is not None else None
    taught = labels_taught(given, config.targets, config.soft, config.least)
    table = join_training_set(taught, fold_table, pseudo, config)
    if config.share < 1:
        table = _shared(table, given, fold_table, config)
    check_training_set(table, fold_table, given.index, config)
    if config.targets != "presence":
        table = with_presence_beside(table, given, config.presence, config.soft, config.least)
    write_table(table, training_set)
    say(f"build_training_set: fold {config.fold} round {config.round}: {describe(table)}")


def _shared(table: pd.DataFrame, given: Sources, folds: pd.DataFrame, config: TrainingSetConfig) -> pd.DataFrame:
    """The rows of the share of the training studies that is taught, and all those of select."""
    if given.studies is None:
        raise CspineError(f"build_training_set: labels.share: {config.share} needs --studies; none was given")
    roles = roles_of(folds, config.fold)
    drawn = share_of_studies(given.studies, set(roles.index[roles == "train"]), config.share, config.seed)
    return table[(table["role"] != "train") | table[UID].isin(drawn)].reset_index(drop=True)


def join_training_set(
    labels: pd.DataFrame, folds: pd.DataFrame, pseudo: pd.DataFrame | None, config: TrainingSetConfig
) -> pd.DataFrame:
    """The rows of COLUMNS by study and z_index; round 0 without the unfractured studies not drawn for it.

    Targets are 0 to 1, and NaN where the label is unknown; a confidence that a table does not give is 1.
    """
    roles = roles_of(folds, config.fold)
    taught = labels[labels["first_round"] <= (1 if config.round else 0)]
    parts = [taught] if pseudo is None else [*_with_pseudo_labels(taught, pseudo)]
    table = pd.concat(parts, ignore_index=True)
    table["role"] = table[UID].map(roles)
    table[list(CONFIDENCE)] = table.reindex(columns=list(CONFIDENCE)).fillna(1.0)
    wanted = table["role"].isin(["train", "select"])
    due = sum(int(part[UID].map(roles).isin(["train", "select"]).sum()) for part in parts)
    table = table.loc[wanted, COLUMNS].sort_values(SLICE, ignore_index=True)
    assert len(table) == due, f"{due} rows were due, {len(table)} came"
    kinds = {"slice_number": np.int32, "z_index": np.int32, "weight": np.float32}
    kinds |= dict.fromkeys([*VERTEBRAE, *CONFIDENCE], np.float32)
    table = table.astype(kinds)
    targets = table[list(VERTEBRAE)]
    table[list(VERTEBRAE)] = targets.mask(targets == UNKNOWN)
    return table


def _with_pseudo_labels(labels: pd.DataFrame, pseudo: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels and pseudo-labels; of a boxed study that has both (``united``) the latter stand for all its slices."""
    both = pseudo[UID].isin(labels[UID])
    return labels[~labels[UID].isin(pseudo[UID])], pseudo.assign(source=np.where(both, "united", "pseudo"))


def check_training_set(
    table: pd.DataFrame, folds: pd.DataFrame, slices: pd.DataFrame, config: TrainingSetConfig
) -> None:
    """No held-out study, one role per study, no slice twice or unknown to the index, shares of 0 to 1, not empty."""
    roles = roles_of(folds, config.fold)
    heldout = set(roles.index[roles == "heldout"])
    assert not heldout & set(table[UID]), "a held-out study is in the training set"
    assert (table.groupby(UID)["role"].nunique() <= 1).all(), "a study has two roles"
    assert not table.duplicated(SLICE).any(), "a slice is taught twice: labels and pseudo-labels overlap"
    assert (table.loc[table["source"] == "pseudo", "role"] == "train").all(), "a pseudo-label outside the role train"
    shares = table[[*VERTEBRAE, *CONFIDENCE]]
    assert ((shares >= 0) & (shares <= 1) | shares.isna()).all(axis=None), "a target or a confidence outside 0 to 1"
    assert shares[list(CONFIDENCE)].notna().all(axis=None), "a target without a confidence"
    known = slices.loc[slices["cohort"] == "train", [UID, "slice_number", "z_index"]]
    matched = table[[UID, "slice_number", "z_index"]].merge(known, validate="1:1")
    assert len(matched) == len(table), f"{len(table) - len(matched)} rows are no slice of the index"
    if config.targets in ("fracture", "study", "shown") and config.round == 0:
        _check_fractures(table.loc[table["role"] == "train", list(VERTEBRAE)], config)
    if not (table["role"] == "train").any():
        raise CspineError(
            f"fold {config.fold} round {config.round}: no labelled study has the role train; expected "
            + {
                "presence": "segmented ones (targets: presence)",
                "fracture": "boxed or unfractured ones (labels.unfractured, folds.count)",
            }.get(config.targets, "readable studies that train.csv labels")
        )


def _check_fractures(taught: pd.DataFrame, config: TrainingSetConfig) -> None:
    """A teacher that has never seen a fracture calls everything whole, and so would its pseudo-labels."""
    if taught.gt(0).any(axis=None):
        return
    if config.targets != "fracture":
        raise CspineError(
            f"fold {config.fold} round 0: no vertebra of {len(taught)} slices with the role train is labelled as "
            "fractured: the model would be taught negatives only; expected a study with a fractured C1..C7 in "
            "train.csv in the training part of each fold (labels.share, folds.count)"
            + (" and a localizer that sees it in a slice (labels.soft: true)" if config.targets == "shown" else "")
        )
    raise CspineError(
        f"fold {config.fold} round 0: none of {len(taught)} slices with the role train is labelled as fractured: "
        "the teacher would be taught negatives only; expected boxed slices of fractured studies, at least one such "
        "study in the training part of each fold. Import boxes (python -m cspine import ... --boxes); "
        "results/audit.parquet says why some were left out (box-...). Without boxes, evaluate a finished model "
        "instead of training one: docs/own-data.md"
    )


def describe(table: pd.DataFrame) -> str:
    """Studies and slices by role and source, and how many of them have labels that are no plain 0 or 1, in one line."""
    phrases = []
    for role in ("train", "select"):
        rows = table[table["role"] == role]
        sources = ", ".join(f"{source} {count}" for source, count in rows["source"].value_counts().sort_index().items())
        targets = rows[list(VERTEBRAE)]
        positive = int(targets.ge(POSITIVE).any(axis=1).sum())
        kinds = {
            "soft": (targets.gt(0) & targets.lt(1)).any(axis=1).sum(),
            "partly trusted": rows[list(CONFIDENCE)].lt(1).any(axis=1).sum(),
        }
        more = "".join(f", {count} {kind}" for kind, count in kinds.items() if count)
        studies = rows[UID].nunique()
        phrases.append(
            f"{role} {len(rows)} slices of {studies} studies ({sources or 'none'}; {positive} positive{more})"
        )
    return "; ".join(phrases)

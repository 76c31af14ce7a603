"""Slice labels that come from elsewhere than boxes: masks, the phantom's truth, or the labels of the whole study."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cspine.box_evidence import predicted_rows
from cspine.errors import CspineError
from cspine.folds import readable_training_studies
from cspine.labels import COLUMNS
from cspine.metric import Floats
from cspine.studies import PRESENCE, UID, UNKNOWN, VERTEBRAE

#: What a method is taught: fractures as the boxes and pseudo-labels say, which vertebrae a slice shows, fractures as
#: they really are, which only the phantom knows; in every slice its study's label (S1c), or that label where a
#: localizer sees the vertebra (S1b).
TARGETS = ("fracture", "presence", "truth", "study", "shown")
SLICE_KEY = [UID, "slice_number"]


def targets_from_masks(presence: pd.DataFrame) -> pd.DataFrame:
    """labels/presence.parquet in the columns of ``labels.COLUMNS``: the targets are the vertebrae a slice shows."""
    return presence.assign(source="mask", weight=np.float32(1), first_round=np.int8(0))[COLUMNS]


def targets_from_truth(truth: pd.DataFrame, slices: pd.DataFrame) -> pd.DataFrame:
    """The phantom's hidden fractures of every readable training slice, in the columns of ``labels.COLUMNS``.

    Args:
        truth: slices.parquet of the phantom's truth (fractured_C1..fractured_C7).
        slices: index/slices.parquet; its z_index counts what could be read.

    Raises:
        CspineError: a slice of the index of which the truth knows nothing: it is another phantom's.
    """
    known = truth[truth["cohort"] == "train"].rename(columns={f"fractured_{v}": v for v in VERTEBRAE})
    wanted = slices.loc[slices["cohort"] == "train", [*SLICE_KEY, "z_index"]]
    found = wanted.merge(known[[*SLICE_KEY, *VERTEBRAE]], on=SLICE_KEY, how="left", validate="1:1")
    unknown = found[found["C1"].isna()]
    if len(unknown):
        raise CspineError(
            f"the phantom's truth has no slice {unknown['slice_number'].iloc[0]} of study {unknown[UID].iloc[0]}; "
            "expected the truth of the phantom that was read (targets: truth works with the phantom only)"
        )
    return found.assign(source="truth", weight=np.float32(1), first_round=np.int8(0))[COLUMNS]


def targets_from_studies(studies: pd.DataFrame, slices: pd.DataFrame) -> pd.DataFrame:
    """In every readable slice of a labelled training study that study's labels, in the columns of ``labels.COLUMNS``.

    Args:
        studies: index/studies.parquet; labels are 0, 1 or UNKNOWN.
        slices: index/slices.parquet.
    """
    known = readable_training_studies(studies)[[UID, *VERTEBRAE]]
    rows = slices.loc[slices["cohort"] == "train", [*SLICE_KEY, "z_index"]].merge(known, on=UID, validate="m:1")
    return rows.assign(source="study", weight=np.float32(1), first_round=np.int8(0))[COLUMNS]


def targets_shown(
    studies: pd.DataFrame, slices: pd.DataFrame, localization: pd.DataFrame, soft: bool, least: float
) -> pd.DataFrame:
    """The same where a localizer sees the vertebra: its presence times the study's label; UNKNOWN stays UNKNOWN.

    Args:
        studies: index/studies.parquet.
        slices: index/slices.parquet.
        localization: localization/{localizer}/fold-{k}.parquet; only its rows ``predicted`` count.
        soft: the presence as it is; else 0 or 1.
        least: else from which presence on it is 1.

    Raises:
        CspineError: the localization lacks one of the slices.
    """
    table = targets_from_studies(studies, slices)
    labels = table[list(VERTEBRAE)].to_numpy(np.float64)
    shown = seen_presence(localization, table, soft, least)
    found = np.where(labels == UNKNOWN, UNKNOWN, labels * shown).astype(np.float32)
    return table.assign(source="shown", **dict(zip(VERTEBRAE, found.T, strict=True)))


def seen_presence(localization: pd.DataFrame, table: pd.DataFrame, soft: bool, least: float) -> Floats:
    """How much each slice of ``table`` shows of C1..C7, (slices, 7) in 0..1: by models that were not taught the study.

    ASSUME (the sources do not say): each slice as it was predicted, not put in anatomical order.
    """
    rows = predicted_rows(localization, table[[UID, "z_index"]])
    presence = rows[list(PRESENCE)].to_numpy(np.float64)
    return presence if soft else (presence >= least).astype(np.float64)


def with_presence(table: pd.DataFrame, presence: pd.DataFrame) -> pd.DataFrame:
    """``table`` with the columns PRESENCE: 0 or 1 where a mask says so, NaN elsewhere; its rows and order as before."""
    key = [UID, "z_index"]
    known = presence.rename(columns=dict(zip(VERTEBRAE, PRESENCE, strict=True)))[[*key, *PRESENCE]]
    joined = table.merge(known, on=key, how="left", validate="1:1")
    return joined.astype(dict.fromkeys(PRESENCE, np.float32))


def with_seen_presence(table: pd.DataFrame, localization: pd.DataFrame, soft: bool, least: float) -> pd.DataFrame:
    """The same columns in every slice, as a localizer sees it (S1c, S4); see ``targets_shown``."""
    shown = seen_presence(localization, table, soft, least).astype(np.float32)
    return table.assign(**dict(zip(PRESENCE, shown.T, strict=True)))

"""Slice labels that come from elsewhere than boxes: presence from masks, fractures from the phantom's truth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cspine.errors import CspineError
from cspine.labels import COLUMNS
from cspine.studies import PRESENCE, UID, VERTEBRAE

#: What a method is taught: fractures as the boxes and pseudo-labels say, which vertebrae a slice shows, or fractures
#: as they really are, which only the phantom knows.
TARGETS = ("fracture", "presence", "truth")
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


def with_presence(table: pd.DataFrame, presence: pd.DataFrame) -> pd.DataFrame:
    """``table`` with the columns PRESENCE: 0 or 1 where a mask says so, NaN elsewhere; its rows and order as before."""
    key = [UID, "z_index"]
    known = presence.rename(columns=dict(zip(VERTEBRAE, PRESENCE, strict=True)))[[*key, *PRESENCE]]
    joined = table.merge(known, on=key, how="left", validate="1:1")
    return joined.astype(dict.fromkeys(PRESENCE, np.float32))

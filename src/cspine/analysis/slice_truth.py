"""What is known of a slice without a model: which vertebrae it shows, and whether a fracture of each is in it.

The phantom knows everything. Of real studies boxes and masks say a part; what they leave open is NaN, and counts in
nothing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cspine.bootstrap import Floats
from cspine.partial_labels import truth_of
from cspine.studies import PRESENCE, UID, UNKNOWN, VERTEBRAE

KEY = [UID, "slice_number"]
FRACTURED = tuple(f"fractured_{vertebra}" for vertebra in VERTEBRAE)
COLUMNS = [*KEY, *FRACTURED, *PRESENCE]


def truth_of_phantom(slices: pd.DataFrame) -> pd.DataFrame:
    """COLUMNS of the phantom's test slices, all of them known."""
    test = slices.loc[slices["cohort"] == "test", COLUMNS]
    return test.astype(dict.fromkeys([*FRACTURED, *PRESENCE], np.float64)).reset_index(drop=True)


def truth_of_boxes(labels: pd.DataFrame, presence: pd.DataFrame, studies: pd.DataFrame) -> pd.DataFrame:
    """COLUMNS of the slices of boxed and of unfractured training studies.

    A box names no vertebra. It is of a given one only where no other can be meant: the study's only fractured vertebra,
    or the only one of them that the slice's mask shows; otherwise every candidate stays unknown.
    ASSUME: a slice of a boxed study without a box shows no fracture (the source's rule).

    Args:
        labels: labels/slices.parquet: StudyInstanceUID, slice_number, source (box | unboxed | negative), C1..C7.
        presence: labels/presence.parquet: C1..C7 shown in the slices of segmented studies.
        studies: index/studies.parquet.
    """
    rows = labels[[*KEY, *VERTEBRAE, "source"]].merge(
        presence[[*KEY, *VERTEBRAE]], on=KEY, how="left", suffixes=("", "_shown"), validate="1:1"
    )
    shown = rows[[f"{v}_shown" for v in VERTEBRAE]].to_numpy(dtype=np.float64, copy=True)
    shown[shown == UNKNOWN] = np.nan
    said = rows[list(VERTEBRAE)].to_numpy(dtype=np.float64)
    of_study = truth_of(studies[studies["cohort"] == "train"].set_index(UID).loc[rows[UID]])[:, 1:]
    boxed = (rows["source"] == "box").to_numpy()[:, None]
    fractured = np.where(boxed, _of_boxed(of_study, shown), np.where(said == UNKNOWN, np.nan, 0.0))
    values = pd.DataFrame(np.hstack([fractured, shown]), columns=[*FRACTURED, *PRESENCE])
    return pd.concat([rows[KEY], values], axis=1)


def _of_boxed(of_study: Floats, shown: Floats) -> Floats:
    """Which vertebra a box is of, if its slice is boxed: (slices, 7)."""
    candidate = (of_study != 0) & (shown != 0)  # NaN is neither: it may be fractured, it may be in view
    count = candidate.sum(axis=1, keepdims=True)
    open_cell = np.where(count == 0, of_study != 0, candidate)  # the mask contradicts the box: nothing is known
    return np.where(candidate & (count == 1), 1.0, np.where(open_cell, np.nan, 0.0))

"""Small made-up localizations in the columns of results/localization/{localizer}/fold-{k}.parquet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cspine.box_evidence import MIDDLES, RATIO, SPINE
from cspine.studies import PRESENCE, UID


def localization_table(slices: pd.DataFrame, presence: ArrayLike = 0.5, **columns: Any) -> pd.DataFrame:
    """What a localizer with a presence head only would predict of ``slices`` (cohort, study, slice_number, z_index).

    Args:
        slices: of index/slices.parquet.
        presence: one number, or (slices, 7).
        columns: further ones, ratios or middles.
    """
    table = slices[["cohort", UID, "slice_number", "z_index"]].assign(source="predicted")
    others = [*RATIO, *SPINE, *MIDDLES[0], *MIDDLES[1]]
    table = table.assign(**dict.fromkeys([*PRESENCE, *others], np.nan)).reset_index(drop=True)
    table[list(PRESENCE)] = np.broadcast_to(np.asarray(presence, dtype=np.float64), (len(table), len(PRESENCE)))
    return table.assign(**columns)

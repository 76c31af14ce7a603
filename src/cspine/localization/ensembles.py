"""One localization from several models': means, places only where something is shown, presence in anatomical order."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.localization.anatomy import in_order
from cspine.localization.columns import BOX, MIDDLE, OUTPUTS, OWN_BOX, RATIO, SHOWN, SLICE
from cspine.studies import PRESENCE, UID, VERTEBRAE

KEY = ["cohort", *SLICE]
PRESENT = 0.5  #: presence from which a slice is said to show a vertebra
BIT = 0.05  # ASSUME: the same of the thoracic ratio, for there is no thoracic presence


def mean_of_models(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """KEY and OUTPUTS of every slice: the mean over the tables that have it, of what is known; by study and z_index.

    Args:
        tables: localized.parquet of the inner models.
    """
    joined = pd.concat([table[[*KEY, *OUTPUTS]] for table in tables], ignore_index=True)
    means = joined.groupby(KEY, sort=True)[list(OUTPUTS)].mean().reset_index()
    means = means.sort_values([UID, "z_index", "cohort"], ignore_index=True)
    return means.astype(dict.fromkeys(OUTPUTS, np.float32))


def only_where_shown(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` without the box of slices that show no vertebra, and without middle and box of vertebrae not shown."""
    present = table[list(PRESENCE)].to_numpy() >= PRESENT
    thoracic = table[RATIO[-1]].to_numpy() >= BIT  # False for NaN
    middles, own_boxes = np.repeat(present, 2, axis=1), np.repeat(present, 4, axis=1)
    return table.assign(
        **{name: table[name].where(present.any(axis=1) | thoracic) for name in BOX},
        **{name: table[name].where(middles[:, column]) for column, name in enumerate(MIDDLE)},
        **{name: table[name].where(own_boxes[:, column]) for column, name in enumerate(OWN_BOX)},
    )


def with_order(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` with the columns SHOWN: what each study most probably shows, in anatomical order."""
    presence = table[list(PRESENCE)].to_numpy(np.float64)
    shown = np.zeros((len(table), len(VERTEBRAE)), np.int8)
    for rows in slices_of_studies(table):
        shown[rows] = in_order(presence[rows])
    return table.assign(**dict(zip(SHOWN, shown.T, strict=True)))


def slices_of_studies(table: pd.DataFrame) -> list[NDArray[np.int64]]:
    """The positions of each study's slices, from the head to the feet."""
    by_z = np.argsort(table["z_index"].to_numpy(), kind="stable")
    groups = table.reset_index(drop=True).iloc[by_z].groupby(["cohort", UID], sort=True)
    return [rows.index.to_numpy() for _, rows in groups]

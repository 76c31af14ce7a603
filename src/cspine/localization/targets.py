"""What masks say about slices as what a localizer is taught, and as the rows ``mask`` of the localization table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cspine.localization.columns import BOX, MIDDLE, OUTPUTS, OWN_BOX, PIXELS, RATIO, SLICE
from cspine.studies import PRESENCE, UID, VERTEBRAE


def localized_by_masks(extents: pd.DataFrame) -> pd.DataFrame:
    """labels/extents.parquet in the columns SLICE and OUTPUTS, in its order.

    Present is 0 or 1: at least one voxel (S1b). A level of which the study's mask has no voxel has the ratio 0.
    """
    counts = extents[list(PIXELS)].to_numpy(np.float64)
    largest = extents.groupby(UID, sort=False)[list(PIXELS)].transform("max").to_numpy(np.float64)
    ratio = np.divide(counts, largest, out=np.zeros_like(counts), where=largest > 0)
    shown = (counts[:, : len(VERTEBRAE)] > 0).astype(np.float32)
    table = extents[[*SLICE, *BOX, *MIDDLE, *OWN_BOX]].assign(
        **dict(zip(PRESENCE, shown.T, strict=True)), **dict(zip(RATIO, ratio.astype(np.float32).T, strict=True))
    )
    return table[[*SLICE, *OUTPUTS]].astype(dict.fromkeys(OUTPUTS, np.float32))

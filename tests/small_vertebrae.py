"""Vertebrae of the tests: the cache of a crop view, the rows of vertebrae.parquet, and fractures that pixels show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.cache.codecs import encode
from cspine.cache.shards import VERSION, crc32, write_shard
from cspine.studies import UID, VERTEBRAE

SIDE = 64  # of the crop view's square
DEPTH = 14  # slices of a study, two to each vertebra
SLICES = 6  # looked at of each vertebra
STUDIES = ("1.0", "1.1", "1.2", "1.3")
BOX = (0.25, 0.25, 0.75, 0.75)
NO_AUGMENT: dict[str, Any] = {
    **{"probability": 0.0, "crop_scale": 1.0, "horizontal_flip": False, "vertical_flip": False},
    **{"rotation": 0, "rgb_shift": 0, "clahe": 0.0},
}


def fractured(study: int, vertebra: int) -> bool:
    return (study + vertebra) % 3 == 0


def slice_of(study: int, z: int) -> NDArray[np.uint8]:
    """A grey square with a dark gap where the vertebra of this slice is fractured; its texture is the slice's own."""
    image = np.zeros((SIDE, SIDE), np.uint8)
    image[16:48, 16:48] = np.random.default_rng(100 * study + z).integers(150, 200, (32, 32))
    if fractured(study, z // 2):
        image[28:36, 16:48] = 0
    return image


def write_cache(path: Path) -> Path:
    """One shard with all STUDIES."""
    rows = []
    for study, uid in enumerate(STUDIES):
        for z in range(DEPTH):
            blob = encode(slice_of(study, z))
            rows.append({UID: uid, "z_index": z, "slice_number": z + 1, "position": -1.0 * z, "rows": SIDE})
            rows[-1] |= {"columns": SIDE, "row_spacing": 1.0, "column_spacing": 1.0, "reversed": False}
            rows[-1] |= {"crc32": crc32(blob), "pixels": blob}
    footer = {"view": "crop", "cohort": "train", "pixels": SIDE, "codec": "zstd-delta", "version": VERSION}
    write_shard(path, rows, footer)
    return path


def vertebrae_table() -> pd.DataFrame:
    """The vertebrae of STUDIES with their labels, as a training set has them."""
    rows = [
        {"cohort": "train", UID: uid, "vertebra": vertebra, "found": True, "slices": 2}
        | {"z_indices": np.repeat([2 * v, 2 * v + 1], SLICES // 2).astype(np.int32)}
        | {corner: np.full(SLICES, at, np.float32) for corner, at in zip(("x0", "y0", "x1", "y1"), BOX, strict=True)}
        | {"fractured": np.float32(fractured(study, v)), "weight": np.float32(1), "role": "train"}
        for study, uid in enumerate(STUDIES)
        for v, vertebra in enumerate(VERTEBRAE)
    ]
    return pd.DataFrame(rows)


def tables_of(table: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each study, in its order."""
    return [rows for _, rows in table.groupby(UID, sort=False)]

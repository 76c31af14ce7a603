"""Studies whose vertebrae are bright blocks, as a cache with masks and a training set: for what reads whole studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cspine.cache.codecs import crc32, encode
from cspine.cache.shards import VERSION, write_shard
from cspine.studies import UID
from cspine.tables import write_table

PIXELS, ROWS, COLUMNS = 24, 48, 40
NETWORK: dict[str, Any] = {"name": "unet", "weights": "none", "cube": 16, "channels": [8, 16, 32], "dropout": 0.0}
AUGMENT: dict[str, Any] = {"probability": 0.5, "horizontal_flip": True, "rotation": 10.0, "scale": 0.1, "shift": 0.05}
AUGMENT |= {"brightness": 0.1}


def labels_of(slices: int, start: int = 0) -> np.ndarray:
    """Labels (slices, pixels, pixels): a block for each of C1..C7 and a thoracic vertebra, from slice ``start`` on."""
    labels = np.zeros((slices, PIXELS, PIXELS), np.uint8)
    edges = np.linspace(start, slices, 9).round().astype(int)
    for level in range(8):  # each a little further back than the one above
        labels[edges[level] : edges[level + 1], 4 + level : 14 + level, 6:18] = level + 1
    return labels


def pixels_of(labels: np.ndarray, seed: int) -> np.ndarray:
    """Grey levels of it: every vertebra as bright as its level, in noise."""
    random = np.random.default_rng(seed)
    return np.clip(40 + 25.0 * labels + random.normal(0, 5, labels.shape), 0, 255).astype(np.uint8)


def write_volumes(folder: Path, slices: tuple[int, ...] = (20, 26, 30)) -> pd.DataFrame:
    """One study of each number of slices (1.0, 1.1, ...), the last of role select; returns the rows of the index.

    shard-0.parquet, masks.parquet (no plane shows the last two slices of study 1.0), training_set.parquet.
    """
    rows, masks = [], []
    for study, count in enumerate(slices):
        labels = labels_of(count, start=2 * study)
        pixels = pixels_of(labels, study)
        for z in range(count):
            blob = encode(pixels[z])
            geometry = {UID: f"1.{study}", "z_index": z, "slice_number": z + 1, "position": -1.0 * z, "rows": ROWS}
            rest = {"columns": COLUMNS, "row_spacing": 1.0, "column_spacing": 1.0, "reversed": False}
            rows.append(geometry | rest | {"crc32": crc32(blob), "pixels": blob})
            if study or z < count - 2:
                role = "select" if study == len(slices) - 1 else "train"
                masks.append({UID: f"1.{study}", "z_index": z, "mask": encode(labels[z]), "weight": 1.0, "role": role})
    footer = {"view": "slice", "cohort": "train", "pixels": PIXELS, "codec": "zstd-delta", "version": VERSION}
    write_shard(folder / "shard-0.parquet", rows, footer | {"centre": 1.0})
    write_table(pd.DataFrame(masks), folder / "training_set.parquet")
    write_table(pd.DataFrame(masks)[[UID, "z_index", "mask"]], folder / "masks.parquet")
    return pd.DataFrame(rows).drop(columns="pixels").assign(cohort="train", shard=0)

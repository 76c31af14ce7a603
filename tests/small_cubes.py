"""Studies as cubes of the view ``volume``, a bright block at each fractured vertebra, with a training set of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cspine.cache.codecs import crc32, encode
from cspine.cache.shards import VERSION, write_shard
from cspine.studies import LABELS, UID, VERTEBRAE
from cspine.tables import write_table

SIDE = 16
NETWORK: dict[str, Any] = {"name": "cnn_3d", "weights": "none", "channels": [8, 8], "hidden": [16], "dropout": 0.0}
NETWORK |= {"pool": 4}
AUGMENT: dict[str, Any] = {
    "anisotropy_probability": 0.5,
    "anisotropy": 4.0,
    "affine_probability": 0.5,
    "rotation": 10.0,
    "scale": 0.1,
    "shift": 0.05,
    "noise_probability": 0.5,
    "noise": 0.1,
    "flip_probability": 0.5,
    "flip_axes": ["left_right"],
}
FRACTURED = ("", "C2", "C5 C6", "C1", "", "C7", "C3", "C4")  # of the studies 1.0, 1.1, ...


def cube_of(fractured: str, seed: int, side: int = SIDE) -> np.ndarray:
    """(side, side, side): noise, and at the height of each fractured vertebra a bright block on the patient's right."""
    cube = np.random.default_rng(seed).normal(80, 10, (side, side, side))
    for vertebra in fractured.split():
        z = VERTEBRAE.index(vertebra) * side // len(VERTEBRAE)
        cube[z : z + 3, 4:12, : side // 2] += 120
    return np.clip(cube, 0, 255).astype(np.uint8)


def write_cubes(folder: Path, studies: int = 6, side: int = SIDE, slices: int = 0) -> pd.DataFrame:
    """shard-0.parquet and training_set.parquet of so many studies, the last of role select; returns the latter.

    Args:
        studies: how many.
        side: of the cubes.
        slices: of each study, where not ``side``.
    """
    rows, table = [], []
    for study, fractured in enumerate(FRACTURED[:studies]):
        cube = cube_of(fractured, study, side)
        for z in range(slices or side):
            blob = encode(cube[z])
            geometry = {UID: f"1.{study}", "z_index": z, "slice_number": z, "position": -1.0 * z, "rows": side}
            rest = {"columns": side, "row_spacing": 1.0, "column_spacing": 1.0, "reversed": False}
            rows.append(geometry | rest | {"crc32": crc32(blob), "pixels": blob})
        labels = {"patient_overall": float(bool(fractured))} | {v: float(v in fractured.split()) for v in VERTEBRAE}
        role = "select" if study == studies - 1 else "train"
        table.append({UID: f"1.{study}", **labels, "role": role, "weight": 1.0})
    footer = {"view": "volume", "cohort": "train", "pixels": side, "codec": "zstd-delta", "version": VERSION}
    write_shard(folder / "shard-0.parquet", rows, footer)
    training_set = pd.DataFrame(table).astype(dict.fromkeys((*LABELS, "weight"), np.float32))
    write_table(training_set, folder / "training_set.parquet")
    return training_set

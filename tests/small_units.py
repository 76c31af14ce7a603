"""Worlds of the tests: a small cache, a training set and what is to be predicted, for families of each unit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cspine.cache.codecs import crc32, encode
from cspine.cache.shards import write_shard
from cspine.studies import LABELS, PRESENCE, UID, VERTEBRAE
from cspine.tables import write_table

STUDIES = 8
SIDE = 32  # of a slice, and of a cube


@dataclass(frozen=True)
class World:
    """Everything a family of one unit needs."""

    folder: Path
    shards: list[Path]
    training_set: Path
    tables: list[pd.DataFrame]  # a study's rows each, to be predicted


def world_of(folder: Path, unit: str, seed: int = 0) -> World:
    """A world for families whose example is a slice, a vertebra or a study."""
    random = np.random.default_rng(seed)
    slices = SIDE if unit == "study" else 12
    bright = {f"1.{number}": number % 2 for number in range(STUDIES)}
    shard = folder / "shard-0.parquet"
    rows = [row for uid, level in bright.items() for row in _slices(random, uid, slices, 60 * level)]
    kind = {"slice": "slice", "vertebra": "crop", "study": "volume"}[unit]
    write_shard(shard, rows, {"view": kind, "cohort": "train", "pixels": SIDE, "codec": "zstd-delta"})
    labels = pd.DataFrame([{UID: uid, **dict.fromkeys(LABELS, float(level))} for uid, level in bright.items()]).astype(
        dict.fromkeys(LABELS, np.float32)
    )
    made = {"slice": _of_slices, "vertebra": _of_vertebrae, "study": _of_studies}[unit](labels, slices)
    table = made.assign(source="study", weight=np.float32(1))
    table["role"] = np.where(table[UID].isin(["1.6", "1.7"]), "select", "train")
    write_table(table, folder / "training_set.parquet")
    keys = [name for name in made.columns if name not in (*LABELS, *PRESENCE, "fractured")]
    whole = made[keys].assign(cohort="train")
    return World(folder, [shard], folder / "training_set.parquet", [rows for _, rows in whole.groupby(UID, sort=True)])


def _slices(random: np.random.Generator, uid: str, count: int, brighter: int) -> list[dict[str, Any]]:
    rows = []
    for z in range(count):
        blob = encode((random.integers(0, 120, (SIDE, SIDE)) + brighter).astype(np.uint8))
        place = {UID: uid, "z_index": z, "slice_number": z + 1, "position": -1.0 * z, "rows": SIDE, "columns": SIDE}
        rest = {"row_spacing": 1.0, "column_spacing": 1.0, "reversed": False, "crc32": crc32(blob), "pixels": blob}
        rows.append(place | rest)
    return rows


def _of_slices(labels: pd.DataFrame, slices: int) -> pd.DataFrame:
    """Every slice with its study's labels, and all vertebrae shown."""
    z = pd.DataFrame({"z_index": np.arange(slices, dtype=np.int32), "slice_number": np.arange(slices) + 1})
    table = labels[[UID, *VERTEBRAE]].merge(z, how="cross")
    return table.assign(**dict.fromkeys(PRESENCE, np.float32(1)))


def _of_vertebrae(labels: pd.DataFrame, slices: int) -> pd.DataFrame:
    """Seven vertebrae a study, each in all slices and a box in the middle."""
    table = labels[[UID, *VERTEBRAE]].melt(UID, list(VERTEBRAE), "vertebra", "fractured")
    lists: dict[str, Any] = {"z_indices": np.arange(slices, dtype=np.int32)}
    lists |= {
        name: np.full(slices, share, np.float32)
        for name, share in zip(("x0", "y0", "x1", "y1"), (0.2, 0.2, 0.8, 0.8), strict=True)
    }
    for name, values in lists.items():
        table[name] = [values] * len(table)
    return table.assign(found=True, slices=np.int32(slices)).sort_values([UID, "vertebra"], ignore_index=True)


def _of_studies(labels: pd.DataFrame, slices: int) -> pd.DataFrame:
    return labels

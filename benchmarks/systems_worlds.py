"""A cache and tables of the size of the real set's studies, for a system of any unit, its pixels noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cspine.cache.codecs import crc32, encode
from cspine.cache.shards import write_shard
from cspine.layers import Config
from cspine.methods.registry import family_of
from cspine.studies import LABELS, PRESENCE, UID, VERTEBRAE

SLICES = 352  # of a study: the real set's mean
STUDIES = 2
SPINE = 160  # slices of a crop, which shows the cervical spine only


@dataclass(frozen=True)
class World:
    """What a system is asked with.

    Attributes:
        shard: the cache.
        table: examples to be taught.
        tables: the rows of one study each.
    """

    shard: Path
    table: pd.DataFrame
    tables: list[pd.DataFrame]


def world_of(folder: Path, block: Config, view: Config, judges: bool) -> World:
    """Two studies in the view's size."""
    kind, pixels = view.get("kind", "slice"), int(view["pixels"])
    slices = {"slice": SLICES, "crop": SPINE, "volume": pixels}[kind]
    shard = folder / f"{kind}-{pixels}.parquet"
    names = [f"1.{number}" for number in range(STUDIES)]
    if not shard.exists():
        footer = {"view": kind, "cohort": "train", "pixels": pixels, "codec": "zstd-delta", "centre": 1.0}
        write_shard(shard, _rows(names, slices, pixels), footer)
    unit = family_of(block["family"]).unit if judges else "slice"
    made = _of_unit(unit, names, slices, block).assign(cohort="train", weight=np.float32(1), source="study")
    return World(shard, made, [rows for _, rows in made.groupby(UID, sort=True)])


def _of_unit(unit: str, names: list[str], slices: int, block: Config) -> pd.DataFrame:
    studies = pd.DataFrame({UID: names, **dict.fromkeys(LABELS, np.float32(1))})
    if unit == "study":
        return studies
    if unit == "slice":
        z = pd.DataFrame({"z_index": np.arange(slices, dtype=np.int32), "rows": 512, "columns": 512})
        table = studies[[UID, *VERTEBRAE]].merge(z, how="cross")
        return table.assign(**dict.fromkeys(PRESENCE, np.float32(1)))
    shown = block["network"].get("vertebra", "all")
    levels = list(VERTEBRAE) if shown == "all" else [shown]
    table = studies[[UID, *levels]].melt(UID, levels, "vertebra", "fractured")
    count = int(block["vertebrae"]["slices"])
    lists: dict[str, Any] = {"z_indices": np.linspace(0, slices - 1, count).round().astype(np.int32)}
    for side, share in {"x0": 0.25, "y0": 0.25, "x1": 0.75, "y1": 0.75}.items():
        lists[side] = np.full(count, share, np.float32)
    for name, values in lists.items():
        table[name] = [values] * len(table)
    return table.assign(found=True, slices=np.int32(count))


def _rows(names: list[str], slices: int, pixels: int) -> Iterator[dict[str, Any]]:
    random = np.random.default_rng(0)
    noise = random.integers(0, 40, (2 * pixels, 2 * pixels)).astype(np.uint8)
    y, x = np.mgrid[:pixels, :pixels] / pixels - 0.5
    neck = (80 * (np.hypot(x, y) < 0.35) + 100 * (np.hypot(x, y - 0.05) < 0.12)).astype(np.uint8)
    for uid in names:
        for z in range(slices):
            top, left = random.integers(0, pixels, 2)
            blob = encode(neck + noise[top : top + pixels, left : left + pixels])
            place = {UID: uid, "z_index": z, "slice_number": z + 1, "position": -float(z), "rows": 512, "columns": 512}
            rest = {"row_spacing": 0.4, "column_spacing": 0.4, "reversed": False, "crc32": crc32(blob), "pixels": blob}
            yield place | rest

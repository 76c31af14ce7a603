"""A small cache with its training set, and the stage ``train`` on it: for the tests of whole trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cspine.cache.codecs import encode
from cspine.cache.shards import VERSION, crc32, write_shard
from cspine.stages.train import TrainConfig, train
from cspine.studies import PRESENCE, UID, VERTEBRAE
from cspine.tables import write_table
from training_makers import config_of

FILES = ("model.safetensors", "history.parquet", "state.safetensors")
PIXELS = 32
NETWORK = {"name": "test_efficientnet", "weights": "none", "trainable": "all", "dropout": 0.2, "neighbours": 1}
AUGMENT = {"probability": 0.5, "crop_scale": 0.7, "horizontal_flip": True, "vertical_flip": True}
AUGMENT |= {"rotation": 15.0, "rgb_shift": 20.0, "clahe": 2.0}
FEW: dict[str, Any] = {"epochs": 1, "epoch_steps": 3, "ema": 0.9, "optimizer": "adamw", "schedule": "cosine"}
EVERYTHING: dict[str, Any] = {
    "batch_size": "auto",
    "accumulate": 2,
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warmup_steps": 1,
    "ema": 0.9,
    "mixup": 0.4,
    "patient_term": True,
    "presence_weight": 0.3,
    "any_fracture_weight": 0.3,
    "sampling": "balanced",
    "patience": 2,
    "keep": "best",
    "clip_gradient": 1.0,
}


def write_files(folder: Path) -> None:
    """Six studies of eight slices in one shard, their training set and their index."""
    random = np.random.default_rng(0)
    rows, taught = [], []
    for study in range(6):
        for z in range(8):
            blob = encode(random.integers(0, 256, (PIXELS, PIXELS)).astype(np.uint8))
            geometry = {UID: f"1.{study}", "z_index": z, "slice_number": z + 1}
            rest = {"position": -1.0 * z, "rows": PIXELS, "columns": PIXELS, "row_spacing": 1.0, "column_spacing": 1.0}
            rows.append(geometry | rest | {"reversed": False, "crc32": crc32(blob), "pixels": blob})
            targets = dict.fromkeys(VERTEBRAE, 0.0) | {"C3": float(z in (2, 3) and study % 2)}
            shown = dict(zip(PRESENCE, (np.nan if study % 3 else float(z == level) for level in range(7)), strict=True))
            role = "select" if study == 5 else "train"
            taught.append(geometry | targets | shown | {"source": "box", "weight": 1.0, "role": role})
    footer = {"view": "slice", "cohort": "train", "pixels": PIXELS, "codec": "zstd-delta", "version": VERSION}
    write_shard(folder / "shard-0.parquet", rows, footer)
    table = pd.DataFrame(taught)
    write_table(table, folder / "training_set.parquet")
    write_table(table[[UID, "slice_number", "z_index"]].assign(cohort="train", shard=0), folder / "slices.parquet")


def trained(
    place: Path, name: str, init_from: Path | None = None, continue_from: Path | None = None, **changes: Any
) -> Path:
    """The model of a training in ``place/name`` with the plain settings but for ``changes``; its files beside it."""
    network, augment = NETWORK | changes.pop("network", {}), AUGMENT | changes.pop("augment", {})
    config = TrainConfig("slice_cnn", "slice", changes.pop("seed", 7), network, config_of(**changes), augment)
    scratch = place / name / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    model, history, state = (place / name / file for file in FILES)
    train(
        place / "training_set.parquet", [place / "shard-0.parquet"], model, history, state, scratch,
        init_from=init_from, continue_from=continue_from, config=config,
    )  # fmt: skip
    return model

"""Eight made-up studies of which six have masks, and the chain of a localizer's stages on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cspine.cache.codecs import encode
from cspine.cache.shards import VERSION, crc32, write_shard
from cspine.localization.columns import PIXELS
from cspine.masks.extents import COLUMNS, extent_of
from cspine.stages.build_localizer_set import LocalizerSetConfig, build_localizer_set
from cspine.stages.localize_slices import LocalizeConfig, localize_slices
from cspine.stages.predict_localizer import predict_localizer
from cspine.stages.predict_slices import PredictConfig
from cspine.stages.train import TrainConfig, train
from cspine.studies import UID
from cspine.tables import read_table, write_table
from training_makers import config_of

PIXELS_A_SIDE = 32
PARTS = 2
#: study -> its role in fold 0; the last two have no mask, and the one before them is held out
ROLES = {f"1.{n}": role for n, role in enumerate(["train", "train", "train", "select", "select", "heldout", "train"])}
SEGMENTED = [f"1.{n}" for n in range(6)]
TEST_STUDY = "9.0"
AUGMENT: dict[str, Any] = {"probability": 0.5, "crop_scale": 1.0, "horizontal_flip": True, "vertical_flip": False}
AUGMENT |= {"rotation": 10.0, "rgb_shift": 0.0, "clahe": 0.0, "brightness": 0.2, "shift_scale": 0.1, "cutout": 0.2}
NETWORK: dict[str, Any] = {
    "name": "test_efficientnet",
    "weights": "none",
    "trainable": "all",
    "dropout": 0.0,
    "neighbours": 1,
}


def labels_of(study: int, z: int) -> np.ndarray:
    """A mask's slice: two slices for each of C1..C4, a square that moves with the study."""
    labels = np.zeros((PIXELS_A_SIDE, PIXELS_A_SIDE), np.uint8)
    labels[10 : 14 + 2 * (z % 2), 6 + study : 14 + study] = z // 2 + 1
    return labels


def write_data(folder: Path) -> None:
    """The cache, the index, the folds and what the masks say."""
    index, extents = [], []
    for cohort, uids in (("train", list(ROLES)), ("test", [TEST_STUDY])):
        rows = []
        for study, uid in enumerate(uids):
            for z in range(8):
                labels = labels_of(study, z)
                blob = encode((labels > 0).astype(np.uint8) * np.uint8(60 + 20 * (z // 2)))
                geometry = {UID: uid, "z_index": z, "slice_number": z + 1, "position": -1.0 * z}
                geometry |= {"rows": PIXELS_A_SIDE, "columns": PIXELS_A_SIDE, "row_spacing": 1.0, "column_spacing": 1.0}
                geometry |= {"reversed": False, "crc32": crc32(blob)}
                rows.append(geometry | {"pixels": blob})
                index.append({"cohort": cohort, **geometry, "shard": 0})
                if uid in SEGMENTED:
                    values = dict(zip(COLUMNS, extent_of(labels), strict=True))
                    extents.append({UID: uid, "slice_number": z + 1, "z_index": z} | values)
        footer = {"view": "slice", "cohort": cohort, "pixels": PIXELS_A_SIDE, "centre": 1.0, "codec": "zstd-delta"}
        write_shard(folder / f"{cohort}.parquet", rows, footer | {"version": VERSION})
    write_table(pd.DataFrame(index), folder / "slices.parquet")
    table = pd.DataFrame(extents).astype(dict.fromkeys(COLUMNS, np.float32) | dict.fromkeys(PIXELS, np.int32))
    write_table(table, folder / "extents.parquet")
    roles = pd.DataFrame([(0, uid, role) for uid, role in ROLES.items()], columns=["fold", UID, "role"])
    write_table(roles, folder / "folds.parquet")


@dataclass(frozen=True)
class Localizer:
    """A localizer of one family on the data in ``folder``, its own files below it."""

    folder: Path
    family: str = "slice_localizer"
    presence_weight: float = 1.0
    steps: int = 2

    def file(self, name: str, inner: int | None = None) -> Path:
        place = self.folder / f"{self.family}-{self.presence_weight}" / ("" if inner is None else str(inner))
        place.mkdir(parents=True, exist_ok=True)
        return place / name

    def build(self, inner: int) -> pd.DataFrame:
        extents, slices, folds = (self.folder / f"{name}.parquet" for name in ("extents", "slices", "folds"))
        config = LocalizerSetConfig(fold=0, inner=inner, parts=PARTS, seed=1)
        build_localizer_set(extents, slices, folds, self.file("set.parquet", inner), config=config)
        return read_table(self.file("set.parquet", inner))

    def train(self, inner: int) -> None:
        changes: dict[str, Any] = {"epochs": 1, "epoch_steps": self.steps, "batch_size": 8, "learning_rate": 5e-3}
        training = config_of(loss="bce", presence_weight=self.presence_weight, **changes)
        config = TrainConfig(self.family, "slice", 7 + inner, NETWORK, training, AUGMENT)
        model, history, state = (self.file(name, inner) for name in ("model.safetensors", "history.parquet", "state"))
        shards = [self.folder / "train.parquet"]
        scratch = self.file("scratch", inner)
        scratch.mkdir(exist_ok=True)
        train(self.file("set.parquet", inner), shards, model, history, state, scratch, config=config)

    def predict(self, inner: int) -> pd.DataFrame:
        parts = self.file("parts", inner)
        parts.mkdir(exist_ok=True)
        shards = [self.folder / "train.parquet", self.folder / "test.parquet"]
        inputs = self.file("model.safetensors", inner), self.file("set.parquet", inner), self.folder / "slices.parquet"
        out = self.file("localized.parquet", inner), self.file("studies.parquet", inner)
        config = PredictConfig(self.family, "slice", 5, "fp32", 1)
        predict_localizer(*inputs, shards, *out, parts, config=config)
        return read_table(out[0])

    def localize(self) -> pd.DataFrame:
        extents, slices, folds = (self.folder / f"{name}.parquet" for name in ("extents", "slices", "folds"))
        tables = [self.file("localized.parquet", inner) for inner in range(PARTS)]
        localize_slices(extents, slices, folds, tables, self.file("fold-0.parquet"), config=LocalizeConfig(0))
        return read_table(self.file("fold-0.parquet"))

    def run(self) -> pd.DataFrame:
        """The whole chain: results/localization/{localizer}/fold-0.parquet."""
        for inner in range(PARTS):
            self.build(inner)
            self.train(inner)
            self.predict(inner)
        return self.localize()

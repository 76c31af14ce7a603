"""Inputs of gather_studies, small and made up: slices are told apart by their grey, and all is said of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cspine.cache.codecs import crc32, encode
from cspine.cache.shards import write_shard
from cspine.labels import LabelConfig, label_slices_from_boxes
from cspine.stages.gather_studies import BrowseConfig, gather_studies
from cspine.studies import PRESENCE, UID, VERTEBRAE
from cspine.tables import read_table, write_table
from cspine.views.windows import resize_slice
from small_cohort import boxes_table, slices_table, studies_table, study

PIXELS, CENTRE = 24, 0.75
ROWS, COLUMNS = 40, 48  # of a stored slice
SLICES = 12
HOW = {"view": "slice", "pixels": PIXELS, "centre": CENTRE, "codec": "zstd-delta"}
HOW |= {"window_center": 400.0, "window_width": 2000.0}
BOXED, PLAIN, PSEUDO, TEST = "1.2.826.0.1.77.1", "1.2.826.0.1.77.2", "1.2.826.0.1.77.3", "1.2.826.0.1.88.4"
MASKED = (range(4, 7), slice(8, 14), slice(6, 18))  # slices, rows and columns of the view that are C3
BOX_AT = 15  # slice_number, which is z_index 5


def grey(z: int) -> int:
    """Of slice ``z``, all of it but what a picture adds."""
    return 20 + 15 * z


def slice_image(z: int) -> np.ndarray:
    """The slice in its view."""
    return resize_slice(np.full((ROWS, COLUMNS), grey(z), np.uint8), PIXELS, CENTRE)


@dataclass
class Given:
    """The tables that are given to the stage; change them before ``gather``."""

    folder: Path
    studies: pd.DataFrame = field(
        default_factory=lambda: studies_table(
            study(BOXED, "C3 C6", slices=SLICES, boxed=True, segmented=True),
            study(PLAIN, slices=SLICES, reversed=True),
            study(PSEUDO, "C2", slices=SLICES),
            study(TEST, cohort="test", slices=SLICES),
        )
    )
    shown: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(
            [
                ("heldout", BOXED, "false negative: C3"),
                ("test", TEST, "found: C5"),
                ("train", PSEUDO, "pseudo-labelled"),
            ],
            columns=["cohort", UID, "why"],
        ).assign(fold=2)
    )
    boxes: pd.DataFrame = field(default_factory=lambda: boxes_table((BOXED, BOX_AT)))
    findings: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=[UID, "code"], dtype="str"))
    config: BrowseConfig = field(default_factory=lambda: BrowseConfig([2]))
    more: dict[str, Any] = field(default_factory=dict)  # inputs that replace those made here

    @property
    def slices(self) -> pd.DataFrame:
        """index/slices.parquet."""
        table = slices_table(self.studies)
        geometry = {"rows": ROWS, "columns": COLUMNS, "row_spacing": 2.0, "column_spacing": 2.0}
        return table.assign(position=-3.0 * table["z_index"], **geometry)

    def said(self, **peaks: tuple[str, str, int]) -> pd.DataFrame:
        """A row per slice with 0.05 for every vertebra and 0.9 at each (study, vertebra, z_index) of ``peaks``."""
        table = self.slices[["cohort", UID, "slice_number", "z_index"]].assign(**dict.fromkeys(VERTEBRAE, 0.05))
        for uid, vertebra, z in peaks.values():
            table.loc[(table[UID] == uid) & (table["z_index"] == z), vertebra] = 0.9
        return table

    def predictions(self) -> pd.DataFrame:
        """predictions.parquet, its rows in no order."""
        peaks = {"a": (BOXED, "C3", 7), "b": (TEST, "C5", 2), "c": (PSEUDO, "C2", 9)}
        return self.said(**peaks).sample(frac=1.0, random_state=1)

    def pseudo_labels(self) -> pd.DataFrame:
        """Of the study without boxes; its first slice is left out."""
        table = self.said(a=(PSEUDO, "C2", 8))
        table = table[table[UID] == PSEUDO].drop(columns="cohort")
        table.loc[table["z_index"] == 0, list(VERTEBRAE)] = np.nan
        return table

    def truth(self) -> pd.DataFrame:
        """The phantom's, of two studies: C5 of the test study is fractured in slices 3 and 4, and shown in 2 to 5."""
        table = self.slices[["cohort", UID, "slice_number", "z_index"]]
        table = table[table[UID].isin([TEST, PLAIN])]
        own, z = (table[UID] == TEST), table["z_index"]
        fractured = {f"fractured_{v}": (own & z.isin([3, 4]) & (v == "C5")).astype("int8") for v in VERTEBRAE}
        present = {p: (own & z.between(2, 5) & (p == "present_C5")).astype("int8") for p in PRESENCE}
        return table.assign(**fractured, **present)

    def presence(self) -> pd.DataFrame:
        """The mask's word on its study; no plane shows the last slice."""
        table = self.slices.loc[self.slices[UID] == BOXED, [UID, "slice_number", "z_index"]]
        last = table["z_index"] == SLICES - 1
        shown = {v: (table["z_index"].isin(MASKED[0]) & (v == "C3")).astype("int8").mask(last, -1) for v in VERTEBRAE}
        return table.assign(**shown)

    def masks(self) -> pd.DataFrame:
        """The voxels of C3 in the view."""
        labels = np.zeros((PIXELS, PIXELS), np.uint8)
        labels[MASKED[1:]] = 3
        rows = [{UID: BOXED, "slice_number": 10 + z, "z_index": z, "mask": encode(labels)} for z in MASKED[0]]
        return pd.DataFrame(rows).astype({"slice_number": "int32", "z_index": "int32"})

    def shards(self) -> list[Path]:
        """One of each cohort, of the studies in the index."""
        paths = []
        for cohort, rows in self.slices.groupby("cohort"):
            paths.append(self.folder / f"shard-{cohort}.parquet")
            cached = []
            for row in rows.sort_values([UID, "z_index"]).to_dict("records"):
                blob = encode(slice_image(row["z_index"]))
                named = {str(name): value for name, value in row.items()}
                cached.append(named | {"reversed": False, "crc32": crc32(blob), "pixels": blob})
            write_shard(paths[-1], iter(cached), HOW)
        return paths

    def gather(self) -> pd.DataFrame:
        """browsed.parquet of all that."""
        labels, _ = label_slices_from_boxes(self.studies, self.slices, self.boxes, LabelConfig())
        tables = {"shown": self.shown, "studies": self.studies, "slices": self.slices, "findings": self.findings}
        tables |= {"labels": labels, "presence": self.presence(), "truth": self.truth()}
        listed = {"predictions": self.predictions(), "pseudo_labels": self.pseudo_labels(), "masks": self.masks()}
        inputs: dict[str, Any] = {}
        for name, table in {**tables, **listed}.items():
            path = self.folder / f"{name}.parquet"
            write_table(table, path)
            inputs[name] = [path] if name in listed else path
        self.boxes.to_csv(self.folder / "boxes.csv", index=False)
        test, train = self.shards()
        inputs |= {"boxes": self.folder / "boxes.csv", "train_shards": [train], "test_shards": [test]} | self.more
        gather_studies(**inputs, browsed=self.folder / "browsed.parquet", config=self.config)
        return read_table(self.folder / "browsed.parquet")

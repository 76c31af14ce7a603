"""What reading pixels, masks and networks would leave behind, made up: the tables that the table stages start from.

Columns and types are those of the real tables; values are such that losses, thresholds and runs have something to find.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from full_studies import Study, with_folder

from cspine.cache.codecs import crc32, encode
from cspine.cache.shards import write_shard
from cspine.findings import findings_table
from cspine.folds import roles_of
from cspine.hashing import shard_of
from cspine.localization.columns import BOX, DICE, MIDDLE, OUTPUTS, OWN_BOX, PIXELS, RATIO, SLICE
from cspine.model_headers import METADATA
from cspine.planning import Job
from cspine.studies import LABELS, PRESENCE, UID, VERTEBRAE
from cspine.tables import read_table, write_table

PICTURES, SIDE = 4_096, 8  # different pictures in the cache, pixels a side: digests differ, bytes hardly count
SPACING = 0.8  # mm from slice to slice
HISTORY = ["train_loss", "select_loss", "select_accuracy", "select_accuracy_all_negative", "select_sensitivity",
           "select_specificity"]  # fmt: skip


class StandIns:
    """Makes the outputs of a job whose stage needs pixels, masks or a network."""

    def __init__(self, studies: Sequence[Study], shards: int, seed: int = 0) -> None:
        self.studies, self.count = with_folder(studies), shards
        self.random = np.random.default_rng(seed)
        noise = self.random.integers(0, 255, (PICTURES, SIDE, SIDE)).astype(np.uint8)
        blobs = [encode(picture) for picture in noise]
        self.blobs = [(blob, crc32(blob)) for blob in blobs]
        self.slices = self._slices()
        self.shown = self._shown()

    def make(self, job: Job) -> None:
        """Write the outputs of ``job`` to their declared places.

        Raises:
            KeyError: its stage has no stand-in.
        """
        for paths in job.outputs.values():
            for path in paths:
                path.parent.mkdir(parents=True, exist_ok=True)
        MAKERS[job.stage](self, job)

    # -- pixels ----------------------------------------------------------------------------------------------------

    def form(self, job: Job) -> None:
        """form.json and size_plan.json."""
        for paths in job.outputs.values():
            paths[0].write_text(json.dumps({"pixels": SIDE, "codec": "zstd-delta"}), encoding="utf-8")

    def shard(self, job: Job) -> None:
        """A shard of the cache, its studies and its findings."""
        path = job.outputs["shard"][0]
        cohort, number = path.parent.name, int(path.stem.split("-")[1])
        own = [s for s in self.studies if s.cohort == cohort and shard_of(s.uid, self.count) == number]
        own.sort(key=lambda study: study.uid)
        footer = {"view": "slice", "cohort": cohort, "pixels": SIDE, "codec": "zstd-delta", "centre": 1.0,
                  "window_center": 400.0, "window_width": 2000.0}  # fmt: skip
        write_shard(path, (row for study in own for row in self._rows(study)), footer)
        kinds = {"slices": np.int32, "thickness": np.float32, "readable": bool, "reversed": bool}
        read = [{UID: s.uid, "slices": s.slices, "readable": True, "thickness": SPACING, "reversed": s.reversed,
                 "reason": ""} for s in own]  # fmt: skip
        columns = [UID, "slices", "readable", "thickness", "reversed", "reason"]
        write_table(pd.DataFrame(read, columns=columns).astype(kinds), job.outputs["studies"][0])
        write_table(findings_table([]), job.outputs["findings"][0])

    def _rows(self, study: Study) -> Any:
        for z, picture in enumerate(self.random.integers(0, PICTURES, study.slices).tolist()):
            blob, checksum = self.blobs[picture]
            place = {UID: study.uid, "z_index": z, "slice_number": study.number(z), "position": -SPACING * z}
            size = {"rows": 512, "columns": 512, "row_spacing": 0.4, "column_spacing": 0.4}
            yield place | size | {"reversed": study.reversed, "crc32": checksum, "pixels": blob}

    # -- masks -----------------------------------------------------------------------------------------------------

    def presence(self, job: Job) -> None:
        """What the masks show of each slice of the segmented studies."""
        segmented = {study.uid for study in self.studies if study.segmented}
        own = self.slices[UID].isin(segmented).to_numpy()
        rows, shown = self.slices.loc[own, list(SLICE)].reset_index(drop=True), self.shown[own]
        write_table(rows.assign(**_columns(VERTEBRAE, shown.astype(np.int8))), job.outputs["presence"][0])
        thoracic = np.zeros((len(rows), 1))
        counts = _columns(PIXELS, np.rint(900 * np.hstack([shown, thoracic])).astype(np.int32))
        write_table(rows.assign(**counts, **_places(shown)), job.outputs["extents"][0])
        masks = pd.DataFrame({UID: sorted(segmented)}).assign(
            file="", orientation="rule", planes=np.int32(300), slices=np.int32(300), matched=np.int32(300),
            bone_share=np.float32(1), strays=np.int32(0), levels="C1 C2 C3 C4 C5 C6 C7",
        )  # fmt: skip
        write_table(masks, job.outputs["masks"][0])
        write_table(findings_table([]), job.outputs["findings"][0])

    def voxels(self, job: Job) -> None:
        """No labelled voxels: the rows of a shard of masks without a row."""
        empty = self.slices.loc[:0, list(SLICE)].iloc[:0].assign(mask=pd.Series(dtype=object))
        write_table(empty, job.outputs["masks"][0])

    # -- networks --------------------------------------------------------------------------------------------------

    def model(self, job: Job) -> None:
        """A model without weights, and a history of one epoch."""
        said = json.dumps({"trained_weights": 1, "network": {"name": "none"}})
        weight = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
        header = json.dumps({"__metadata__": {METADATA: said}, "w": weight}).encode()
        content = struct.pack("<Q", len(header)) + header + bytes(4)
        for paths in job.outputs.values():
            for path in paths:
                path.write_bytes(content)
        row = {"part": 0.0, "epoch": 1.0, "steps": 100.0, "learning_rate": 1e-3, **dict.fromkeys(HISTORY, 0.5)}
        write_table(pd.DataFrame([row]), job.outputs["history"][0])

    def localized(self, job: Job) -> None:
        """What an inner model says about every slice but those of the studies it was taught."""
        taught = read_table(job.inputs["training_set"][0], [UID, "role"]).query("role == 'train'")[UID].unique()
        own = ~self.slices[UID].isin(taught).to_numpy()
        rows, shown = self.slices.loc[own, ["cohort", *SLICE]].reset_index(drop=True), self.shown[own]
        said = self._unsure(shown)
        thoracic = np.zeros((len(rows), 1), np.float32)
        ratios = _columns(RATIO, np.hstack([said, thoracic]))
        table = rows.assign(**_columns(PRESENCE, said), **ratios, **_places(np.ones_like(shown)))
        write_table(table[["cohort", *SLICE, *OUTPUTS]], job.outputs["localized"][0])
        studies = table[["cohort", UID]].drop_duplicates(ignore_index=True)
        write_table(studies.assign(**dict.fromkeys(DICE, np.float32(0.9))), job.outputs["studies"][0])

    def slice_predictions(self, job: Job) -> None:
        """A probability for each slice and vertebra, high where it is fractured and shown; and presence."""
        broken = np.zeros((len(self.studies), len(VERTEBRAE)), bool)
        for number, study in enumerate(self.studies):
            broken[number, list(study.fractured)] = True
        of_slice = np.repeat(broken, [study.slices for study in self.studies], axis=0)[self.order]
        said = self._unsure(0.6 * (of_slice * self.shown))
        table = self.slices[["cohort", *SLICE]].assign(**_columns(VERTEBRAE, said))
        write_table(table.assign(**_columns(PRESENCE, self._unsure(self.shown))), job.outputs["predictions"][0])

    def study_predictions(self, job: Job) -> None:
        """A probability for each study and label."""
        write_table(self._judged(), job.outputs["predictions"][0])

    def study_probabilities(self, job: Job) -> None:
        """The same as a finished aggregation, with the studies' roles."""
        folds, fold = read_table(job.inputs["folds"][0]), int(dict(p.split("=") for p in job.at.split(","))["fold"])
        table = self._judged()
        role = table[UID].map(roles_of(folds, fold)).fillna("unlabelled")
        table["cohort"] = role.where(table["cohort"] == "train", "test")
        kinds = dict.fromkeys(LABELS, np.float64)
        table = table[[UID, "cohort", *LABELS]].astype(kinds).sort_values(["cohort", UID], ignore_index=True)
        write_table(table, job.outputs["study_probabilities"][0])
        chosen = {"vertebra": "max", "patient": "max", "calibration": "none", "clip": 0.01}
        choice: dict[str, Any] = {"chosen": chosen, "platt": None, "fallback": "", "select_studies": 300}
        choice |= {"tried": [], "evidence": "fracture"}
        job.outputs["choice"][0].write_text(json.dumps(choice), encoding="utf-8")

    def explained(self, job: Job) -> None:
        """No heat maps."""
        columns = ["cohort", UID, "label", "kind", "rank", "z_index", "image", "map", "map_rows", "map_columns",
                   "along", "number", "slices", "boxes", "how"]  # fmt: skip
        write_table(pd.DataFrame(columns=columns), job.outputs["explained"][0])

    # -- what they share -------------------------------------------------------------------------------------------

    def _judged(self) -> pd.DataFrame:
        rows = [[study.cohort, study.uid, bool(study.fractured), *(v in study.fractured for v in range(len(VERTEBRAE)))]
                for study in self.studies]  # fmt: skip
        table = pd.DataFrame(rows, columns=["cohort", UID, *LABELS]).sort_values(["cohort", UID], ignore_index=True)
        return table.assign(**_columns(LABELS, self._unsure(0.5 * table[list(LABELS)].to_numpy(float))))

    def _unsure(self, truth: np.ndarray) -> np.ndarray:
        noise = self.random.random(truth.shape, np.float32)
        return np.clip(0.75 * truth + 0.25 * noise, 0, 1).astype(np.float32)

    def _slices(self) -> pd.DataFrame:
        many = [study.slices for study in self.studies]
        z = np.concatenate([np.arange(n, dtype=np.int32) for n in many])
        numbers = [np.arange(s.slices, 0, -1) if s.reversed else np.arange(1, s.slices + 1) for s in self.studies]
        table = pd.DataFrame({
            "cohort": np.repeat([study.cohort for study in self.studies], many),
            UID: np.repeat([study.uid for study in self.studies], many),
            "slice_number": np.concatenate(numbers).astype(np.int32),
            "z_index": z,
        })  # fmt: skip
        table = table.sort_values(["cohort", UID, "z_index"], kind="stable")
        self.order = table.index.to_numpy()
        return table.reset_index(drop=True)

    def _shown(self) -> np.ndarray:
        """(slices, 7) whether a slice shows C1..C7, each a little into its neighbours, as ``slices`` is sorted."""
        parts = []
        for study in self.studies:
            edges, z = study.edges(), np.arange(study.slices)[:, None]
            reach = 0.1 * (edges[1] - edges[0])
            parts.append((z >= edges[:-1] - reach) & (z < edges[1:] + reach))
        return np.concatenate(parts)[self.order].astype(np.float32)


def _columns(names: Sequence[str], values: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(names, values.T, strict=True))


def _places(shown: np.ndarray) -> dict[str, np.ndarray]:
    """The same box and middle for all, NaN where nothing is shown."""
    box = np.where(shown.any(axis=1, keepdims=True), [0.3, 0.3, 0.7, 0.7], np.nan)
    middle = np.where(np.repeat(shown > 0, 2, axis=1), 0.5, np.nan)
    own = np.where(np.repeat(shown > 0, 4, axis=1), np.tile([0.35, 0.35, 0.65, 0.65], len(VERTEBRAE)), np.nan)
    return {
        name: column.astype(np.float32)
        for names, values in ((BOX, box), (MIDDLE, middle), (OWN_BOX, own))
        for name, column in _columns(names, values).items()
    }


MAKERS = {
    "plan_cache": StandIns.form,
    "ingest": StandIns.shard,
    "label_presence": StandIns.presence,
    "lay_masks": StandIns.voxels,
    "train": StandIns.model,
    "predict_localizer": StandIns.localized,
    "predict_slices": StandIns.slice_predictions,
    "predict_studies": StandIns.study_predictions,
    "explain_cases": StandIns.explained,
    "aggregate_studies": StandIns.study_probabilities,
}

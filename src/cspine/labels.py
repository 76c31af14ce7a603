"""Slice labels from boxes: what the teacher is taught, and by which studies (system S3, step 1).

The box file names no vertebra, so a boxed slice is positive for every fractured vertebra of its study, and UNKNOWN for
those of which nobody knows whether they are.
ASSUME: that is the source's rule; it is ambiguous where a study has several (132 of the 235 boxed ones).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cspine.errors import CspineError
from cspine.findings import Finding
from cspine.folds import readable_training_studies
from cspine.hashing import seed_of
from cspine.studies import UID, UNKNOWN, VERTEBRAE

COLUMNS = [UID, "slice_number", "z_index", *VERTEBRAE, "source", "weight", "first_round"]
SLICE_KEY = [UID, "slice_number"]


@dataclass(frozen=True)
class LabelConfig:
    """Which slices are labelled without a model, and what each kind counts."""

    unfractured: int | str = "boxed"  # studies taught to the teacher: "boxed" (as many as boxed ones), "all", a number
    seed: int = 0  # of the draw of these studies; drawing more keeps those already drawn
    weight_box: float = 1.0  # of a slice with a box
    weight_unboxed: float = 1.0  # of a slice without a box in a boxed study (assumed negative)
    weight_negative: float = 1.0  # of a slice of an unfractured study

    def __post_init__(self) -> None:
        number = isinstance(self.unfractured, int) and not isinstance(self.unfractured, bool)
        if not (self.unfractured in ("boxed", "all") or (number and int(self.unfractured) >= 0)):
            raise CspineError(f"labels.unfractured: found {self.unfractured!r}, expected a number, 'boxed' or 'all'")
        for name in ("weight_box", "weight_unboxed", "weight_negative"):
            if not getattr(self, name) >= 0:
                raise CspineError(f"labels.{name}: found {getattr(self, name)!r}, expected 0 or more")


def label_slices_from_boxes(
    studies: pd.DataFrame, slices: pd.DataFrame, boxes: pd.DataFrame, config: LabelConfig
) -> tuple[pd.DataFrame, list[Finding]]:
    """The labelled slices of the boxed and the unfractured studies, and what could not be labelled.

    Args:
        studies: index/studies.parquet.
        slices: index/slices.parquet.
        boxes: valid boxes only (``cspine.boxes.check_boxes``); several on one slice count once.
        config: see LabelConfig.

    Returns:
        labels/slices.parquet (COLUMNS, in the order of study and z_index), and findings.
    """
    with_box = boxes[SLICE_KEY].drop_duplicates()
    taught, findings = labelled_studies(studies, set(with_box[UID]))
    taught["first_round"] = _first_rounds(taught, config)
    rows = slices.loc[slices["cohort"] == "train", [*SLICE_KEY, "z_index"]].merge(taught, on=UID, validate="m:1")
    rows = rows.sort_values([UID, "z_index"], ignore_index=True)
    boxed = rows["boxed"].to_numpy(dtype=bool)
    has_box = boxed & pd.MultiIndex.from_frame(rows[SLICE_KEY]).isin(pd.MultiIndex.from_frame(with_box))
    # ASSUME: a slice of a boxed study without a box shows no fracture (the source's rule)
    rows[list(VERTEBRAE)] = (rows[list(VERTEBRAE)].to_numpy() * has_box[:, None]).astype(np.int8)
    rows["source"] = np.select([has_box, boxed], ["box", "unboxed"], "negative")
    weights = {"box": config.weight_box, "unboxed": config.weight_unboxed, "negative": config.weight_negative}
    rows["weight"] = rows["source"].map(weights).astype(np.float32)
    labels = rows[COLUMNS].astype({"slice_number": np.int32, "z_index": np.int32, "first_round": np.int8})
    check_labels(labels, taught, slices, with_box)
    return labels, findings


def labelled_studies(studies: pd.DataFrame, with_box: set[str]) -> tuple[pd.DataFrame, list[Finding]]:
    """The readable training studies whose slices need no model: StudyInstanceUID, C1..C7, boxed.

    Boxes on an unfractured study change nothing (train.csv wins; check_boxes reports them). A boxed study of
    which no box is valid, or all of whose vertebrae train.csv calls unfractured, is left out: teaching it as negative
    would contradict its label. One whose fractured vertebrae are unknown teaches where it has no box.
    """
    known = readable_training_studies(studies)
    vertebra = known[list(VERTEBRAE)].isin([1, UNKNOWN]).any(axis=1)  # that the boxes may mean
    fractured = known[list(VERTEBRAE)].eq(1).any(axis=1) | known["patient_overall"].eq(1)
    box = known[UID].isin(with_box)
    no_vertebra = known.loc[box & fractured & ~vertebra, UID]
    no_valid_box = known.loc[known["boxed"] & ~box & fractured, UID]
    findings = [
        *_left_out(no_vertebra, "box-without-vertebra", "has boxes; train.csv names no vertebra"),
        *_left_out(no_valid_box, "boxed-without-valid-box", "none of its boxes is valid"),
    ]
    taught = known.assign(boxed=box & fractured).loc[(box & vertebra) | ~fractured, [UID, *VERTEBRAE, "boxed"]]
    return taught.reset_index(drop=True), findings


def draw_unfractured(uids: list[str], count: int, seed: int) -> list[str]:
    """The first ``count`` studies by a seeded hash of their name.

    Every larger draw contains the smaller ones, and a study that comes or goes moves at most one other.
    """
    return sorted(uids, key=lambda uid: (seed_of("unfractured", seed, uid), uid))[:count]


def check_labels(labels: pd.DataFrame, taught: pd.DataFrame, slices: pd.DataFrame, with_box: pd.DataFrame) -> None:
    """Each slice of each labelled study once; those not all negative are the valid boxed ones and no others."""
    expected = (slices.loc[slices["cohort"] == "train", UID].isin(taught[UID])).sum()
    assert len(labels) == expected, f"{len(labels)} labelled slices, the labelled studies have {expected}"
    assert not labels.duplicated([UID, "z_index"]).any(), "a slice is labelled twice"
    box = labels["source"] == "box"
    not_negative = labels[list(VERTEBRAE)].ne(0).any(axis=1)
    assert (not_negative == box).all(), "slices that are not negative and boxed slices differ"
    due = with_box[with_box[UID].isin(taught.loc[taught["boxed"], UID])]
    kept = labels.loc[box, SLICE_KEY].drop_duplicates()
    assert len(kept) == len(due), f"{len(due)} valid boxed slices, {len(kept)} labelled"
    targets = labels.loc[box, [UID, *VERTEBRAE]].merge(taught[[UID, *VERTEBRAE]], on=UID, suffixes=("", "_study"))
    for vertebra in VERTEBRAE:
        assert (targets[vertebra] == targets[f"{vertebra}_study"]).all(), f"{vertebra} differs from its study"


def _first_rounds(taught: pd.DataFrame, config: LabelConfig) -> np.ndarray:
    unfractured = taught.loc[~taught["boxed"], UID].tolist()
    counts = {"boxed": int(taught["boxed"].sum()), "all": len(unfractured)}
    wanted = config.unfractured if isinstance(config.unfractured, int) else counts[config.unfractured]
    drawn = set(draw_unfractured(unfractured, wanted, config.seed))
    return np.where(taught["boxed"] | taught[UID].isin(drawn), 0, 1).astype(np.int8)


def _left_out(uids: pd.Series, code: str, detail: str) -> list[Finding]:
    return [Finding(uid, code, "train_bounding_boxes.csv", detail, "no slice labels") for uid in uids]

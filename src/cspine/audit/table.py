"""results/audit.parquet: one row for each study, then one for each finding, in one table.

``kind`` tells them apart. A study's row has the numbers of its stack, its labels in words, how many findings it has,
and what the run does with it; a finding's row has code, file, detail, consequence. What does not apply is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from cspine.findings import COLUMNS as FINDING_COLUMNS
from cspine.studies import UID
from cspine.tables import read_table, write_table

#: what the run does with a study -> in words
USES = {
    "boxes": "taught slice by slice, by its boxes",
    "negative": "taught as unfractured",
    "pseudo-labels": "fractured, no boxes: taught from round 1 on, by pseudo-labels",
    "scored only": "its boxes cannot be used: predicted, and scored when held out, but not taught",
    "excluded": "in no role of any fold: predicted, but neither taught nor scored",
    "unlabelled": "not in train.csv, or patient_overall unknown: predicted, but neither taught nor scored",
    "unreadable": "no slice: gives nothing",
    "predicted": "predicted",
    "prior": "no slice: the training prior is submitted",
    "not asked for": "in test_images, but nothing asks for it: not in the submission",
}

#: columns of a study's row only -> type; null in a finding's
STUDY_TYPES = {
    "use": "str",  # a key of USES
    "excluded": "boolean",  # from training, with the reason in the next column
    "why_excluded": "str",
    "score": "Int32",  # the larger the worse: severities of its findings, and the share of slices it lacks
    "findings": "Int32",
    "vertebrae": "str",  # fractured by train.csv, "C2 C5"; "" where none or unknown
    "unknown": "str",  # labels that a row of train.csv leaves open, "C3 C4"
    "patient_overall": "Int32",  # -1 = unknown
    "boxed": "boolean",
    "boxes": "Int32",  # rows of train_bounding_boxes.csv
    "segmented": "boolean",
    "slices": "Int32",  # readable ones
    "left_out": "Int32",  # files that gave no slice
    "missing": "Int32",  # file numbers between the lowest and the highest that no file has
    "missing_by_gap": "Int32",  # slices that would fit into gaps of the positions
    "reversed": "boolean",
    "thickness": "Float32",  # median distance of slices, mm
    "extent_mm": "Float32",
    "rows": "Int32",
    "columns": "Int32",
    "height_mm": "Float32",  # field of view
    "width_mm": "Float32",
}
HEAD = ["kind", "cohort", UID, "severity", "code", "file", "detail", "consequence"]
COLUMNS = [*HEAD, *STUDY_TYPES]


class Audit(NamedTuple):
    """The two kinds of rows, each with its own columns only."""

    studies: pd.DataFrame  # cohort, StudyInstanceUID, severity (its worst), and those of STUDY_TYPES
    findings: pd.DataFrame  # severity and those of ``findings.COLUMNS``


def write_audit_table(audit: Audit, path: Path) -> None:
    """Write both kinds of rows; equal rows, in whatever order, give equal bytes."""
    studies = audit.studies.assign(kind="study").sort_values(["cohort", UID])
    findings = audit.findings.assign(kind="finding").sort_values(FINDING_COLUMNS)
    table = pd.concat([studies.astype(STUDY_TYPES), findings], ignore_index=True)[COLUMNS]
    texts: Mapping[str, str] = {name: "str" for name in COLUMNS if STUDY_TYPES.get(name, "str") == "str"}
    table[list(texts)] = table[list(texts)].astype("object").where(table[list(texts)].notna(), None)
    write_table(table.astype({k: v for k, v in STUDY_TYPES.items() if v != "str"}), path)


def read_audit_table(path: Path) -> Audit:
    """The rows that ``write_audit_table`` has written."""
    table = read_table(path, COLUMNS)
    of_studies = table["kind"] == "study"
    plain = {"Int32": "int32", "Float32": "float32", "boolean": "bool", "str": "str"}
    studies = table.loc[of_studies, ["cohort", UID, "severity", *STUDY_TYPES]].reset_index(drop=True)
    findings = table.loc[~of_studies, ["severity", *FINDING_COLUMNS]].reset_index(drop=True)
    kinds = {name: plain[kind] for name, kind in STUDY_TYPES.items()}
    return Audit(studies.astype(kinds), findings.astype("str"))


def excluded_from_training(path: Path) -> set[str]:
    """The training studies that no fold may teach or score."""
    studies = read_audit_table(path).studies
    return set(studies.loc[studies["excluded"] & (studies["cohort"] == "train"), UID])

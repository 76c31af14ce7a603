"""index: the shards' tables gathered into one table of slices and one of studies, without their pixels, and checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cspine.cache.shards import common_metadata, read_metadata
from cspine.errors import CspineError
from cspine.findings import COLUMNS, findings_table
from cspine.hashing import shard_of
from cspine.progress import report, say
from cspine.raw_folder import CSV_COLUMNS, read_rows
from cspine.slices import INDEX_COLUMNS, geometry_columns, typed, z_order_broken
from cspine.stage import InPath, OutPath
from cspine.studies import LABELS, UID, UNKNOWN
from cspine.tables import read_table, write_table

STUDY_TYPES = {
    UID: "str",
    "cohort": "str",
    "in_csv": "bool",
    "has_folder": "bool",
    "readable": "bool",
    "slices": "int32",
    "thickness": "float32",
    "reversed": "bool",
    "boxed": "bool",
    "segmented": "bool",
    **dict.fromkeys(LABELS, "int8"),
    "reason": "str",
}


def index(
    train: InPath,
    boxes: InPath,
    test: InPath,
    sample_submission: InPath,
    folders: InPath,
    segmentations: InPath,
    inventory_findings: InPath,
    shards: list[InPath],
    shard_studies: list[InPath],
    shard_findings: list[InPath],
    slices: OutPath,
    studies: OutPath,
    findings: OutPath,
) -> None:
    """Gather every slice and every study of both cohorts.

    shards, shard_studies and shard_findings belong together place by place, each cohort's in the order of its shard
    numbers. A shard that contradicts the others or itself is a CspineError that names it.
    """
    common_metadata(shards)
    numbered = _numbered(shards)
    slice_table = _gather_slices(numbered, shard_studies)
    study_table = _gather_studies(train, boxes, test, folders, segmentations, numbered, shard_studies)
    _warn_if_nothing_is_readable(study_table, sample_submission)
    found = [read_table(path, COLUMNS) for path in (inventory_findings, *shard_findings)]
    write_table(slice_table, slices)
    write_table(study_table, studies)
    everything = pd.concat([findings_table([]), *found]).drop_duplicates()
    write_table(everything.sort_values(COLUMNS, kind="stable", ignore_index=True), findings)


def _numbered(shards: Sequence[Path]) -> list[tuple[Path, str, int, int]]:
    """(path, cohort, number, shards of that cohort) of every shard; a cohort's shards come in their order."""
    cohorts = [str(read_metadata(path).get("cohort")) for path in shards]
    return [
        (path, cohort, cohorts[:i].count(cohort), cohorts.count(cohort))
        for i, (path, cohort) in enumerate(zip(shards, cohorts, strict=True))
    ]


def _gather_slices(numbered: Sequence[tuple[Path, str, int, int]], shard_studies: Sequence[Path]) -> pd.DataFrame:
    parts = []
    for read, ((path, cohort, number, count), beside) in enumerate(zip(numbered, shard_studies, strict=True), start=1):
        part = read_table(path, geometry_columns())  # and no pixels
        _check_shard(path, part, read_table(beside, [UID, "slices"]), number, count)
        parts.append(part.assign(cohort=cohort, shard=number))
        report("index", read, len(numbered), unit="shards")
    table = pd.concat(parts, ignore_index=True)
    table = typed(table).astype({"cohort": "str", "shard": "int32"})
    table = table.sort_values(["cohort", UID, "z_index"], kind="stable", ignore_index=True)
    return table[list(INDEX_COLUMNS)]


def _check_shard(path: Path, part: pd.DataFrame, counted: pd.DataFrame, number: int, count: int) -> None:
    again = "; delete its result and run ingest again"
    for uid in counted[UID]:
        if shard_of(uid, count) != number:
            raise CspineError(f"{path}: study {uid} belongs to shard {shard_of(uid, count)}, not {number}{again}")
    if counted[UID].duplicated().any():
        raise CspineError(f"{path}: study {counted[UID][counted[UID].duplicated()].iloc[0]} is counted twice{again}")
    rows = part.groupby(UID).size()
    expected = counted[counted["slices"] > 0].set_index(UID)["slices"]
    differ = sorted(uid for uid in {*rows.index, *expected.index} if rows.get(uid, 0) != expected.get(uid, 0))
    if differ:
        have, said = rows.get(differ[0], 0), expected.get(differ[0], 0)
        raise CspineError(f"{path}: study {differ[0]} has {have} rows where {said} slices were read{again}")
    broken = z_order_broken(part)
    if broken:
        raise CspineError(f"{path}: z_index of study {broken} does not run 0, 1, 2, ...{again}")
    named = part[part["slice_number"] >= 0]
    twice = named[named.duplicated([UID, "slice_number"])]
    if len(twice):
        raise CspineError(f"{path}: study {twice[UID].iloc[0]} has a slice_number twice{again}")


def _gather_studies(
    train: Path,
    boxes: Path,
    test: Path,
    folders: Path,
    segmentations: Path,
    numbered: Sequence[tuple[Path, str, int, int]],
    shard_studies: Sequence[Path],
) -> pd.DataFrame:
    labels = {row[UID]: row for _, row in read_rows(train, CSV_COLUMNS["train.csv"])}
    asked = {row[UID] for _, row in read_rows(test, (UID,))}
    files = {(row["cohort"], row[UID]): int(row["files"]) for _, row in read_rows(folders, ("cohort", UID, "files"))}
    boxed = {row[UID] for _, row in read_rows(boxes, (UID,))}
    segmented = {row[UID] for _, row in read_rows(segmentations, (UID,))}
    read = _read_studies(numbered, shard_studies)
    everyone = {("train", uid) for uid in labels} | {("test", uid) for uid in asked} | set(files)
    strangers = sorted(set(read) - {key for key, count in files.items() if count})
    missing = sorted({key for key, count in files.items() if count} - set(read))
    for kind, which in (("not in the inventory", strangers), ("in no shard", missing)):
        if which:
            raise CspineError(f"{which[0][0]} study {which[0][1]} is {kind}; run inventory and ingest again")
    rows = []
    for cohort, uid in sorted(everyone):
        label = labels.get(uid) if cohort == "train" else None
        rows.append(
            {
                UID: uid,
                "cohort": cohort,
                "in_csv": label is not None if cohort == "train" else uid in asked,
                "has_folder": (cohort, uid) in files,
                "boxed": cohort == "train" and uid in boxed,
                "segmented": cohort == "train" and uid in segmented,
                **{name: int((label and label[name]) or UNKNOWN) for name in LABELS},
                **(read.get((cohort, uid)) or _unread((cohort, uid) in files)),
            }
        )
    return pd.DataFrame(rows, columns=list(STUDY_TYPES)).astype(STUDY_TYPES)


def _read_studies(
    numbered: Iterable[tuple[Path, str, int, int]], shard_studies: Sequence[Path]
) -> dict[tuple[str, str], dict[str, object]]:
    columns = ["slices", "readable", "thickness", "reversed", "reason"]
    read: dict[tuple[str, str], dict[str, object]] = {}
    for (_, cohort, _, _), path in zip(numbered, shard_studies, strict=True):
        for row in read_table(path, [UID, *columns]).to_dict("records"):
            read[cohort, str(row[UID])] = {name: row[name] for name in columns}
    return read


def _unread(has_folder: bool) -> dict[str, object]:
    reason = "empty-folder" if has_folder else "no-folder"
    return {"slices": 0, "readable": False, "thickness": np.nan, "reversed": False, "reason": reason}


def _warn_if_nothing_is_readable(studies: pd.DataFrame, sample_submission: Path) -> None:
    """The audit's page shows why, so the table is written all the same; assign_folds stops a run that would train."""
    if not studies["readable"].any():
        asked = len(read_rows(sample_submission, CSV_COLUMNS["sample_submission.csv"]))
        say(f"index: NO study is readable ({len(studies)} studies, {asked} rows asked for); ask for the target audit")

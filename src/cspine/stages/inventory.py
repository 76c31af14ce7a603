"""inventory: one listing of the raw folder, and snapshots of its CSVs that the rest of the run can trust."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cspine import raw_folder
from cspine.errors import CspineError
from cspine.findings import Finding, findings_table
from cspine.hashing import seed_of, shard_of
from cspine.partial_labels import OVERALL, completed, contradictory, unknown_of
from cspine.progress import report, say
from cspine.raw_folder import CSV_COLUMNS
from cspine.stage import InPath, OutPath, RawFolder
from cspine.studies import LABELS, UID, UNKNOWN
from cspine.tables import write_table

OBSERVE = "cspine.raw_folder:observe"
GLANCE = "cspine.raw_folder:observe_names"

Row = dict[str, str]

#: reason code -> what is done about it
CONSEQUENCES = {
    "no-folder": "kept in the tables; nothing to train on",
    "no-labels": "read, but not used for training",
    "test-without-folder": "predicted from the prior",
    "test-not-asked-for": "read and predicted; not in the submission",
    "empty-folder": "study has no slices",
    "duplicate-study": "first row kept",
    "duplicate-other-labels": "first row kept",
    "overall-not-max": "labels kept as written",
    "partial-labels": "what is unknown is neither taught nor scored",
    "unknown-overall": "read and predicted; in no role of any fold",
    "boxes-of-unknown-study": "boxes left out",
    "mask-of-unknown-study": "mask left out",
    "study-in-both-cohorts": "read in both; never taught from the test folder",
    "no-test-csv": "asked-for studies taken from sample_submission.csv",
    "row-not-in-test-csv": "study and type taken from the row's name",
    "unreadable-row-id": "predicted from the prior",
    "duplicate-row-id": "answered as often as it is asked for",
    "no-masks": "no study counts as segmented",
}


@dataclass(frozen=True)
class InventoryConfig:
    """Which part of the training studies the run sees. Test studies are never left out."""

    #: files that the studies of a cohort are shared out to; here because a result's key must know how many there are
    shards: int = 1
    #: share of the training studies, 0 < subset <= 1; drawn within fractured x boxed x segmented, a smaller share
    #: lies within a larger one
    subset: float = 1.0
    #: of the draw
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.subset <= 1:
            raise CspineError(f"data.subset is {self.subset}; it must be above 0 and at most 1")


def inventory(
    root: RawFolder,
    train: OutPath,
    boxes: OutPath,
    test: OutPath,
    sample_submission: OutPath,
    folders: OutPath,
    segmentations: OutPath,
    findings: OutPath,
    train_shards: list[OutPath],
    test_shards: list[OutPath],
    *,
    manifest: InPath | None = None,
    config: InventoryConfig,
) -> None:
    """List ``root`` and snapshot its CSVs.

    train_shards, test_shards: shard n of each holds the files (StudyInstanceUID,file,size,digest) of the studies with
    ``shard_of(uid, shards) == n``. Raises CspineError for a missing file or column and for values that cannot be read.
    """
    if not len(train_shards) == len(test_shards) == config.shards:
        wanted = f"{len(train_shards)} and {len(test_shards)}"
        raise CspineError(f"data.shards is {config.shards}, but {wanted} files of shards are asked for")
    raw_folder.check_raw_folder(root)
    found: list[Finding] = []
    labels = _labels(root, found)
    boxed = _boxes(root, set(labels), found)
    segmented = _masks(root, set(labels), manifest, found)
    asked, sample = _asked(root, found)
    uids = raw_folder.study_folders(root)

    strata = {uid: (row["patient_overall"], uid in boxed, uid in segmented) for uid, row in labels.items()}
    strata |= {uid: ("", False, False) for uid in uids["train"] if uid not in labels}
    kept = choose_studies(strata, config.subset, config.seed)
    if config.subset < 1:
        say(f"inventory: {len(kept)} of {len(strata)} training studies (subset {config.subset:g})")

    _write(train, CSV_COLUMNS["train.csv"], [row for uid, row in labels.items() if uid in kept])
    box_rows = [row for uid, rows in boxed.items() if uid in kept for row in rows]
    _write(boxes, CSV_COLUMNS["train_bounding_boxes.csv"], box_rows)
    _write(test, CSV_COLUMNS["test.csv"], asked)
    _write(sample_submission, CSV_COLUMNS["sample_submission.csv"], sample)
    _write(segmentations, (UID, "file", "size", "digest"), [m for uid, m in segmented.items() if uid in kept])
    shards = {"train": train_shards, "test": test_shards}
    counts = _write_listing(root, manifest, shards, kept, studies=sum(map(len, uids.values())))
    folder_rows = [
        {"cohort": cohort, UID: uid, "files": str(counts[cohort, uid])}
        for cohort, names in uids.items()
        for uid in names
        if cohort == "test" or uid in kept
    ]
    _write(folders, ("cohort", UID, "files"), folder_rows)
    found = [f for f in found if f.StudyInstanceUID not in strata or f.StudyInstanceUID in kept]
    found += _compare({uid: r for uid, r in labels.items() if uid in kept}, asked, folder_rows)
    write_table(findings_table(found), findings)


def choose_studies(strata: Mapping[str, tuple[object, ...]], share: float, seed: int) -> set[str]:
    """A share of the studies of each stratum, at least one of each; nested: a smaller share lies within a larger."""
    members: dict[tuple[object, ...], list[str]] = {}
    for uid, stratum in strata.items():
        members.setdefault(stratum, []).append(uid)
    kept: set[str] = set()
    for uids in members.values():
        ranked = sorted(uids, key=lambda uid: (seed_of("subset", seed, uid), uid))
        kept.update(ranked[: max(1, math.floor(share * len(ranked) + 0.5))])
    return kept


def _finding(code: str, uid: str, file: str, detail: str) -> Finding:
    return Finding(uid, code, file, detail, CONSEQUENCES[code])


def _read(root: Path, name: str, absent: str = "") -> list[tuple[int, Row]]:
    return raw_folder.read_rows(root / name, CSV_COLUMNS[name], absent)


def _labels(root: Path, found: list[Finding]) -> dict[str, Row]:
    """The rows of train.csv by study, completed; a blank stays where a label is unknown."""
    labels: dict[str, Row] = {}
    filled = 0
    for line, row in _read(root, "train.csv", absent="(no cell)"):
        uid = row[UID]
        if not uid:
            raise CspineError(f"{root / 'train.csv'}, line {line}: column {UID} is empty")
        for column in LABELS:
            if row[column] not in ("0", "1", ""):
                raise CspineError(
                    f"{root / 'train.csv'}, line {line}: column {column} is '{row[column]}', expected 0, 1 or a blank "
                    "(unknown)"
                )
        known = {name: int(row[name] or UNKNOWN) for name in LABELS}
        given, known = unknown_of(known), completed(known)
        row |= {name: "" if known[name] == UNKNOWN else str(known[name]) for name in LABELS}
        if uid in labels:
            code = "duplicate-study" if row == labels[uid] else "duplicate-other-labels"
            found.append(_finding(code, uid, "train.csv", f"line {line}: again"))
            continue
        labels[uid] = row
        filled += len(given) - len(unknown_of(known))
        found += [_finding(code, uid, "train.csv", f"line {line}: {detail}") for code, detail in _doubts(known)]
    if filled:
        say(f"inventory: {filled} blank labels of train.csv follow from the others and are filled in")
    return labels


def _doubts(labels: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What the completed labels of a study contradict or leave open."""
    if contradictory(labels):
        yield "overall-not-max", f"patient_overall is {labels[OVERALL]}"
    unknown = unknown_of(labels)
    if unknown:
        yield "unknown-overall" if OVERALL in unknown else "partial-labels", f"unknown: {', '.join(unknown)}"


def _boxes(root: Path, known: set[str], found: list[Finding]) -> dict[str, list[Row]]:
    """The boxes of each known study, as written."""
    name = "train_bounding_boxes.csv"
    boxed: dict[str, list[Row]] = {}
    for line, row in _read(root, name):
        for column in CSV_COLUMNS[name][1:]:
            try:
                float(row[column])
            except ValueError as error:
                message = f"{root / name}, line {line}: column {column} is '{row[column]}', expected a number"
                raise CspineError(message) from error
        boxed.setdefault(row[UID], []).append(row)
    for uid in sorted(boxed.keys() - known):
        found.append(_finding("boxes-of-unknown-study", uid, name, f"{len(boxed.pop(uid))} boxes"))
    return boxed


def _masks(root: Path, known: set[str], manifest: Path | None, found: list[Finding]) -> dict[str, Row]:
    if not (root / raw_folder.MASKS).is_dir():
        found.append(_finding("no-masks", "", raw_folder.MASKS, "no such folder"))
    masks = {}
    for mask in raw_folder.masks(root, manifest):
        uid = mask.StudyInstanceUID
        if uid in known:
            masks[uid] = {UID: uid, "file": mask.file, "size": str(mask.size), "digest": mask.digest}
        else:
            found.append(_finding("mask-of-unknown-study", uid, mask.file, "not in train.csv"))
    return masks


def _asked(root: Path, found: list[Finding]) -> tuple[list[Row], list[Row]]:
    """Rows of test.csv, completed for every row of sample_submission.csv whose name can be read; and the latter."""
    sample = [row for _, row in _read(root, "sample_submission.csv")]
    written = [row for _, row in _read(root, "test.csv")] if (root / "test.csv").is_file() else None
    if written is None:
        found.append(_finding("no-test-csv", "", "test.csv", "no such file"))
    asked = {row["row_id"]: row for row in written or []}
    for row_id, times in Counter(row["row_id"] for row in sample).items():
        if times > 1:
            found.append(_finding("duplicate-row-id", "", "sample_submission.csv", f"{row_id} {times} times"))
        if row_id in asked:
            continue
        kind = next((label for label in LABELS if row_id.endswith(f"_{label}")), "")
        uid = row_id.removesuffix(f"_{kind}") if kind else ""
        if not uid:
            detail = f"row_id {row_id} is not <StudyInstanceUID>_<prediction_type>"
            found.append(_finding("unreadable-row-id", "", "sample_submission.csv", detail))
            continue
        asked[row_id] = {"row_id": row_id, UID: uid, "prediction_type": kind}
        if written is not None:
            found.append(_finding("row-not-in-test-csv", uid, "test.csv", f"no row {row_id}"))
    return list(asked.values()), sample


def _write_listing(
    root: Path, manifest: Path | None, shards: Mapping[str, Sequence[Path]], kept: set[str], studies: int
) -> Counter[tuple[str, str]]:
    """Write each shard's files; returns how many files each (cohort, study) has. ``studies``: how many folders."""
    rows: dict[tuple[str, int], list[Row]] = {(c, n): [] for c, paths in shards.items() for n in range(len(paths))}
    counts: Counter[tuple[str, str]] = Counter()
    listed: set[tuple[str, str]] = set()
    for file in raw_folder.listing(root, manifest):
        uid = file.StudyInstanceUID
        if (file.cohort, uid) not in listed:
            listed.add((file.cohort, uid))
            report("inventory", len(listed), studies, unit="studies")
        if file.cohort == "train" and uid not in kept:
            continue
        counts[file.cohort, uid] += 1
        row = {UID: uid, "file": file.file, "size": str(file.size), "digest": file.digest}
        rows[file.cohort, shard_of(uid, len(shards[file.cohort]))].append(row)
    for (cohort, number), content in rows.items():
        _write(shards[cohort][number], (UID, "file", "size", "digest"), content)
    say(f"inventory: {sum(counts.values())} files of {len(counts)} studies")
    return counts


def _compare(labels: Mapping[str, Row], asked: Sequence[Row], folders: Sequence[Row]) -> list[Finding]:
    """What the CSVs and the folders do not agree on."""
    there = {cohort: [r[UID] for r in folders if r["cohort"] == cohort] for cohort in raw_folder.COHORTS}
    wanted = sorted({row[UID] for row in asked})
    train, test = set(there["train"]), set(there["test"])
    found = [_finding("no-folder", uid, "train.csv", "no folder in train_images") for uid in labels if uid not in train]
    found += [
        _finding("no-labels", uid, "train_images", "not in train.csv") for uid in there["train"] if uid not in labels
    ]
    found += [
        _finding("test-without-folder", u, "test.csv", "no folder in test_images") for u in wanted if u not in test
    ]
    found += [
        _finding("test-not-asked-for", uid, "test_images", "in no row of test.csv or sample_submission.csv")
        for uid in sorted(test.difference(wanted))
    ]
    found += [_finding("empty-folder", r[UID], r["cohort"], "no file") for r in folders if r["files"] == "0"]
    both = sorted(test & (train | set(labels)))
    return found + [_finding("study-in-both-cohorts", uid, "test_images", "also a training study") for uid in both]


def _write(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

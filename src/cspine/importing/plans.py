"""What an import will write, and what of the source it leaves out: pure, and complete before a file is touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cspine.errors import CspineError
from cspine.findings import Finding
from cspine.importing.sources import BoxRow, Found, LabelRow
from cspine.studies import LABELS, UID

#: reason code -> what is done about it
CONSEQUENCES = {
    "import-row-without-study": "row left out",
    "import-row-without-folder": "row left out",
    "import-folder-without-row": "imported without labels: read and predicted, neither taught nor scored",
    "import-duplicate-row": "both rows are in train.csv; the workflow keeps the first",
    "import-duplicate-other-labels": "both rows are in train.csv; audit.exclude_codes excludes the study",
    "import-box-unreadable": "box left out",
    "import-box-of-unknown-study": "box left out",
    "import-mask-of-unknown-study": "mask left out",
    "import-other-file": "not imported",
}
Row = dict[str, str]


@dataclass(frozen=True)
class Source:
    """Everything read; names are those of the source."""

    rows: Sequence[LabelRow]
    images: Found
    test: Found = field(default_factory=lambda: Found({}, 0))
    boxes: Sequence[BoxRow] = ()
    masks: Found | None = None


@dataclass(frozen=True)
class Plan:
    """The tables and the links of an import; names are the new ones."""

    train: list[Row]
    boxes: list[Row]
    asked: list[Row]  # of test.csv
    folders: dict[str, dict[str, Path]]  # train_images | test_images -> study -> its folder
    masks: dict[str, Path] | None  # study -> its mask; None without --masks
    findings: list[Finding]


def plan_of(source: Source, name_of: Callable[[str], str]) -> Plan:
    """Match rows, folders, boxes and masks.

    Args:
        source: see Source.
        name_of: a study's new name; one to one.

    Raises:
        CspineError: no row names a folder, or a test study's name cannot be part of a row id.
    """
    used, found = _matched(source, name_of)
    labelled = {row.study for row in used}
    boxes = _boxes(source.boxes, labelled, name_of, found)
    masks = _masks(source.masks, labelled, name_of, found) if source.masks is not None else None
    unlabelled = sorted(source.images.paths.keys() - labelled)
    found += [_finding("import-folder-without-row", name_of(u), "train_images", "no row names it") for u in unlabelled]
    beside = {"train_images": source.images, "test_images": source.test, "segmentations": source.masks or Found({}, 0)}
    for place, entries in beside.items():
        if entries.others:
            found.append(_finding("import-other-file", "", place, f"{entries.others} entries that are none of these"))
    folders = {
        "train_images": {name_of(uid): path for uid, path in source.images.paths.items()},
        "test_images": {name_of(uid): path for uid, path in source.test.paths.items()},
    }
    train = [{UID: name_of(row.study), **row.labels} for row in used]
    plan = Plan(train, boxes, _asked(source.test, name_of), folders, masks, found)
    check_conserved(source, plan)
    return plan


def check_conserved(source: Source, plan: Plan) -> None:
    """Every row, box, folder and mask of the source is imported or has a finding."""
    codes = Counter(finding.code for finding in plan.findings)
    out = codes["import-row-without-study"] + codes["import-row-without-folder"]
    assert len(source.rows) == len(plan.train) + out, "a row of the labels is lost"
    lost = codes["import-box-unreadable"] + codes["import-box-of-unknown-study"]
    assert len(source.boxes) == len(plan.boxes) + lost, "a box is lost"
    for place, given in (("train_images", source.images), ("test_images", source.test)):
        assert len(given.paths) == len(plan.folders[place]), f"two studies of {place} have one new name"
    if source.masks is not None and plan.masks is not None:
        assert len(source.masks.paths) == len(plan.masks) + codes["import-mask-of-unknown-study"], "a mask is lost"


def _matched(source: Source, name_of: Callable[[str], str]) -> tuple[list[LabelRow], list[Finding]]:
    """The rows whose study has a folder, and what is to be said of the others and of second rows."""
    used: list[LabelRow] = []
    found: list[Finding] = []
    first: dict[str, LabelRow] = {}
    for row in source.rows:
        where = f"line {row.line}"
        if not row.study:
            found.append(_finding("import-row-without-study", "", "labels", f"{where}: names no study"))
        elif row.study not in source.images.paths:
            found.append(_finding("import-row-without-folder", name_of(row.study), "labels", f"{where}: no folder"))
        else:
            used.append(row)
            before = first.setdefault(row.study, row)
            if before is not row:
                code = "import-duplicate-row" if before.labels == row.labels else "import-duplicate-other-labels"
                found.append(_finding(code, name_of(row.study), "labels", f"{where}: again, as line {before.line}"))
    if not used:
        named = next((row.study for row in source.rows if row.study), "nothing")
        there = next(iter(source.images.paths), "nothing")
        raise CspineError(
            f"no row names a study folder: the first row names {named}, the first folder is {there}; expected the name "
            "of a folder in the column of the study (--study), or another folder of images"
        )
    return used, found


def _boxes(
    rows: Sequence[BoxRow], labelled: set[str], name_of: Callable[[str], str], found: list[Finding]
) -> list[Row]:
    kept = []
    for row in rows:
        if not row.study or row.study not in labelled:
            uid = name_of(row.study) if row.study else ""
            found.append(_finding("import-box-of-unknown-study", uid, "boxes", f"line {row.line}"))
        elif not row.readable:
            wrong = f"line {row.line}: not all of {', '.join(row.numbers)} are numbers"
            found.append(_finding("import-box-unreadable", name_of(row.study), "boxes", wrong))
        else:
            kept.append({UID: name_of(row.study), **row.numbers})
    return kept


def _masks(masks: Found, labelled: set[str], name_of: Callable[[str], str], found: list[Finding]) -> dict[str, Path]:
    for uid in sorted(masks.paths.keys() - labelled):
        found.append(_finding("import-mask-of-unknown-study", name_of(uid), "segmentations", "no row names its study"))
    return {name_of(uid): path for uid, path in masks.paths.items() if uid in labelled}


def _asked(test: Found, name_of: Callable[[str], str]) -> list[Row]:
    """The rows of test.csv: every label of every test study."""
    for uid in test.paths:
        if "_" in name_of(uid):
            raise CspineError(
                f"--test: a row id is <study>_<label>, split at its first underscore, and study {uid} has one in its "
                "name; use --hash-uids, or rename the folders"
            )
    studies: Iterable[str] = map(name_of, test.paths)
    return [{"row_id": f"{uid}_{label}", UID: uid, "prediction_type": label} for uid in studies for label in LABELS]


def _finding(code: str, uid: str, file: str, detail: str) -> Finding:
    return Finding(uid, code, file, detail, CONSEQUENCES[code])

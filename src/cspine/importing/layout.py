"""A plan written out as a folder in the competition's layout: whole, or not at all."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cspine.errors import CspineError
from cspine.faults import fault_point
from cspine.findings import COLUMNS
from cspine.importing.plans import Plan
from cspine.raw_folder import CSV_COLUMNS, MASKS, check_raw_folder
from cspine.writing import flush

RECORD, FINDINGS = "import.json", "import_findings.csv"


def check_place(out: Path, sources: Iterable[Path]) -> None:
    """``out`` is not there or empty, and in none of the folders that are imported.

    Raises:
        CspineError: says what is there, and what to do.
    """
    if out.is_dir() and any(out.iterdir()):
        earlier = (out / RECORD).is_file()
        what = "an earlier import; remove it first" if earlier else f"{next(out.iterdir()).name} and maybe more"
        raise CspineError(f"--out {out}: found {what}; expected a folder that is not there, or an empty one")
    if out.exists() and not out.is_dir():
        raise CspineError(f"--out {out}: found a file; expected a folder that is not there, or an empty one")
    for source in sources:
        if out.resolve().is_relative_to(source.resolve()):
            raise CspineError(f"--out {out}: lies in {source}, which is imported; expected another place")


def write_layout(plan: Plan, out: Path, record: Mapping[str, Any], copy: bool) -> None:
    """Make the folder ``out``; it takes its place by one rename, when everything is in it.

    Args:
        plan: see Plan.
        out: not there, or empty.
        record: import.json.
        copy: copy study folders and masks instead of linking them.
    """
    temporary = out.absolute().with_name(f".{out.name}.importing")
    shutil.rmtree(temporary, ignore_errors=True)  # of an import that was killed; links are removed, not followed
    try:
        _write(plan, temporary, record, copy)
        check_raw_folder(temporary)
        fault_point("import-before-rename")
        if out.is_dir():
            out.rmdir()
        temporary.rename(out.absolute())
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    flush(out.absolute().parent)


def _write(plan: Plan, folder: Path, record: Mapping[str, Any], copy: bool) -> None:
    folder.mkdir(parents=True)
    sample = [{"row_id": row["row_id"], "fractured": "0.5"} for row in plan.asked]
    tables = {"train.csv": plan.train, "train_bounding_boxes.csv": plan.boxes, "test.csv": plan.asked}
    for name, rows in {**tables, "sample_submission.csv": sample}.items():
        _write_csv(folder / name, CSV_COLUMNS[name], rows)
    found = sorted(map(asdict, plan.findings), key=lambda row: [row[c] for c in COLUMNS])
    _write_csv(folder / FINDINGS, COLUMNS, found)
    for name, studies in plan.folders.items():
        (folder / name).mkdir()
        for uid, source in studies.items():
            _place(source, folder / name / uid, copy)
    if plan.masks is not None:
        (folder / MASKS).mkdir()
        for uid, source in plan.masks.items():
            _place(source, folder / MASKS / (uid + ("" if source.suffix == ".nii" else ".nii") + source.suffix), copy)
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _place(source: Path, target: Path, copy: bool) -> None:
    if not copy:
        target.symlink_to(source)
    elif source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

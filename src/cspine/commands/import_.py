"""Other people's data in the layout of the competition (``import`` is a word of Python, hence the file's name)."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cspine.amounts import counted, table
from cspine.errors import CspineError
from cspine.hashing import file_digest
from cspine.importing import hashed_uids, sources
from cspine.importing.columns import Columns, assignments
from cspine.importing.layout import FINDINGS, check_place, write_layout
from cspine.importing.plans import Plan, Source, plan_of
from cspine.raw_folder import CSV_COLUMNS
from cspine.studies import LABELS, UID


def main(
    labels: str,
    images: str,
    out: str = "data/own",
    study: str = "",
    columns: list[str] | None = None,
    boxes: str = "",
    box_columns: list[str] | None = None,
    masks: str = "",
    test: str = "",
    hash_uids: bool = False,
    hash_key: str = "",
    copy: bool = False,
    dry_run: bool = False,
) -> int:
    """Turn a CSV of labels and a folder of study folders into a data folder that the workflow reads (data.root).

    Pixels are linked to, not copied. A blank label is unknown. docs/own-data.md tells the whole story.

    Args:
        labels: a CSV with a row for each training study: the name of its folder, patient_overall, C1..C7
        images: a folder with a folder of DICOM files for each study
        out: the data folder to make; must not be there, or be empty
        study: the column that names the study's folder (default: StudyInstanceUID, however it is spelled)
        columns: what the label columns are called, e.g. patient_overall=any_fracture C1=fx_c1; C1= says that there is
            none
        boxes: a CSV of boxes: study, x, y, width, height (pixels), slice_number (the number in the file's name)
        box_columns: what its columns are called, e.g. x=left
        masks: a folder of vertebra masks, <study>.nii.gz
        test: a folder of study folders that are to be predicted
        hash_uids: replace the studies' names by keyed hashes that are valid UIDs
        hash_key: the file of the key, so that two imports agree (default: beside --out, <name>.key); made if not there
        copy: copy the pixels; links show the original names where they lead to
        dry_run: say what would be imported, and write nothing
    """
    place, folders = Path(out), [Path(p) for p in (images, test, masks) if p]
    of_labels = sources.label_columns(
        Path(labels), Path(images), assignments("--columns", columns or [], LABELS) | ({UID: study} if study else {})
    )
    named = assignments("--box-columns", box_columns or [], CSV_COLUMNS["train_bounding_boxes.csv"])
    of_boxes = sources.box_columns(Path(boxes), of_labels[UID], named) if boxes else None
    check_place(place, folders)
    source = Source(
        sources.label_rows(Path(labels), of_labels),
        sources.study_folders(Path(images), "IMAGES"),
        sources.study_folders(Path(test), "--test") if test else sources.Found({}, 0),
        sources.box_rows(Path(boxes), of_boxes) if of_boxes else (),
        sources.mask_files(Path(masks)) if masks else None,
    )
    key, key_file = _key(place, hash_key) if hash_uids else (None, None)
    if hash_key and not hash_uids:
        raise CspineError("--hash-key: given without --hash-uids; expected both, or neither")
    plan = plan_of(source, _names(key))
    counts = _counts(plan)
    record: dict[str, Any] = {
        "format": 1,
        "cspine": version("cspine"),
        "python": platform.python_version(),
        "columns": _recorded(of_labels),
        "box_columns": _recorded(of_boxes) if of_boxes else None,
        "names": "hashed" if hash_uids else "kept",
        "pixels": "copied" if copy else "linked",
        "labels_sha256": file_digest(Path(labels)),
        "boxes_sha256": file_digest(Path(boxes)) if boxes else None,
        "counts": counts,
        "findings": dict(sorted(Counter(f.code for f in plan.findings).items())),
    }
    _tell(of_labels, of_boxes, counts, plan)
    if dry_run:
        print("Nothing was written (--dry-run).")
        return 0
    if key is not None and key_file is not None and not key_file.exists():
        hashed_uids.write_key(key_file, key)
        print(f"The key of the hashes is {key_file}: keep it, and keep it to yourself.")
    write_layout(plan, place, record, copy)
    print(f"{place} is ready:  snakemake --cores 4 audit --configfile presets/own-data.yaml")
    return 0


def _key(out: Path, given: str) -> tuple[bytes, Path]:
    """The key, read or new, and its file, which lies outside ``out``: who is given the data must not get it too."""
    path = Path(given) if given else out.absolute().with_name(f"{out.name}.key")
    if path.resolve().is_relative_to(out.resolve()):
        raise CspineError(f"--hash-key {path}: lies in {out}; expected a place outside, or the data give it away")
    return hashed_uids.read_key(path) or hashed_uids.new_key(), path


def _names(key: bytes | None) -> Callable[[str], str]:
    return (lambda uid: uid) if key is None else (lambda uid: hashed_uids.hashed_uid(uid, key))


def _recorded(columns: Columns) -> dict[str, str | None]:
    return {name: column or None for name, column in columns.items()}


def _counts(plan: Plan) -> dict[str, int]:
    cells = [row[label] for row in plan.train for label in LABELS]
    return {
        "rows": len(plan.train),
        "labels_unknown": cells.count(""),
        "boxes": len(plan.boxes),
        "masks": len(plan.masks or {}),
        "training_folders": len(plan.folders["train_images"]),
        "test_folders": len(plan.folders["test_images"]),
    }


def _tell(of_labels: Columns, of_boxes: Columns | None, counts: dict[str, int], plan: Plan) -> None:
    for what, columns in (("labels", of_labels), ("boxes", of_boxes or {})):
        renamed = [f"{name} from {column or 'nowhere: unknown'}" for name, column in columns.items() if name != column]
        if columns:
            print(f"{what}: {', '.join(renamed) or 'all columns by their own names'}")
    print("; ".join(f"{name.replace('_', ' ')}: {number:,}" for name, number in counts.items()))
    if plan.findings:
        of_code = Counter((f.code, f.consequence) for f in plan.findings)
        rows = [(code, str(number), consequence) for (code, consequence), number in sorted(of_code.items())]
        print(f"{counted(len(plan.findings), 'finding')}, one row each in {FINDINGS}:")
        print("\n".join(table([("code", "", "what was done"), *rows], texts=(0, 2))))

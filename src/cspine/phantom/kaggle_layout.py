"""The tables: Kaggle's CSV files, and the hidden truth in a folder that no training stage reads."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cspine.errors import CspineError
from cspine.phantom.plans import PhantomConfig, StudyPlan, missing_uid
from cspine.phantom.study_files import FileRecord, StudyRecord, write_bytes
from cspine.studies import LABELS, UID, VERTEBRAE
from cspine.tables import write_table

SAMPLE_PROBABILITY = 0.5
BOX = ("x", "y", "width", "height")


def refuse_strangers(data: Path, plans: list[StudyPlan]) -> None:
    """Stop before mixing two data sets: ``data`` may hold an unfinished run of this plan and nothing else.

    Raises:
        CspineError: the folder holds something this plan would not write.
    """
    expected = {"train.csv", "train_bounding_boxes.csv", "test.csv", "sample_submission.csv"}
    for plan in plans:
        last = plan.first_number + plan.slices
        expected |= {f"{plan.cohort}_images/{plan.uid}/{n}.dcm" for n in range(plan.first_number, last)}
        if plan.segmented:
            expected.add(f"segmentations/{plan.uid}.nii")
    found = (p.relative_to(data).as_posix() for p in data.rglob("*") if p.is_file())
    strangers = sorted(path for path in found if path not in expected)
    if strangers:
        raise CspineError(
            f"{data}: holds {len(strangers)} files that do not belong to this phantom, e.g. {strangers[0]}; "
            "expected an empty folder. Move them away or name another folder."
        )


def write_kaggle_tables(data: Path, config: PhantomConfig, records: list[StudyRecord]) -> list[FileRecord]:
    """Write the four CSV files; rows are in order of making, which is not the UIDs' order."""
    train = [r for r in records if r.plan.cohort == "train"]
    asked = [r.plan.uid for r in records if r.plan.cohort == "test"]
    asked.insert(len(asked) // 2, missing_uid(config))  # has no folder
    boxes = pd.DataFrame(
        [(r.plan.uid, *t.box, t.slice_number) for r in train for t in r.boxes],
        columns=[UID, *BOX, "slice_number"],
    )
    test = pd.DataFrame(
        [(f"{uid}_{label}", uid, label) for uid in asked for label in (*VERTEBRAE, "patient_overall")],
        columns=["row_id", UID, "prediction_type"],
    )
    sample = test[["row_id"]].assign(fractured=SAMPLE_PROBABILITY)
    tables = {
        "train.csv": _study_labels(train),
        "train_bounding_boxes.csv": boxes,
        "test.csv": test,
        "sample_submission.csv": sample,
    }
    return [write_bytes(data, name, _csv(table)) for name, table in tables.items()]


def write_truth(truth: Path, records: list[StudyRecord]) -> None:
    """Write truth/slices.parquet, truth/studies.parquet and truth/test.csv."""
    slices = pd.DataFrame([row for r in records for row in _slice_rows(r)])
    small = [c for c in map(str, slices) if c.startswith(("present_", "fractured_"))]
    slices = slices.astype(dict.fromkeys(small, "int8") | dict.fromkeys(["slice_number", "z_index"], "int32"))
    write_table(slices.astype(dict.fromkeys(BOX, "float32")), truth / "slices.parquet")
    studies = pd.DataFrame([_study_row(r) for r in records])
    write_table(studies.astype(dict.fromkeys(LABELS, "int8")), truth / "studies.parquet")
    write_bytes(truth, "test.csv", _csv(_study_labels([r for r in records if r.plan.cohort == "test"])))


def write_manifest(manifest: Path, files: list[FileRecord]) -> None:
    """Write path, size and digest of every file of the data set, sorted by path."""
    rows = sorted((f.path, f.size, f.digest) for f in files)
    write_bytes(manifest.parent, manifest.name, _csv(pd.DataFrame(rows, columns=["path", "size", "digest"])))


def _study_labels(records: list[StudyRecord]) -> pd.DataFrame:
    rows = [(r.plan.uid, *_labels(r.plan)) for r in records]
    return pd.DataFrame(rows, columns=[UID, *LABELS])


def _labels(plan: StudyPlan) -> list[int]:
    """patient_overall (the largest of the others), C1..C7."""
    levels = [int(v in plan.fractured) for v in VERTEBRAE]
    return [max(levels), *levels]


def _slice_rows(record: StudyRecord) -> list[dict[str, object]]:
    rows = []
    for t in record.truths:
        row: dict[str, object] = {"cohort": record.plan.cohort, UID: record.plan.uid}
        row |= {"slice_number": t.slice_number, "z_index": t.z_index, "position": t.position}
        row |= {f"present_{v}": value for v, value in zip(VERTEBRAE, t.present, strict=True)}
        row |= {f"fractured_{v}": value for v, value in zip(VERTEBRAE, t.fractured, strict=True)}
        row |= dict(zip(BOX, t.box, strict=True))
        rows.append(row)
    return rows


def _study_row(record: StudyRecord) -> dict[str, object]:
    plan, patient = record.plan, record.patient
    visible = sum(any(t.fractured) for t in record.truths)
    row: dict[str, object] = {"cohort": plan.cohort, UID: plan.uid, "index": plan.index}
    row |= dict(zip(LABELS, _labels(plan), strict=True))
    row |= {
        "sites": "; ".join(f"{v}: {', '.join(record.sites[v])}" for v in plan.fractured),
        "slices": plan.slices,
        "fractured_slices": visible,
        "boxed": plan.boxed,
        "boxes": len(record.boxes),
        "box_gap": plan.boxed and len(record.boxes) < visible,
        "segmented": plan.segmented,
        "reversed": plan.reversed,
        "compressed": plan.compressed,
        "syntax": "1.2.840.10008.1.2.4.70" if plan.compressed else "1.2.840.10008.1.2.1",
        "bits_stored": plan.bits_stored,
        "first_number": plan.first_number,
        "thickness": plan.thickness,
        "pixel_spacing": record.spacing,
        "slice_spacing": record.step,
        "scale": patient.scale,
        "lordosis": patient.lordosis,
        "pitch": patient.pitch,
        "tilt": patient.tilt,
        "twist": patient.twist,
    }
    return row


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()

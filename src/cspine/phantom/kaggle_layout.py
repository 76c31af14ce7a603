"""The tables: Kaggle's CSV files, and the hidden truth in a folder that no training stage reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cspine.errors import CspineError
from cspine.hashing import seed_of
from cspine.phantom.plans import PhantomConfig, StudyPlan, uids_without_folder
from cspine.phantom.study_files import FileRecord, StudyRecord, write_bytes
from cspine.phantom.truth import runs
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
    """Write the four CSV files; studies are in order of making, which is not the UIDs' order."""
    train = [r for r in records if r.plan.cohort == "train"]
    boxes = pd.DataFrame(
        [(r.plan.uid, *t.box, t.slice_number) for r in train for t in r.boxes],
        columns=[UID, *BOX, "slice_number"],
    )
    test = asked_rows(config, [r.plan for r in records])
    sample = test[["row_id"]].assign(fractured=SAMPLE_PROBABILITY)
    order = np.random.default_rng(seed_of("phantom", "sample", config.seed)).permutation(len(sample))
    tables = {
        "train.csv": _study_labels(train),
        "train_bounding_boxes.csv": boxes,
        "test.csv": test,
        "sample_submission.csv": sample.iloc[order],
    }
    return [write_bytes(data, name, _csv(table)) for name, table in tables.items()]


def asked_rows(config: PhantomConfig, plans: list[StudyPlan]) -> pd.DataFrame:
    """The rows of test.csv: eight for each test study that is asked for and for the first ones without a folder.

    Of the last without a folder, where there are several, C1 alone, as of each of the three in the public file.
    """
    asked = [plan.uid for plan in plans if plan.cohort == "test" and plan.asked]
    absent = uids_without_folder(config)
    for place, uid in enumerate(absent, start=1):
        asked.insert(place * len(asked) // (len(absent) + 1), uid)
    rows = [(f"{uid}_{label}", uid, label) for uid in asked for label in (*VERTEBRAE, "patient_overall")]
    if len(absent) > 1:
        rows = [row for row in rows if row[1] != absent[-1] or row[2] == VERTEBRAE[0]]
    return pd.DataFrame(rows, columns=["row_id", UID, "prediction_type"])


def write_truth(truth: Path, records: list[StudyRecord]) -> None:
    """Write truth/slices.parquet, truth/studies.parquet, and truth/test.csv with the labels of what is asked for."""
    slices = pd.DataFrame([row for r in records for row in _slice_rows(r)])
    small = [c for c in map(str, slices) if c.startswith(("present_", "fractured_"))]
    slices = slices.astype(dict.fromkeys(small, "int8") | dict.fromkeys(["slice_number", "z_index", "pixels"], "int32"))
    write_table(slices.astype(dict.fromkeys(BOX, "float32")), truth / "slices.parquet")
    studies = pd.DataFrame([_study_row(r) for r in records])
    write_table(studies.astype(dict.fromkeys(LABELS, "int8")), truth / "studies.parquet")
    asked = [r for r in records if r.plan.cohort == "test" and r.plan.asked]
    write_bytes(truth, "test.csv", _csv(_study_labels(asked)))


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
        row["pixels"] = record.plan.pixels - 2 * t.margin
        row |= {f"present_{v}": value for v, value in zip(VERTEBRAE, t.present, strict=True)}
        row |= {f"fractured_{v}": value for v, value in zip(VERTEBRAE, t.fractured, strict=True)}
        row |= dict(zip(BOX, t.box, strict=True))
        rows.append(row)
    return rows


def _study_row(record: StudyRecord) -> dict[str, object]:
    plan, patient, stored = record.plan, record.patient, record.plan.stored
    visible = sum(any(t.fractured) for t in record.truths)
    row: dict[str, object] = {"cohort": plan.cohort, UID: plan.uid, "index": plan.index}
    row |= dict(zip(LABELS, _labels(plan), strict=True))
    row |= {
        "sites": "; ".join(f"{v}: {', '.join(record.sites[v])}" for v in plan.fractured),
        "distractors": "; ".join(record.distractors),
        "slices": len(record.truths),
        "fractured_slices": visible,
        "boxed": plan.boxed,
        "boxes": len(record.boxes),
        "box_gap": len(runs([t.slice_number for t in record.boxes])) > 1,
        "segmented": plan.segmented,
        "mask_thoracic": plan.mask_thoracic,
        "mask_strays": plan.mask_strays,
        "reversed": plan.reversed,
        "first_number": plan.first_number,
        "missing_files": plan.slices - len(record.truths),
        "mixed_sizes": plan.mixed_sizes,
        "asked": plan.asked,
        "compressed": plan.compressed,
        "syntax": plan.syntax,
        "bits_stored": stored.bits_stored,
        "signed": stored.signed,
        "intercept": stored.intercept,
        "slope": stored.slope,
        "padded": stored.padding is not None,
        "thickness": plan.thickness,
        "pixels": plan.pixels,
        "starts_below": plan.starts_below,
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

"""One study from plan to files: what a worker process does (without a table library, to start quickly)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cspine.phantom.dicom_files import SliceWriter
from cspine.phantom.nifti import encode_mask
from cspine.phantom.patients import Patient
from cspine.phantom.plans import PhantomConfig, StudyPlan
from cspine.phantom.rendering import render_study
from cspine.phantom.segmentations import drawn_mask
from cspine.phantom.truth import SliceTruth, published_boxes, slice_numbers, slice_truths


@dataclass(frozen=True)
class FileRecord:
    """One row of the manifest."""

    path: str  # relative to the data folder, POSIX
    size: int
    digest: str  # sha256


@dataclass(frozen=True)
class StudyRecord:
    """What is left of a study once its files are written."""

    plan: StudyPlan
    patient: Patient
    spacing: float
    step: float
    sites: dict[str, tuple[str, ...]]
    distractors: tuple[str, ...]  # what looks like a fracture and is none
    truths: list[SliceTruth]  # by file number
    boxes: list[SliceTruth]  # the slices whose box is published
    files: list[FileRecord]


def make_study(plan: StudyPlan, config: PhantomConfig, data: Path) -> StudyRecord:
    """Render a study and write its slices, and its mask if it has one, under ``data``."""
    rendered = render_study(plan, config)
    truths = slice_truths(plan, rendered, config)
    writer = SliceWriter(plan, rendered.grid)
    folder = f"{plan.cohort}_images/{plan.uid}"
    for number in set(slice_numbers(plan)) - {t.slice_number for t in truths}:
        (data / folder / f"{number}.dcm").unlink(missing_ok=True)  # left by another version of this program
    files = []
    for t in truths:
        content = writer.encode(rendered.hu[t.plane], t.slice_number, t.position, t.margin)
        files.append(write_bytes(data, f"{folder}/{t.slice_number}.dcm", content))
    grid = rendered.grid
    if plan.segmented:
        mask = encode_mask(drawn_mask(plan, rendered, config), grid)
        files.append(write_bytes(data, f"segmentations/{plan.uid}.nii", mask))
    return StudyRecord(
        plan=plan,
        patient=rendered.patient,
        spacing=grid.spacing,
        step=grid.step,
        sites=rendered.sites,
        distractors=rendered.distractors,
        truths=truths,
        boxes=published_boxes(plan, truths, config),
        files=files,
    )


def write_bytes(data: Path, path: str, content: bytes) -> FileRecord:
    """Write ``content`` to ``data / path`` and return its row of the manifest."""
    target = data / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return FileRecord(path, len(content), hashlib.sha256(content).hexdigest())

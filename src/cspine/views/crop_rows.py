"""One study -> its rows of a crop's shard. What the worker processes of ``ingest_crops`` and ``plan_crops`` run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cspine.cache.codecs import encode
from cspine.dicom import Study, read_study
from cspine.faults import fault_point
from cspine.findings import Finding
from cspine.views.fields import Place, cut
from cspine.views.shard_rows import ShardRows
from cspine.views.study_rows import StudyJob, cache_row, changed_files
from cspine.views.study_sizes import StudySizes
from cspine.views.windows import Window

SPINE_NOT_FOUND, STUDY_CHANGED = "spine-not-found", "study-changed"
#: reason code -> what is done about it
CONSEQUENCES = {
    SPINE_NOT_FOUND: "all its slices are cropped around their middle",
    STUDY_CHANGED: "study has no crop; run again so that the listing is renewed",
    "decoder-crash": "study has no crop; predicted from the prior",
}
#: findings on slices that took something from others of their study: of a part of it, it might be something else
BORROWED = frozenset(
    {"no-rescale", "no-spacing", "no-position", "no-orientation", "positions-all-equal", "repeated-file-number"}
    | {"ordered-by-instance-number", "ordered-by-file-name", "duplicate-position", "other-series", "other-orientation"}
)


@dataclass(frozen=True)
class CropForm:
    """How a slice is cropped."""

    window: Window
    pixels: int  # side of a cached slice
    codec: str  # see ``cspine.cache.codecs``


@dataclass(frozen=True)
class CropJob:
    """A study, and where its spine is.

    Attributes:
        folder: of the study.
        files: in it, with the sizes that the inventory lists.
        first: z_index of the first slice of the crop.
        numbers: slice_number of its slices, from the head; -1 where one has none.
        place: of the square in them.
        found: whether the localizer saw a spine.
    """

    folder: Path
    files: tuple[tuple[str, int], ...]
    first: int
    numbers: tuple[int, ...]
    place: Place
    found: bool = True


def crop_study(job: CropJob, form: CropForm) -> ShardRows:
    """Read the slices of one study that show its cervical spine, and encode their crops; never raises for bad input."""
    uid = job.folder.name
    fault_point("read-study")
    fault_point(f"read-study-{uid}")
    findings = changed_files(StudyJob(job.folder, job.files))
    if not job.found:
        detail = f"no slice in which the localizer shows a vertebra, of {len(job.numbers)}"
        findings.append(Finding(uid, SPINE_NOT_FOUND, "", detail, CONSEQUENCES[SPINE_NOT_FOUND]))
    study, start = read_part(job)
    stop = start + len(job.numbers)
    if tuple(study.slice_numbers[start:stop].tolist()) != job.numbers:  # they would be taken for others
        detail = f"slices {start} to {stop - 1} are others than in the index; {len(study.files)} were read"
        return ShardRows([], [*findings, Finding(uid, STUDY_CHANGED, "", detail, CONSEQUENCES[STUDY_CHANGED])])
    return ShardRows([crop_row(study, z, z - start, job.place, form) for z in range(start, stop)], findings)


def lost_crop(job: CropJob) -> ShardRows:
    """What stands for a study whose reading killed its process."""
    uid, code = job.folder.name, "decoder-crash"
    finding = Finding(uid, code, "", "the process that read this study was killed", CONSEQUENCES[code])
    return ShardRows([], [finding])


def read_part(job: CropJob) -> tuple[Study, int]:
    """The study, and the z in it of the crop's first slice.

    Only the crop's own files are read where their names say which they are. Whether they were is looked at afterwards:
    where other slices came, or some that took something from slices beyond, the whole study is read as ``ingest`` did.
    """
    names = _named(job)
    if names is not None:
        part = read_study(job.folder, names)
        plain = not BORROWED & {finding.code for finding in part.findings}
        if plain and tuple(part.slice_numbers.tolist()) == job.numbers:
            return part, 0
    return read_study(job.folder, [name for name, _ in job.files]), job.first


def crop_row(study: Study, z: int, z_index: int, place: Place, form: CropForm) -> dict[str, Any]:
    """The cache row of slice ``z``, ``z_index`` in the crop: the columns of ``slices.GEOMETRY`` and ``pixels``."""
    levels = study.grey_levels(z, form.window)
    blob = encode(cut(levels, place, form.pixels), form.codec)
    return cache_row(study, z, z_index, levels.shape, blob)


def crop_sizes(job: CropJob, forms: tuple[CropForm, ...]) -> StudySizes:
    """Read the files of ``job``, a part of its study's, and encode those slices of the crop in every form."""
    fault_point(f"read-study-{job.folder.name}")
    begun = time.perf_counter()
    study = read_study(job.folder, [name for name, _ in job.files])
    wanted = {*job.numbers, -1}
    inside = [z for z, number in enumerate(study.slice_numbers.tolist()) if number in wanted]
    reading = time.perf_counter() - begun
    tables, seconds = [], []
    for form in forms:
        begun = time.perf_counter()
        tables.append([crop_row(study, z, i, job.place, form) for i, z in enumerate(inside)])
        seconds.append(reading + time.perf_counter() - begun)
    sizes = tuple(sum(len(row["pixels"]) for row in rows) for rows in tables)
    return StudySizes(tables[0], sizes, tuple(seconds)) if inside else StudySizes([])


def _named(job: CropJob) -> list[str] | None:
    """The files of the crop by the numbers in their names; None where a number is no one file's."""
    of_number: dict[int, list[str]] = {}
    for name, _ in job.files:
        stem = PurePosixPath(name).stem
        if stem.isdecimal():
            of_number.setdefault(int(stem), []).append(name)
    files = [of_number.get(number, []) for number in job.numbers]
    return [names[0] for names in files] if all(len(names) == 1 for names in files) else None

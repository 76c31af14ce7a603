"""One study -> its rows of a cache shard. What the worker processes of ``ingest`` run: nothing more is imported here.

They start within the first moments of a shard, and again after each crash; pandas, pyarrow and pydicom, which reading
rarely needs, would triple the time that takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cspine.cache.codecs import crc32, encode
from cspine.dicom import Study, read_study
from cspine.faults import fault_point
from cspine.findings import Finding
from cspine.raw_folder import read_rows
from cspine.studies import UID
from cspine.views.windows import Window, resize_slice

FILE_CHANGED = "file-changed"
#: reason code -> what is done about it (the reader's own codes are in ``dicom.notes``)
CONSEQUENCES = {
    FILE_CHANGED: "read as it is now; run again so that the listing is renewed",
    "decoder-crash": "study has no slices; predicted from the prior",
}


@dataclass(frozen=True)
class Form:
    """How a slice is cached."""

    window: Window
    pixels: int  # side of a cached slice
    centre: float  # share of the slice's side that is cached
    codec: str  # see ``cspine.cache.codecs``


@dataclass(frozen=True)
class StudyJob:
    """One study to read: its folder and the files the inventory lists, with their sizes."""

    folder: Path
    files: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Ingested:
    """What one study gave: its cache rows, its row of the studies table, its findings."""

    rows: list[dict[str, Any]]
    study: dict[str, Any]
    findings: list[Finding]


def list_jobs(inventory: Path, folder: Path) -> list[StudyJob]:
    """The studies of an inventory shard, sorted by StudyInstanceUID."""
    files: dict[str, list[tuple[str, int]]] = {}
    for _, row in read_rows(inventory, (UID, "file", "size")):
        files.setdefault(row[UID], []).append((row["file"], int(row["size"])))
    return [StudyJob(folder / uid, tuple(files[uid])) for uid in sorted(files)]


def ingest_study(job: StudyJob, form: Form) -> Ingested:
    """Read one study and encode its slices; never raises for bad input."""
    uid = job.folder.name
    fault_point("read-study")
    fault_point(f"read-study-{uid}")
    findings = changed_files(job)
    study = read_study(job.folder, [name for name, _ in job.files])
    rows = [slice_row(study, z, form) for z in range(len(study.files))]
    summary = {
        UID: uid,
        "slices": len(rows),
        "readable": bool(rows),
        "thickness": study.thickness,
        "reversed": study.reversed,
        "reason": study.reason,
    }
    return Ingested(rows, summary, findings + study.findings)


def crashed(job: StudyJob) -> Ingested:
    """What stands for a study whose reading killed its process."""
    uid, code = job.folder.name, "decoder-crash"
    finding = Finding(uid, code, "", "the process that read this study was killed", CONSEQUENCES[code])
    nothing = {UID: uid, "slices": 0, "readable": False, "thickness": float("nan"), "reversed": False, "reason": code}
    return Ingested([], nothing, [finding])


def slice_row(study: Study, z: int, form: Form) -> dict[str, Any]:
    """The cache row of slice ``z``: the columns of ``slices.GEOMETRY`` and its blob, ``pixels``."""
    levels = study.grey_levels(z, form.window)
    blob = encode(resize_slice(levels, form.pixels, form.centre), form.codec)
    return cache_row(study, z, z, levels.shape, blob)


def cache_row(study: Study, z: int, z_index: int, size: tuple[int, ...], blob: bytes) -> dict[str, Any]:
    """The row of slice ``z``, of ``size`` (rows, columns), which is ``z_index`` in the cache."""
    return {
        UID: study.StudyInstanceUID,
        "z_index": z_index,
        "slice_number": int(study.slice_numbers[z]),
        "position": float(study.positions[z]),
        "rows": size[0],
        "columns": size[1],
        "row_spacing": float(study.spacing[z, 0]),
        "column_spacing": float(study.spacing[z, 1]),
        "reversed": study.reversed,
        "crc32": crc32(blob),
        "pixels": blob,
    }


def changed_files(job: StudyJob) -> list[Finding]:
    """A finding for every file that has another size than the inventory says."""
    return [
        Finding(job.folder.name, FILE_CHANGED, name, f"was {size} bytes when listed", CONSEQUENCES[FILE_CHANGED])
        for name, size in job.files
        if _changed(job.folder / name, size)
    ]


def _changed(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size != size
    except OSError:
        return False  # the reader says why

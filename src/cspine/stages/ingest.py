"""ingest: the studies of one shard, read once, into one cache shard of windowed 8-bit slices with their geometry."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import pandas as pd

from cspine.cache.codecs import CODECS, encode
from cspine.cache.shards import VERSION, crc32, write_shard
from cspine.dicom import Study, read_study
from cspine.errors import CspineError
from cspine.faults import fault_point
from cspine.findings import Finding, findings_table
from cspine.pools import pool
from cspine.progress import report
from cspine.raw_folder import COHORTS, read_rows
from cspine.runtime import workers
from cspine.stage import InPath, OutPath, RawFolder
from cspine.studies import UID
from cspine.tables import write_table
from cspine.windows import apply_window, resize_slice

VIEWS = ("slice",)
SMALL_SHARD = 200_000_000  # bytes of files that are read sooner than worker processes start (about 2 s)
#: reason code -> what is done about it (the reader's own codes are in ``dicom.series``)
CONSEQUENCES = {
    "file-changed": "read as it is now; run again so that the listing is renewed",
    "decoder-crash": "study has no slices; predicted from the prior",
}
STUDY_COLUMNS = {
    UID: "str",
    "slices": "int32",
    "readable": "bool",
    "thickness": "float32",
    "reversed": "bool",
    "reason": "str",
}


@dataclass(frozen=True)
class IngestConfig:
    """How a study's slices are cached."""

    #: name of the view; "slice" = whole slices
    view: str = "slice"
    #: folder the studies lie in: train (train_images) or test (test_images)
    cohort: str = "train"
    #: side of a cached slice in pixels
    pixels: int = 256
    #: share of the slice's side that is cached, around its middle; 1 = the whole slice
    centre: float = 1.0
    #: of the window, in Hounsfield units; bone is 400 wide 2000
    window_center: float = 400.0
    window_width: float = 2000.0
    #: how blobs are encoded: a name in ``cspine.cache.codecs.CODECS``
    codec: str = "zstd-delta"

    def __post_init__(self) -> None:
        choices = {"view": VIEWS, "cohort": tuple(COHORTS), "codec": tuple(CODECS)}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise CspineError(f"ingest.{name} is '{getattr(self, name)}'; choose one of {', '.join(known)}")
        if not 0 < self.centre <= 1:
            raise CspineError(f"ingest.centre is {self.centre:g}; a share above 0, up to 1 (the whole slice) is needed")
        if self.pixels < 8 or self.window_width <= 0:
            raise CspineError(
                f"ingest.pixels is {self.pixels} and ingest.window_width {self.window_width:g};"
                " at least 8 pixels and a positive width are needed"
            )


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


def ingest(
    root: RawFolder,
    inventory: InPath,
    shard: OutPath,
    studies: OutPath,
    findings: OutPath,
    *,
    config: IngestConfig,
) -> None:
    """Read the studies that ``inventory`` lists (StudyInstanceUID,file,size,digest) and write their cache shard.

    ``CSPINE_WORKERS`` processes share the studies of a shard that is not small; the output does not depend on their
    number. One study is held in memory per worker. A shard that is cut off begins anew: shards are what is kept.
    """
    jobs = list_jobs(inventory, root / COHORTS[config.cohort])
    small = sum(size for job in jobs for _, size in job.files) < SMALL_SHARD
    processes = min(workers(), 1 if small else len(jobs))
    done: list[dict[str, Any]] = []
    found: list[Finding] = []

    def rows() -> Iterator[dict[str, Any]]:
        for study in read_all(jobs, config, processes):
            done.append(study.study)
            found.extend(study.findings)
            report("ingest", len(done), len(jobs), unit="studies")
            fault_point("ingest-study")
            yield from study.rows

    write_shard(shard, rows(), {**asdict(config), "version": VERSION})
    write_table(pd.DataFrame(done, columns=list(STUDY_COLUMNS)).astype(STUDY_COLUMNS), studies)
    write_table(findings_table(found), findings)


def list_jobs(inventory: Path, folder: Path) -> list[StudyJob]:
    """The studies of an inventory shard, sorted by StudyInstanceUID."""
    files: dict[str, list[tuple[str, int]]] = {}
    for _, row in read_rows(inventory, (UID, "file", "size")):
        files.setdefault(row[UID], []).append((row["file"], int(row["size"])))
    return [StudyJob(folder / uid, tuple(files[uid])) for uid in sorted(files)]


def ingest_study(job: StudyJob, config: IngestConfig) -> Ingested:
    """Read one study and encode its slices; never raises for bad input."""
    changed = [f for f in job.files if _changed(job.folder / f[0], f[1])]
    study = read_study(job.folder, [name for name, _ in job.files])
    findings = [
        Finding(
            job.folder.name,
            "file-changed",
            name,
            f"was {size} bytes when listed",
            CONSEQUENCES["file-changed"],
        )
        for name, size in changed
    ]
    rows = [_row(study, z, config) for z in range(len(study.files))]
    summary = {
        UID: study.StudyInstanceUID,
        "slices": len(rows),
        "readable": bool(rows),
        "thickness": study.thickness,
        "reversed": study.reversed,
        "reason": study.reason,
    }
    return Ingested(rows, summary, findings + study.findings)


def read_all(jobs: Sequence[StudyJob], config: IngestConfig, workers: int) -> Iterator[Ingested]:
    """``ingest_study`` of every job, in order, in ``workers`` processes (1 = in this one)."""
    if workers <= 1:
        cv2.setNumThreads(1)
        yield from (ingest_study(job, config) for job in jobs)
        return
    waiting = deque(jobs)
    while waiting:
        yield from _until_crash(waiting, config, workers)


def _until_crash(waiting: deque[StudyJob], config: IngestConfig, workers: int) -> Iterator[Ingested]:
    """Take jobs from ``waiting`` until none is left or a worker dies.

    A dead worker takes the whole pool with it and does not say what it was reading. So every study that was under way
    is read again on its own; the one that kills its process again is reported, and the caller goes on in a new pool.
    """
    running: deque[tuple[StudyJob, Future[Ingested]]] = deque()
    with pool(workers, _single_threaded) as processes:
        while waiting or running:
            try:
                while waiting and len(running) < 2 * workers:
                    running.append((waiting[0], processes.submit(ingest_study, waiting[0], config)))
                    waiting.popleft()
                yield running[0][1].result()
                running.popleft()
            except BrokenProcessPool:
                break
    for job, future in running:
        finished = future.done() and not future.cancelled() and future.exception() is None
        yield future.result() if finished else _alone(job, config)


def _alone(job: StudyJob, config: IngestConfig) -> Ingested:
    try:
        with pool(1, _single_threaded) as process:
            return process.submit(ingest_study, job, config).result()
    except BrokenProcessPool:
        _check_workers_start()
    uid = job.folder.name
    detail = "the process that read this study was killed"
    finding = Finding(uid, "decoder-crash", "", detail, CONSEQUENCES["decoder-crash"])
    nothing = {UID: uid, "slices": 0, "readable": False, "thickness": float("nan"), "reversed": False}
    return Ingested([], {**nothing, "reason": "decoder-crash"}, [finding])


def _check_workers_start() -> None:
    """A process that cannot start at all must not be blamed on a study."""
    try:
        with pool(1, _single_threaded) as process:
            process.submit(os.getpid).result()
    except BrokenProcessPool as error:
        message = "ingest cannot start worker processes here; set CSPINE_WORKERS=1 (--cores 1) to read without them"
        raise CspineError(message) from error


def _single_threaded() -> None:
    # a function of this module: to pickle OpenCV's own, Python would search every module that is loaded
    cv2.setNumThreads(1)


def _row(study: Study, z: int, config: IngestConfig) -> dict[str, Any]:
    hounsfield = study.hounsfield[z]
    levels = apply_window(hounsfield, config.window_center, config.window_width)
    blob = encode(resize_slice(levels, config.pixels, config.centre), config.codec)
    return {
        UID: study.StudyInstanceUID,
        "z_index": z,
        "slice_number": int(study.slice_numbers[z]),
        "position": float(study.positions[z]),
        "rows": hounsfield.shape[0],
        "columns": hounsfield.shape[1],
        "row_spacing": float(study.spacing[z, 0]),
        "column_spacing": float(study.spacing[z, 1]),
        "reversed": study.reversed,
        "crc32": crc32(blob),
        "pixels": blob,
    }


def _changed(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size != size
    except OSError:
        return False  # the reader says why

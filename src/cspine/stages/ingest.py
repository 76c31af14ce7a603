"""ingest: the studies of one shard, read once, into one cache shard of windowed 8-bit slices with their geometry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cspine.cache.encodings import read_encoding
from cspine.errors import CspineError
from cspine.faults import fault_point
from cspine.findings import Finding, findings_table
from cspine.progress import report
from cspine.raw_folder import COHORTS
from cspine.runtime import workers
from cspine.stage import InPath, OutPath, RawFolder
from cspine.studies import UID
from cspine.study_pool import studies_read
from cspine.views.study_rows import Form, Ingested, crashed, ingest_study, list_jobs
from cspine.views.windows import Window

SMALL_SHARD = 200_000_000  # bytes of files that one process has read before a second one has started (about a second)
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
    """How a study's slices are cached; pixels and codec are the size plan's to decide (``plan_cache``)."""

    #: name of the view, one of kind slice
    view: str = "slice"
    #: folder the studies lie in: train (train_images) or test (test_images)
    cohort: str = "train"
    #: share of the slice's side that is cached, around its middle; 1 = the whole slice
    centre: float = 1.0
    #: of the window, in Hounsfield units; bone is 400 wide 2000
    window_center: float = 400.0
    window_width: float = 2000.0

    def __post_init__(self) -> None:
        if self.cohort not in COHORTS:
            raise CspineError(f"ingest.cohort is '{self.cohort}'; choose one of {', '.join(COHORTS)}")
        if not 0 < self.centre <= 1:
            raise CspineError(f"ingest.centre is {self.centre:g}; a share above 0, up to 1 (the whole slice) is needed")
        if self.window_width <= 0:
            raise CspineError(f"ingest.window_width is {self.window_width:g}; a positive width is needed")


def ingest(
    root: RawFolder,
    inventory: InPath,
    form: InPath,
    shard: OutPath,
    studies: OutPath,
    findings: OutPath,
    *,
    config: IngestConfig,
) -> None:
    """Read the studies that ``inventory`` lists (StudyInstanceUID,file,size,digest) and write their cache shard.

    Its slices are encoded as ``form`` says (``cache.encodings.Encoding``).

    ``CSPINE_WORKERS`` processes share the studies of a shard that is not small; the output does not depend on their
    number. A study that kills the process which reads it is reported, and the others are read all the same. Two
    studies per worker are held in memory. A shard that is cut off begins anew: shards are what is kept.
    """
    jobs = list_jobs(inventory, root / COHORTS[config.cohort])
    small = sum(size for job in jobs for _, size in job.files) < SMALL_SHARD
    processes = min(workers(), 1) if small else workers()
    encoding = read_encoding(form)
    window = Window(config.window_center, config.window_width)
    how = Form(window, encoding.pixels, config.centre, encoding.codec)
    with studies_read(jobs, ingest_study, how, crashed, processes) as read:
        _write(read, len(jobs), {**asdict(config), **asdict(encoding)}, shard, studies, findings)


def _write(
    read: Iterator[Ingested], count: int, metadata: dict[str, Any], shard: Path, studies: Path, findings: Path
) -> None:
    """Write the shard study by study as they are read, then the two tables."""
    import pandas as pd  # a second of imports, which the workers' start does not wait for

    from cspine.cache.shards import write_shard
    from cspine.tables import write_table

    done: list[dict[str, Any]] = []
    found: list[Finding] = []

    def rows() -> Iterator[dict[str, Any]]:
        for study in read:
            done.append(study.study)
            found.extend(study.findings)
            report("ingest", len(done), count, unit="studies")
            fault_point("ingest-study")
            yield from study.rows

    write_shard(shard, rows(), metadata)
    write_table(pd.DataFrame(done, columns=list(STUDY_COLUMNS)).astype(STUDY_COLUMNS), studies)
    write_table(findings_table(found), findings)

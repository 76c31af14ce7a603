"""A sample of a data set's slices, read and encoded as a cache would hold them: what a size plan is made from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cspine.cache.shards import write_shard
from cspine.cache.sizes import ListedStudy, Projection, SampledStudy, draw_files, project
from cspine.progress import report
from cspine.raw_folder import COHORTS, files_by_study
from cspine.runtime import workers
from cspine.study_pool import studies_read
from cspine.views.study_rows import Form, StudyJob
from cspine.views.study_sizes import StudySizes, lost_sizes, sizes_of


@dataclass(frozen=True)
class SizeSample:
    """What was read.

    Attributes:
        files: listed of each cohort.
        studies: the sampled ones.
        overhead: bytes that a slice takes in a shard besides its blob.
        fixed: bytes that the shards take without any slice.
        seconds: that a slice takes in each form, in one process on this machine; NaN when none was read.
    """

    files: Mapping[str, int]
    studies: Sequence[SampledStudy]
    overhead: float
    fixed: int
    seconds: Sequence[float]

    @property
    def slices(self) -> int:
        """Those that were read."""
        return sum(study.slices for study in self.studies)

    @property
    def looked_at(self) -> int:
        """Files that should have given them."""
        return sum(study.looked_at for study in self.studies)

    def projection(self, form: int, seed: int) -> Projection:
        """The bytes of all files in one of the forms."""
        return project(self.studies, self.files, form, self.overhead, self.fixed, seed)


def read_sample(root: Path, shards: Mapping[str, Sequence[Path]], forms: Sequence[Form], seed: int) -> SizeSample:
    """Read some files of some studies.

    In worker processes, so that a file that kills its reader costs one study of the sample.

    Args:
        root: the raw folder.
        shards: the inventory's lists (StudyInstanceUID, file) of each cohort.
        forms: in which the slices are encoded; one at least.
        seed: of the draw.
    """
    studies = _listed(shards)
    drawn = draw_files(studies, seed)
    listed = {(s.cohort, s.uid): len(s.files) for s in studies}
    jobs = [StudyJob(root / COHORTS[s.cohort] / s.uid, tuple((name, 0) for name in s.files)) for s in drawn]
    found = _read(jobs, tuple(forms))
    of_studies = [
        SampledStudy(s.cohort, listed[s.cohort, s.uid], len(s.files), len(f.rows), f.sizes or (0,) * len(forms))
        for s, f in zip(drawn, found, strict=True)
    ]
    overhead, empty = _beside_blobs([row for f in found for row in f.rows], forms[0])
    files = {cohort: sum(len(s.files) for s in studies if s.cohort == cohort) for cohort in shards}
    rates = np.array([[seconds / len(f.rows) for seconds in f.seconds] for f in found if f.rows])
    # the median: a first study pays for what later ones find loaded
    seconds = np.median(rates, axis=0) if len(rates) else np.full(len(forms), np.nan)
    return SizeSample(files, of_studies, overhead, empty * sum(map(len, shards.values())), seconds.tolist())


def _listed(shards: Mapping[str, Sequence[Path]]) -> list[ListedStudy]:
    """The studies of the lists by cohort and StudyInstanceUID, their files in the lists' order."""
    of_cohorts = {cohort: files_by_study(paths) for cohort, paths in shards.items()}
    return [
        ListedStudy(cohort, uid, tuple(files))
        for cohort in sorted(of_cohorts)
        for uid, files in sorted(of_cohorts[cohort].items())
    ]


def _read(jobs: list[StudyJob], forms: tuple[Form, ...]) -> list[StudySizes]:
    found: list[StudySizes] = []
    with studies_read(jobs, sizes_of, forms, lost_sizes, workers()) as answers:
        for answer in answers:
            found.append(answer)
            report("plan_cache", len(found), len(jobs), unit="studies")
    return found


def _beside_blobs(rows: list[dict[str, Any]], form: Form) -> tuple[float, int]:
    """Bytes of a shard that are no blob: per slice, and of a shard without slices. Measured, by writing both."""
    metadata = {"view": "slice", "cohort": "train", "pixels": form.pixels, "centre": form.centre, "codec": form.codec}
    metadata |= {"window_center": form.window.center, "window_width": form.window.width}
    with tempfile.TemporaryDirectory() as folder:
        empty, full = Path(folder, "empty.parquet"), Path(folder, "full.parquet")
        write_shard(empty, [], metadata)
        write_shard(full, rows, metadata)
        fixed, whole = empty.stat().st_size, full.stat().st_size
    blobs = sum(len(row["pixels"]) for row in rows)
    return (whole - fixed - blobs) / max(1, len(rows)), fixed

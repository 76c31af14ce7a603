"""A sample of a data set, read and encoded as a cache would hold it: what a size plan is made from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
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
        files: listed of each cohort (of a view that makes one thing of a whole study: its studies).
        studies: the sampled ones.
        overhead: bytes that a slice takes in a shard besides its blob.
        fixed: bytes that the shards take without any slice.
        seconds: that one of ``files`` takes in each form, in one process on this machine; NaN when none was read.
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

    @property
    def unread(self) -> int:
        """Those of them that gave none."""
        return sum(max(0, study.looked_at - study.slices) for study in self.studies)

    def projection(self, form: int, seed: int) -> Projection:
        """The bytes of all files in one of the forms."""
        return project(self.studies, self.files, form, self.overhead, self.fixed, seed)


def read_sample(root: Path, shards: Mapping[str, Sequence[Path]], forms: Sequence[Form], seed: int) -> SizeSample:
    """Read some files of some studies.

    Args:
        root: the raw folder.
        shards: the inventory's lists (StudyInstanceUID, file) of each cohort.
        forms: in which the slices are encoded; one at least.
        seed: of the draw.
    """
    return sample_of(root, listed_studies(shards), sum(map(len, shards.values())), forms, seed)[0]


def sample_of(
    root: Path, studies: Sequence[ListedStudy], shards: int, forms: Sequence[Form], seed: int
) -> tuple[SizeSample, list[StudySizes]]:
    """The sample, and what each of its studies gave.

    Args:
        root: the raw folder.
        studies: all that it lists, of both cohorts.
        shards: files that a cache of them will have.
        forms: in which the slices are encoded; one at least.
        seed: of the draw.
    """
    drawn = draw_files(studies, seed)
    jobs = [StudyJob(root / COHORTS[s.cohort] / s.uid, tuple((name, 0) for name in s.files)) for s in drawn]
    found = measured(jobs, sizes_of, tuple(forms), "plan_cache")
    first = forms[0]
    footer = {"view": "slice", "cohort": "train", "pixels": first.pixels, "centre": first.centre, "codec": first.codec}
    footer |= {"window_center": first.window.center, "window_width": first.window.width}
    listed = {(s.cohort, s.uid): len(s.files) for s in studies}
    of_studies = [
        SampledStudy(s.cohort, listed[s.cohort, s.uid], len(s.files), len(f.rows), f.sizes or (0,) * len(forms))
        for s, f in zip(drawn, found, strict=True)
    ]
    files = {cohort: sum(len(s.files) for s in studies if s.cohort == cohort) for cohort in COHORTS}
    return gathered(files, of_studies, found, footer, shards, len(forms)), found


def listed_studies(shards: Mapping[str, Sequence[Path]]) -> list[ListedStudy]:
    """The studies of the lists by cohort and StudyInstanceUID, their files in the lists' order."""
    of_cohorts = {cohort: files_by_study(paths) for cohort, paths in shards.items()}
    return [
        ListedStudy(cohort, uid, tuple(files))
        for cohort in sorted(of_cohorts)
        for uid, files in sorted(of_cohorts[cohort].items())
    ]


def measured(
    jobs: Sequence[Any], work: Callable[[Any, Any], StudySizes], forms: tuple[Any, ...], stage: str
) -> list[StudySizes]:
    """What each sampled study gave, read in worker processes: a file that kills its reader costs one study."""
    found: list[StudySizes] = []
    with studies_read(jobs, work, forms, lost_sizes, workers()) as answers:
        for answer in answers:
            found.append(answer)
            report(stage, len(found), len(jobs), unit="studies")
    return found


def gathered(
    files: Mapping[str, int],
    studies: Sequence[SampledStudy],
    found: Sequence[StudySizes],
    footer: Mapping[str, Any],
    shards: int,
    forms: int,
) -> SizeSample:
    """The sample from what its studies gave.

    Args:
        files: listed of each cohort.
        studies: the sampled ones, and ``found``: what each gave.
        footer: of the view's shards, of which there will be ``shards``.
        forms: in how many each study was encoded.
    """
    overhead, empty = _beside_blobs([row for f in found for row in f.rows], footer)
    read = [(f, s.looked_at) for f, s in zip(found, studies, strict=True) if f.rows]
    # the median: a first study pays for what later ones find loaded
    rates = [[seconds / looked_at for seconds in f.seconds] for f, looked_at in read]
    seconds = np.median(rates, axis=0) if rates else np.full(forms, np.nan)
    return SizeSample(files, studies, overhead, empty * shards, seconds.tolist())


def _beside_blobs(rows: list[dict[str, Any]], footer: Mapping[str, Any]) -> tuple[float, int]:
    """Bytes of a shard that are no blob: per slice, and of a shard without slices. Measured, by writing both."""
    with tempfile.TemporaryDirectory() as folder:
        empty, full = Path(folder, "empty.parquet"), Path(folder, "full.parquet")
        write_shard(empty, [], footer)
        write_shard(full, rows, footer)
        fixed, whole = empty.stat().st_size, full.stat().st_size
    blobs = sum(len(row["pixels"]) for row in rows)
    return (whole - fixed - blobs) / max(1, len(rows)), fixed

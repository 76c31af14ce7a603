"""A few slices of one study -> what they take in a cache. What the worker processes of ``plan_cache`` run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from cspine.dicom import read_study
from cspine.faults import fault_point
from cspine.views.study_rows import Form, StudyJob, slice_row


@dataclass(frozen=True)
class StudySizes:
    """What the sampled slices of a study gave.

    Attributes:
        rows: of the cache, in the first form.
        sizes: bytes of all their blobs in each form; () when no slice could be read.
        seconds: that reading and encoding them took, in each form alone.
    """

    rows: list[dict[str, Any]]
    sizes: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()


def sizes_of(job: StudyJob, forms: tuple[Form, ...]) -> StudySizes:
    """Read the files of ``job`` and encode their slices in every form; never raises for bad input."""
    fault_point(f"read-study-{job.folder.name}")
    begun = time.perf_counter()
    study = read_study(job.folder, [name for name, _ in job.files])
    reading = time.perf_counter() - begun
    first: list[dict[str, Any]] = []
    sizes, seconds = [], []
    for form in forms:
        begun = time.perf_counter()
        rows = [slice_row(study, z, form) for z in range(len(study.files))]
        seconds.append(reading + time.perf_counter() - begun)
        sizes.append(sum(len(row["pixels"]) for row in rows))
        first = first or rows
    return StudySizes(first, tuple(sizes), tuple(seconds)) if first else StudySizes([])


def lost_sizes(job: StudyJob) -> StudySizes:
    """What stands for a study whose reading killed its process."""
    return StudySizes([])

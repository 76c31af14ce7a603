"""One study -> its rows of a volume's shard. What the workers of ``ingest_volumes`` and ``plan_volumes`` run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from cspine.cache.codecs import crc32, encode
from cspine.dicom import Study, read_study
from cspine.faults import fault_point
from cspine.findings import Finding
from cspine.studies import UID
from cspine.views.resampling import cube_of
from cspine.views.shard_rows import ShardRows
from cspine.views.stacks import Stack, stack_of_study
from cspine.views.study_rows import StudyJob, changed_files
from cspine.views.study_sizes import StudySizes
from cspine.views.volumes import stack_of

GAPS_FILLED, NOT_RESAMPLED = "gaps-filled", "not-resampled"
#: reason code -> what is done about it
CONSEQUENCES = {
    GAPS_FILLED: "linear between the neighbouring slices",
    NOT_RESAMPLED: "study has no volume; predicted from the prior",
    "decoder-crash": "study has no volume; predicted from the prior",
}


@dataclass(frozen=True)
class VolumeForm:
    """How a study becomes a volume."""

    pixels: int  # side of the cube
    side: float  # the same in mm
    clamp: tuple[float, float]  # Hounsfield units that become 0 and 255
    codec: str  # see ``cspine.cache.codecs``

    @property
    def spacing(self) -> float:
        """Of the voxels, mm."""
        return self.side / self.pixels


def volume_study(job: StudyJob, form: VolumeForm) -> ShardRows:
    """Read one study and encode its volume, a row for each of its slices; never raises for bad input."""
    uid = job.folder.name
    fault_point("read-study")
    fault_point(f"read-study-{uid}")
    findings = changed_files(job)
    study = read_study(job.folder, [name for name, _ in job.files])
    if not study.files:
        return ShardRows([], findings)  # why, ``ingest`` has reported
    stack = stack_of_study(study, *form.clamp, form.spacing)
    if stack.uneven:
        findings.append(Finding(uid, GAPS_FILLED, "", stack.uneven, CONSEQUENCES[GAPS_FILLED]))
    try:
        rows = volume_rows(study, stack, form)
    except RuntimeError as error:  # ITK's of geometry that it will not have: costs one study, does not end the run
        detail = f"{type(error).__name__}; a stack of {stack.values.shape}"
        return ShardRows([], [*findings, Finding(uid, NOT_RESAMPLED, "", detail, CONSEQUENCES[NOT_RESAMPLED])])
    return ShardRows(rows, findings)


def lost_volume(job: StudyJob) -> ShardRows:
    """What stands for a study whose reading killed its process."""
    uid, code = job.folder.name, "decoder-crash"
    finding = Finding(uid, code, "", "the process that read this study was killed", CONSEQUENCES[code])
    return ShardRows([], [finding])


def volume_rows(study: Study, stack: Stack, form: VolumeForm) -> list[dict[str, Any]]:
    """The rows of a volume: the columns of ``slices.GEOMETRY`` and ``pixels``; no slice is one of a file."""
    cube = cube_of(stack, form.pixels, form.spacing, form.clamp[1] - form.clamp[0])
    highest = float(cube.affine[2, 3]) + (form.pixels - 1) * form.spacing
    rows = []
    for z, levels in enumerate(stack_of(cube.levels)):
        blob = encode(levels, form.codec)
        row = {UID: study.StudyInstanceUID, "z_index": z, "slice_number": -1, "position": highest - z * form.spacing}
        row |= {"rows": form.pixels, "columns": form.pixels, "row_spacing": form.spacing}
        row |= {"column_spacing": form.spacing, "reversed": study.reversed, "crc32": crc32(blob), "pixels": blob}
        rows.append(row)
    return rows


def volume_sizes(job: StudyJob, forms: tuple[VolumeForm, ...]) -> StudySizes:
    """Read a study and encode its volume in every form; never raises for bad input."""
    fault_point(f"read-study-{job.folder.name}")
    begun = time.perf_counter()
    study = read_study(job.folder, [name for name, _ in job.files])
    reading = time.perf_counter() - begun
    if not study.files:
        return StudySizes([])
    tables, seconds = [], []
    for form in forms:
        begun = time.perf_counter()
        tables.append(volume_rows(study, stack_of_study(study, *form.clamp, form.spacing), form))
        seconds.append(reading + time.perf_counter() - begun)
    sizes = tuple(sum(len(row["pixels"]) for row in rows) for rows in tables)
    return StudySizes(tables[0], sizes, tuple(seconds))

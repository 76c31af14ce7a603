"""ingest_crops: the slices that show the cervical spine, read a second time: one cache shard of crops around it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from cspine.cache.encodings import read_encoding
from cspine.errors import CspineError
from cspine.raw_folder import COHORTS
from cspine.runtime import workers
from cspine.stage import InPath, OutPath, RawFolder
from cspine.study_pool import studies_read
from cspine.views.crop_jobs import CropPlan
from cspine.views.crop_rows import CropForm, crop_study, lost_crop
from cspine.views.shard_rows import write_rows
from cspine.views.study_rows import list_jobs
from cspine.views.windows import Window

SMALL_SHARD = 200_000_000  # bytes of files that one process has read before a second one has started (about a second)


@dataclass(frozen=True)
class CropsConfig:
    """How a study's slices are cropped; pixels and codec are the size plan's to decide (``plan_crops``)."""

    #: name of the view, one of kind crop
    view: str = "crop"
    #: folder the studies lie in: train (train_images) or test (test_images)
    cohort: str = "train"
    #: of the window, in Hounsfield units; bone is 400 wide 2000
    window_center: float = 400.0
    window_width: float = 2000.0

    def __post_init__(self) -> None:
        if self.cohort not in COHORTS:
            raise CspineError(f"ingest_crops.cohort is '{self.cohort}'; choose one of {', '.join(COHORTS)}")
        if self.window_width <= 0:
            raise CspineError(f"ingest_crops.window_width is {self.window_width:g}; a positive width is needed")


def ingest_crops(
    root: RawFolder,
    inventory: InPath,
    slices: InPath,
    crops: InPath,
    form: InPath,
    shard: OutPath,
    findings: OutPath,
    *,
    config: CropsConfig,
) -> None:
    """Read the studies that ``inventory`` lists (StudyInstanceUID,file,size,digest) and write their crops.

    Of a study only the slices first_z .. last_z are kept; the shard's z_index counts from 0 = first_z. A square of
    exactly the view's pixels is bitwise the windowed slice there; a larger one is shrunk by area means. Beyond the
    slice is the window's floor.

    ``CSPINE_WORKERS`` processes share the studies of a shard that is not small; the output does not depend on their
    number. A study that kills the process which reads it is reported, and has no row.

    Args:
        root: the raw folder.
        inventory: the list of the shard's files.
        slices: index/slices.parquet.
        crops: where the crops lie (stage place_crops).
        form: how they are encoded (``cache.encodings.Encoding``).
        shard: the cache shard.
        findings: what was wrong; what the reader itself finds is in the findings of ``ingest``.
        config: see CropsConfig.
    """
    plan = CropPlan(crops, slices)
    listed = list_jobs(inventory, root / COHORTS[config.cohort])
    known = [(job, plan.job(config.cohort, job.folder, job.files)) for job in listed]
    jobs = [job for _, job in known if job is not None]
    small = sum(size for job in jobs for _, size in job.files) < SMALL_SHARD
    encoding = read_encoding(form)
    how = CropForm(Window(config.window_center, config.window_width), encoding.pixels, encoding.codec)
    metadata = {**asdict(config), **asdict(encoding)}
    with studies_read(jobs, crop_study, how, lost_crop, min(workers(), 1) if small else workers()) as read:
        write_rows(read, len(jobs), metadata, shard, findings, "ingest_crops")

"""ingest_volumes: the studies of one shard as cubes along the patient's axes, of equal spacing, 8 bit."""

from __future__ import annotations

from dataclasses import dataclass, field

from cspine.cache.encodings import read_encoding
from cspine.errors import CspineError
from cspine.raw_folder import COHORTS
from cspine.runtime import workers
from cspine.stage import InPath, OutPath, RawFolder
from cspine.study_pool import studies_read
from cspine.views.resampling import resampler
from cspine.views.shard_rows import write_rows
from cspine.views.study_rows import list_jobs
from cspine.views.volume_rows import VolumeForm, lost_volume, volume_study


@dataclass(frozen=True)
class VolumesConfig:
    """What of a study a volume shows; pixels and codec are the size plan's to decide (``plan_volumes``)."""

    #: name of the view, one of kind volume
    view: str = "volume"
    #: folder the studies lie in: train (train_images) or test (test_images)
    cohort: str = "train"
    #: of the cube, mm
    side: float = 224.0
    #: Hounsfield units that become 0 and 255
    clamp: list[float] = field(default_factory=lambda: [-1000.0, 1900.0])

    def __post_init__(self) -> None:
        if self.cohort not in COHORTS:
            raise CspineError(f"ingest_volumes.cohort is '{self.cohort}'; choose one of {', '.join(COHORTS)}")
        if len(self.clamp) != 2 or self.clamp[0] >= self.clamp[1]:
            raise CspineError(f"views.{self.view}.clamp is {self.clamp}; [lowest, highest] is needed")


def ingest_volumes(
    root: RawFolder,
    inventory: InPath,
    form: InPath,
    shard: OutPath,
    findings: OutPath,
    *,
    config: VolumesConfig,
) -> None:
    """Read the studies that ``inventory`` lists (StudyInstanceUID,file,size,digest) and write their volumes.

    A volume is ``pixels`` rows of the shard: z_index 0 = the most cranial slice, row 0 = the most anterior, column 0 =
    the patient's right (``views.volumes``); position is the slice's z in the patient, mm.

    ``CSPINE_WORKERS`` processes share the studies; the output does not depend on their number. A study that kills the
    process which reads it is reported, and has no row. Two studies per worker are held in memory.

    Args:
        root: the raw folder.
        inventory: the list of the shard's files.
        form: how they are encoded (``cache.encodings.Encoding``).
        shard: the cache shard.
        findings: what was wrong; what the reader itself finds is in the findings of ``ingest``.
        config: see VolumesConfig.
    """
    jobs = list_jobs(inventory, root / COHORTS[config.cohort])
    encoding = read_encoding(form)
    low, high = config.clamp
    how = VolumeForm(encoding.pixels, config.side, (low, high), encoding.codec)
    metadata = {"view": config.view, "cohort": config.cohort, "pixels": how.pixels, "codec": how.codec}
    metadata |= {"spacing": how.spacing, "clamp": [low, high], "resampler": resampler()}
    with studies_read(jobs, volume_study, how, lost_volume, workers()) as read:
        write_rows(read, len(jobs), metadata, shard, findings, "ingest_volumes")

"""plan_volumes: how large a view of volumes will be, before it is written, and the encoding that fits the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cspine.cache.sizes import SampledStudy, draw_studies
from cspine.raw_folder import COHORTS
from cspine.stage import InPath, OutPath, RawFolder
from cspine.views.size_plans import Budget, Planned, decide
from cspine.views.size_samples import SizeSample, gathered, listed_studies, measured
from cspine.views.study_rows import StudyJob
from cspine.views.volume_rows import VolumeForm, volume_sizes

PLANNED = Planned("plan_volumes", writer="ingest_volumes", unit="volumes", files="studies")
STUDIES = 12  # read whole, as a volume needs: with several seconds each, as many as the 200 slices of other views take


@dataclass(frozen=True)
class PlanVolumesConfig(Budget):
    """A view of kind volume, and how much room it may take."""

    #: of the voxels as configured, mm; a step down in pixels shows the same cube more coarsely
    spacing: float = 1.0
    #: Hounsfield units that become 0 and 255
    clamp: list[float] = field(default_factory=lambda: [-1000.0, 1900.0])


def plan_volumes(
    root: RawFolder,
    train_shards: list[InPath],
    test_shards: list[InPath],
    form: OutPath,
    plan: OutPath,
    *,
    config: PlanVolumesConfig,
) -> None:
    """Project the size of a view and choose its encoding.

    Args:
        root: the raw folder, of which a dozen studies are read.
        train_shards, test_shards: the inventory's lists of files (StudyInstanceUID, file, size, digest).
        form: the encoding (``cache.encodings.Encoding``), which decides the cache's bytes.
        plan: the figures, as of ``plan_cache``; ``files`` counts studies.

    Raises:
        CspineError: the view fits neither its budget nor the disk (``views.size_plans.decide``).
    """
    low, high = config.clamp
    side = config.pixels * config.spacing
    forms = [VolumeForm(encoding.pixels, side, (low, high), encoding.codec) for encoding in config.encodings]
    sample = _read(root, {"train": train_shards, "test": test_shards}, tuple(forms), config)
    decide(sample, config, PLANNED, form, plan)


def _read(
    root: Path, shards: dict[str, Sequence[Path]], forms: tuple[VolumeForm, ...], config: PlanVolumesConfig
) -> SizeSample:
    """Some studies, whole."""
    studies = listed_studies(shards)
    drawn = draw_studies(studies, STUDIES, config.seed)
    jobs = [StudyJob(root / COHORTS[s.cohort] / s.uid, tuple((name, 0) for name in s.files)) for s in drawn]
    found = measured(jobs, volume_sizes, forms, "plan_volumes")
    of_studies = [
        SampledStudy(s.cohort, 1, 1, len(f.rows), f.sizes or (0,) * len(forms))
        for s, f in zip(drawn, found, strict=True)
    ]
    counts = {cohort: sum(s.cohort == cohort for s in studies) for cohort in shards}
    footer = {"view": config.view, "cohort": "train", "pixels": config.pixels, "codec": config.codec}
    footer |= {"spacing": config.spacing, "clamp": list(config.clamp)}
    return gathered(counts, of_studies, found, footer, sum(map(len, shards.values())), len(forms))

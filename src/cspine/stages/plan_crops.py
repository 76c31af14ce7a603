"""plan_crops: how large the crops of a view and a fold will be, before they are written, and the encoding that fits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cspine.cache.sizes import SampledStudy, draw_files
from cspine.raw_folder import COHORTS
from cspine.stage import InPath, OutPath, RawFolder
from cspine.views.crop_jobs import CropPlan
from cspine.views.crop_rows import CropForm, CropJob, crop_sizes
from cspine.views.fields import Place
from cspine.views.size_plans import Budget, Planned, decide
from cspine.views.size_samples import SizeSample, gathered, listed_studies, measured
from cspine.views.windows import Window

PLANNED = Planned("plan_crops", writer="ingest_crops", unit="files", files="files")


@dataclass(frozen=True)
class PlanCropsConfig(Budget):
    """A view of kind crop, and how much room it may take in each fold."""

    #: of the window, in Hounsfield units
    window_center: float = 400.0
    window_width: float = 2000.0


def plan_crops(
    root: RawFolder,
    train_shards: list[InPath],
    test_shards: list[InPath],
    slices: InPath,
    crops: InPath,
    form: OutPath,
    plan: OutPath,
    *,
    config: PlanCropsConfig,
) -> None:
    """Project the size of the crops of a fold and choose their encoding.

    Args:
        root: the raw folder, of which about 200 slices are read.
        train_shards, test_shards: the inventory's lists of files (StudyInstanceUID, file, size, digest).
        slices: index/slices.parquet.
        crops: where the crops lie (stage place_crops).
        form: the encoding (``cache.encodings.Encoding``), which decides the cache's bytes.
        plan: the figures, as of ``plan_cache``; a file beyond its study's crop takes no room.

    Raises:
        CspineError: the crops fit neither their budget nor the disk (``views.size_plans.decide``).
    """
    window = Window(config.window_center, config.window_width)
    forms = tuple(CropForm(window, encoding.pixels, encoding.codec) for encoding in config.encodings)
    sample = _read(root, {"train": train_shards, "test": test_shards}, CropPlan(crops, slices), forms, config)
    decide(sample, config, PLANNED, form, plan)


def _read(
    root: Path, shards: dict[str, list[Path]], plan: CropPlan, forms: tuple[CropForm, ...], config: PlanCropsConfig
) -> SizeSample:
    """Some files of some studies, of which those count that lie in their study's crop."""
    studies = listed_studies(shards)
    drawn = draw_files(studies, config.seed)
    jobs = []
    for study in drawn:
        folder, names = root / COHORTS[study.cohort] / study.uid, tuple((name, 0) for name in study.files)
        jobs.append(plan.job(study.cohort, folder, names) or CropJob(folder, (), 0, (), Place(0.5, 0.5, 1)))
    found = measured(jobs, crop_sizes, forms, "plan_crops")
    listed = {(s.cohort, s.uid): len(s.files) for s in studies}
    of_studies = [
        SampledStudy(s.cohort, listed[s.cohort, s.uid], len(s.files), len(f.rows), f.sizes or (0,) * len(forms))
        for s, f in zip(drawn, found, strict=True)
    ]
    files = {cohort: sum(len(s.files) for s in studies if s.cohort == cohort) for cohort in shards}
    footer = {"view": config.view, "cohort": "train", "pixels": config.pixels, "codec": config.codec}
    footer |= {"window_center": config.window_center, "window_width": config.window_width}
    return gathered(files, of_studies, found, footer, sum(map(len, shards.values())), len(forms))

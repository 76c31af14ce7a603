"""plan_cache: how large a view of all slices will be, before it is written, and the encoding that fits the budget."""

from __future__ import annotations

from dataclasses import dataclass

from cspine.stage import InPath, OutPath, RawFolder
from cspine.views.size_plans import Budget, Planned, decide
from cspine.views.size_samples import read_sample
from cspine.views.study_rows import Form
from cspine.views.windows import Window

PLANNED = Planned("plan_cache", writer="ingest", unit="slices", files="files")


@dataclass(frozen=True)
class PlanConfig(Budget):
    """A view of kind slice, and how much room it may take."""

    #: share of the slice's side that is cached, around its middle; 1 = the whole slice
    centre: float = 1.0
    #: of the window, in Hounsfield units
    window_center: float = 400.0
    window_width: float = 2000.0


def plan_cache(
    root: RawFolder,
    train_shards: list[InPath],
    test_shards: list[InPath],
    form: OutPath,
    plan: OutPath,
    *,
    config: PlanConfig,
) -> None:
    """Project the size of a view and choose its encoding.

    Args:
        root: the raw folder, of which about 200 slices are read.
        train_shards, test_shards: the inventory's lists of files (StudyInstanceUID, file, size, digest).
        form: the encoding (``cache.encodings.Encoding``), which decides the cache's bytes.
        plan: the figures: what was sampled, and for every encoding bytes, interval and whether it fits.

    Raises:
        CspineError: the view fits neither its budget nor the disk (``views.size_plans.decide``).
    """
    window = Window(config.window_center, config.window_width)
    forms = [Form(window, encoding.pixels, config.centre, encoding.codec) for encoding in config.encodings]
    sample = read_sample(root, {"train": train_shards, "test": test_shards}, forms, config.seed)
    decide(sample, config, PLANNED, form, plan)

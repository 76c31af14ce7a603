"""plan_cache: how large a view of all slices will be, before it is written, and the encoding that fits the budget."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cspine.amounts import duration, size
from cspine.cache.encodings import Encoding
from cspine.cache.sizes import MARGIN, Projection, fitting
from cspine.errors import CspineError
from cspine.progress import say
from cspine.runtime import workers
from cspine.stage import InPath, OutPath, RawFolder
from cspine.views.size_samples import SizeSample, read_sample
from cspine.views.study_rows import Form
from cspine.views.windows import Window

GB = 1e9
WHEN_LARGER = ("refuse", "step_down")


@dataclass(frozen=True)
class PlanConfig:
    """A view, and how much room it may take."""

    #: name of the view
    view: str = "slice"
    #: side of a cached slice in pixels
    pixels: int = 256
    #: share of the slice's side that is cached, around its middle; 1 = the whole slice
    centre: float = 1.0
    #: of the window, in Hounsfield units
    window_center: float = 400.0
    window_width: float = 2000.0
    #: how blobs are encoded: a name that ``cspine.cache.codecs.check_codec`` knows
    codec: str = "zstd-delta"
    #: largest size of the view, in GB of 10^9 bytes; 0 = no limit
    max_gb: float = 0.0
    #: refuse | step_down, when the view would be larger
    when_larger: str = "refuse"
    #: what to try instead, in this order: differences to the view (pixels, codec)
    step_down: list[dict[str, Any]] = field(default_factory=list)
    #: of the sample
    seed: int = 0

    def __post_init__(self) -> None:
        if self.when_larger not in WHEN_LARGER:
            known = " or ".join(WHEN_LARGER)
            raise CspineError(f"views.{self.view}.when_larger is '{self.when_larger}'; choose {known}")

    @property
    def encodings(self) -> list[Encoding]:
        """The view as configured, then the steps down."""
        steps: list[dict[str, Any]] = [{}, *self.step_down]
        return [Encoding(**{"pixels": self.pixels, "codec": self.codec, **step}) for step in steps]


@dataclass(frozen=True)
class Option:
    """The view in one encoding."""

    encoding: Encoding
    projection: Projection
    fits: bool  # in the budget
    seconds: float  # a slice takes, in one process

    def __str__(self) -> str:
        low, high = size(self.projection.low), size(self.projection.high)
        return f"{self.encoding}: {size(self.projection.size)} ({low} to {high})"


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
        CspineError: the view is larger than views.<name>.max_gb and may not be stepped down, or nothing fits; or the
            disk has less room than the view needs. The encoding does not depend on the disk: equal configs and data
            give equal results on every machine.
    """
    window = Window(config.window_center, config.window_width)
    forms = [Form(window, encoding.pixels, config.centre, encoding.codec) for encoding in config.encodings]
    sample = read_sample(root, {"train": train_shards, "test": test_shards}, forms, config.seed)
    projections = [sample.projection(i, config.seed) for i in range(len(forms))]
    fits = fitting(projections, config.max_gb * GB)
    options = list(map(Option, config.encodings, projections, fits, sample.seconds))
    chosen = choose(options, config)
    _say(options, chosen, sample, config)
    _check_disk(form, options[chosen], config.view)
    options[chosen].encoding.write(form)
    plan.write_text(json.dumps(_figures(options, chosen, sample, config), indent=1) + "\n", encoding="utf-8")


def choose(options: Sequence[Option], config: PlanConfig) -> int:
    """The place of the option to take: the view as configured, or the first step down that fits, where it may be.

    Raises:
        CspineError: none may be taken; it names what would fit, and the keys.
    """
    fitting = [i for i, option in enumerate(options) if option.fits]
    if fitting and (fitting[0] == 0 or config.when_larger == "step_down"):
        return fitting[0]
    key = f"views.{config.view}"
    if fitting:
        would = options[fitting[0]].encoding
        advice = (
            f"{would} would fit: take it by {key}.when_larger=step_down, or by {key}.pixels and {key}.codec; "
            f"or raise {key}.max_gb"
        )
    else:
        advice = (
            f"raise {key}.max_gb (0 = no limit), or add what takes less to {key}.step_down, e.g. {{codec: jpeg-80}}"
        )
    tried = "; ".join(map(str, options))
    raise CspineError(
        f"{key}.max_gb is {config.max_gb:g}, and the view is projected to take more, a margin of {MARGIN:.0%} "
        f"included ({tried}); {advice}. Nothing has been written"
    )


def _check_disk(form: Path, option: Option, view: str) -> None:
    """Refuse what the disk cannot hold; shards that lie in the store already need no room a second time."""
    store = form.absolute().parent.parent.parent
    written = sum(shard.stat().st_size for shard in store.glob("ingest/*/*.parquet") if shard.exists())
    free = shutil.disk_usage(form.parent).free
    if option.projection.asked - written > free:
        raise CspineError(
            f"the view {view} is projected to take more than the {size(free)} that are free on the disk of {store.name}"
            f", a margin of {MARGIN:.0%} included ({option}); make room (`python -m cspine gc --dry-run` says what can "
            f"go), work on a larger disk, or give the view a budget: views.{view}.max_gb with when_larger: step_down. "
            "It is not stepped down by itself, because no result depends on a machine. Nothing has been written"
        )


def _say(options: Sequence[Option], chosen: int, sample: SizeSample, config: PlanConfig) -> None:
    """How much, how long, of which budget; that it was stepped down, and what could not be read."""
    files, option = sum(sample.files.values()), options[chosen]
    if sample.slices < sample.looked_at:
        unread = sample.looked_at - sample.slices
        say(f"plan_cache: {unread} of {sample.looked_at} sampled files gave no slice; others like them take no room")
    if not sample.slices:
        say(f"plan_cache: no size to project from, {files:,} files listed; {option.encoding} as configured")
        return
    processes = workers()
    by = f"{processes} worker{'' if processes == 1 else 's'}"
    budget = f"; budget {config.max_gb:g} GB" if config.max_gb else ""
    down = f"; stepped down from {options[0]}" if chosen else ""
    say(
        f"plan_cache: {files:,} slices as {option}, about {duration(files * option.seconds / processes)} on {by}"
        f"{budget}{down}"
    )


def _figures(options: Sequence[Option], chosen: int, sample: SizeSample, config: PlanConfig) -> dict[str, Any]:
    """What size_plan.json holds: bytes, no times and nothing of this machine."""
    sampled = {"studies": len(sample.studies), "files": sample.looked_at, "slices": sample.slices}
    encodings = [
        {
            **asdict(option.encoding),
            "bytes": round(option.projection.size),
            "low": round(option.projection.low),
            "high": round(option.projection.high),
            "fits": option.fits,
        }
        for option in options
    ]
    budget = {"max_gb": config.max_gb, "margin": MARGIN, "when_larger": config.when_larger}
    files = dict(sample.files)
    return {"view": config.view, "files": files, "sampled": sampled, **budget, "chosen": chosen, "encodings": encodings}

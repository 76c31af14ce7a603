"""The encoding in which a view fits its budget, chosen before it is written; what the plans of all kinds share."""

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
from cspine.views.size_samples import SizeSample

GB = 1e9
WHEN_LARGER = ("refuse", "step_down")


@dataclass(frozen=True)
class Budget:
    """A view, and how much room it may take."""

    #: name of the view
    view: str = "slice"
    #: side of a cached slice in pixels
    pixels: int = 256
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

    def takes(self, fits: Sequence[bool]) -> int | None:
        """The place of the encoding to take, the first that fits; None where none fits or that one may not be taken."""
        first = next((place for place, fit in enumerate(fits) if fit), None)
        return first if first == 0 or self.when_larger == "step_down" else None


@dataclass(frozen=True)
class Planned:
    """Who plans and for whom, for the words."""

    stage: str  # that plans
    writer: str  # the stage that writes the view
    unit: str  # what is counted: slices, studies
    files: str  # what gives one of them


@dataclass(frozen=True)
class Option:
    """The view in one encoding."""

    encoding: Encoding
    projection: Projection
    fits: bool  # in the budget
    seconds: float  # one of the units takes, in one process

    def __str__(self) -> str:
        low, high = size(self.projection.low), size(self.projection.high)
        return f"{self.encoding}: {size(self.projection.size)} ({low} to {high})"


def decide(sample: SizeSample, budget: Budget, planned: Planned, form: Path, plan: Path) -> None:
    """Choose the encoding, say so, and write it (``form``) and the figures behind it (``plan``).

    Args:
        sample: measured in each of ``budget.encodings``.
        budget: of the view.
        planned: the words.
        form: of ``cache.encodings.Encoding``, which decides the cache's bytes.
        plan: what was sampled, and for every encoding bytes, interval and whether it fits; no times and nothing of
            this machine.

    Raises:
        CspineError: the view is larger than views.<name>.max_gb and may not be stepped down, or nothing fits; or the
            disk has less room than the view needs. The encoding does not depend on the disk: equal configs and data
            give equal results on every machine.
    """
    projections = [sample.projection(i, budget.seed) for i in range(len(budget.encodings))]
    fits = fitting(projections, budget.max_gb * GB)
    options = list(map(Option, budget.encodings, projections, fits, sample.seconds))
    chosen = choose(options, budget)
    _say(options, chosen, sample, budget, planned)
    _check_disk(form, options[chosen], budget.view, planned.writer)
    options[chosen].encoding.write(form)
    plan.write_text(json.dumps(_figures(options, chosen, sample, budget), indent=1) + "\n", encoding="utf-8")


def choose(options: Sequence[Option], budget: Budget) -> int:
    """The place of the option to take: the view as configured, or the first step down that fits, where it may be.

    Raises:
        CspineError: none may be taken; it names what would fit, and the keys.
    """
    fits = [option.fits for option in options]
    if (taken := budget.takes(fits)) is not None:
        return taken
    key = f"views.{budget.view}"
    if any(fits):
        would = options[fits.index(True)].encoding
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
        f"{key}.max_gb is {budget.max_gb:g}, and the view is projected to take more, a margin of {MARGIN:.0%} "
        f"included ({tried}); {advice}. Nothing has been written"
    )


def _check_disk(form: Path, option: Option, view: str, writer: str) -> None:
    """Refuse what the disk cannot hold; shards that lie in the store already need no room a second time."""
    store = form.absolute().parent.parent.parent
    written = sum(shard.stat().st_size for shard in store.glob(f"{writer}/*/*.parquet") if shard.exists())
    free = shutil.disk_usage(form.parent).free
    if option.projection.asked - written > free:
        raise CspineError(
            f"the view {view} is projected to take more than the {size(free)} that are free on the disk of {store.name}"
            f", a margin of {MARGIN:.0%} included ({option}); make room (`python -m cspine gc --dry-run` says what can "
            f"go), work on a larger disk, or give the view a budget: views.{view}.max_gb with when_larger: step_down. "
            "It is not stepped down by itself, because no result depends on a machine. Nothing has been written"
        )


def _say(options: Sequence[Option], chosen: int, sample: SizeSample, budget: Budget, planned: Planned) -> None:
    """How much, how long, of which budget; that it was stepped down, and what could not be read."""
    count, option = sum(sample.files.values()), options[chosen]
    if sample.unread:
        told = f"{sample.unread} of {sample.looked_at} sampled {planned.files}"
        say(f"{planned.stage}: {told} gave no slice; others like them take no room")
    if not sample.slices:
        listed = f"{count:,} {planned.files} listed"
        say(f"{planned.stage}: no size to project from, {listed}; {option.encoding} as configured")
        return
    processes = workers()
    by = f"{processes} worker{'' if processes == 1 else 's'}"
    limit = f"; budget {budget.max_gb:g} GB" if budget.max_gb else ""
    down = f"; stepped down from {options[0]}" if chosen else ""
    say(
        f"{planned.stage}: {count:,} {planned.unit} as {option}, about {duration(count * option.seconds / processes)} "
        f"on {by}{limit}{down}"
    )


def _figures(options: Sequence[Option], chosen: int, sample: SizeSample, budget: Budget) -> dict[str, Any]:
    """What size_plan.json holds."""
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
    limits = {"max_gb": budget.max_gb, "margin": MARGIN, "when_larger": budget.when_larger}
    files = dict(sample.files)
    return {"view": budget.view, "files": files, "sampled": sampled, **limits, "chosen": chosen, "encodings": encodings}

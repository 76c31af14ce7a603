"""What Kaggle allows (docs/kaggle.md: read, not verified by us), and which key to change where a run asks for more."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from cspine.forecast.facts import Facts
from cspine.layers import Config, in_round

OUTPUT_GB = 20.0
SESSION_HOURS = 12.0
WEEK_GPU_HOURS = 30.0
SCORING_HOURS = 9.0
RAM_GB = 29.0
HIDDEN_STUDIES = 1500
START_SECONDS = 120.0  # ASSUME: of a scoring session, before its first study


def warnings(figures: dict[str, Any], config: Config, facts: Facts, encodings: dict[str, str]) -> list[str]:
    """A sentence for every limit that the run would break, by the upper end of the interval, with the keys to change.

    Args:
        figures: ``forecast.figures``.
        config: the run's.
        facts: its data.
        encodings: the views of real slices in all their encodings.
    """
    return [
        *_output(figures, config, encodings),
        *_sessions(figures, config),
        *_gpu(figures, config),
        *_scoring(figures, config),
        *_memory(figures, config),
        *_phantom(facts),
    ]


def _output(figures: dict[str, Any], config: Config, encodings: dict[str, str]) -> Iterator[str]:
    cache, others = (figures[name]["high"] for name in ("cache_gb", "checkpoints_gb"))
    total = cache + others + figures["tables_gb"]["high"]
    if total <= OUTPUT_GB:
        return
    views = "; ".join(f"views.{view}: {words}" for view, words in encodings.items())
    if cache > others:
        key = f"views.<name>.codec or .pixels ({views})" if views else "views.<name>.pixels or .codec"
        share = max(0.05, (OUTPUT_GB - others) / cache * config["data"]["subset"])
        advice = f"{key}, or data.subset={share:.2f}; later sessions only link to the cache"
    else:
        advice = "folds.run: fewer folds in one session, the others in sessions of their own"
    yield f"work/ may come to {total:.1f} GB, a session keeps {OUTPUT_GB:g}: change {advice}"


def _sessions(figures: dict[str, Any], config: Config) -> Iterator[str]:
    hours = figures["hours"]["high"]
    if hours <= SESSION_HOURS:
        return
    stop = "" if config["time_budget"] != "none" else ": set time_budget=11h30m, so that it saves and stops in time,"
    yield (
        f"up to {hours:.1f} h do not fit a session of {SESSION_HOURS:g} h{stop or ': it goes on in the next,'} and "
        f"name what it left in resume_from; for one session {_fewer(config, SESSION_HOURS / hours)}"
    )


def _gpu(figures: dict[str, Any], config: Config) -> Iterator[str]:
    hours = figures["network_hours"]["high"]
    if figures["network_device"].startswith("cuda") and hours > WEEK_GPU_HOURS:
        yield (
            f"up to {hours:.1f} GPU hours are more than the {WEEK_GPU_HOURS:g} of a week: "
            f"{_fewer(config, WEEK_GPU_HOURS / hours)}"
        )


def _scoring(figures: dict[str, Any], config: Config) -> Iterator[str]:
    seconds, allowed = figures["seconds_per_study"]["high"], SCORING_HOURS * 3600 - START_SECONDS
    if math.isnan(seconds) or seconds * HIDDEN_STUDIES <= allowed:
        return
    method = config["submission"]["method"]
    view, count = config["methods"][method]["view"], len(config["folds"]["run"])
    folds = f"folds.run (now {count} models), " if count > 1 else ""
    yield (
        f"{HIDDEN_STUDIES:,} hidden studies at up to {seconds:.1f} s take {seconds * HIDDEN_STUDIES / 3600:.1f} h, a "
        f"scoring session has {SCORING_HOURS:g}: change {folds}methods.{method}.network.name, views.{view}.pixels"
        + (" - or predict on a GPU" if not figures["network_device"].startswith("cuda") else "")
    )


def _memory(figures: dict[str, Any], config: Config) -> Iterator[str]:
    largest, beside = figures["ram_gb_largest_job"], figures["ram_gb_side_by_side"]
    if largest > RAM_GB:
        yield (
            f"one job may hold {largest:.0f} GB of memory, Kaggle has {RAM_GB:g}: change methods.<name>.training."
            "batch_size (or accumulate), runtime.loader_workers, data.shards"
        )
    elif beside > RAM_GB:
        yield f"jobs beside each other may hold {beside:.0f} GB of memory, Kaggle has {RAM_GB:g}: use fewer --cores"


def _phantom(facts: Facts) -> Iterator[str]:
    if not facts.files["train"]:
        yield "the data folder has no training slices: there is nothing to plan for"


def _fewer(config: Config, share: float) -> str:
    """The keys that shorten trainings, with values by which what is asked for would fit."""
    method = config["submission"]["method"]
    block = in_round(config["methods"][method], 0)
    epochs = max(1, math.floor(block["training"]["epochs"] * share))
    subset = max(0.01, config["data"]["subset"] * share)
    folds = "fewer folds.run, " if len(config["folds"]["run"]) > 1 else ""
    return f"try {folds}methods.{method}.training.epochs={epochs} (and the student's), or data.subset={subset:.2f}"

"""What the cost of a job grows with, and how many of that it has: one table for all stages.

A job costs something whatever its data (starting, importing), and something for each of its units. The units of one
and the same function are asked for the rehearsal and for the whole run, so a constant factor in them cancels out.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from cspine.amounts import pairs_of
from cspine.forecast.facts import Facts
from cspine.layers import Config, in_round
from cspine.methods.registry import unit_of
from cspine.planning import Job

SAMPLE = 200  # files that a size plan looks at, however many there are (``cache.sizes.FILES``)
CPU_BATCH, GPU_BATCH = 32, 512  # what batch_size: auto comes to where memory is no limit (``cspine.batching``)
#: stage -> what its cost grows with; any stage that is not named reads tables of slices
GROWS_WITH = {
    "make_phantom": "slices made",
    "inventory": "files",
    "plan_cache": "sampled files",
    "plan_crops": "sampled files",
    "plan_volumes": "sampled files",
    "ingest": "files of a shard",
    "ingest_crops": "files of a shard",
    "ingest_volumes": "files of a shard",
    "label_presence": "voxels of masks",
    "lay_masks": "voxels of masks",
    "assign_folds": "studies",
    "place_vertebrae": "studies",
    "build_study_set": "studies",
    "predict_studies": "studies",
    "build_wheel": "nothing",
    "write_bundle": "nothing",
    "explain_cases": "nothing",
    "gather_studies": "nothing",
    "score": "studies",
    "analyse_errors": "studies",
    "compare_methods": "studies",
    "train": "examples",
}
TABLES = "slices"  # of all others


@dataclass(frozen=True)
class Work:
    """A job of the run or of the rehearsal, as far as its cost depends on it."""

    stage: str
    at: str  # its wildcards
    block: dict[str, Any]  # its config

    @staticmethod
    def of(job: Job) -> Work:
        """That of a planned job."""
        return Work(job.stage, job.at, json.loads(job.options["config"]) if "config" in job.options else {})

    @property
    def wildcards(self) -> dict[str, str]:
        """By name."""
        return pairs_of(self.at)


@dataclass(frozen=True)
class Rows:
    """Examples that a training is taught, and that it is watched on after each epoch."""

    taught: float
    watched: float


def unit_name(stage: str) -> str:
    """What the cost of a stage grows with, in words."""
    return GROWS_WITH.get(stage, TABLES)


def units_of(work: Work, facts: Facts, config: Config) -> float:
    """How many units a job has; for ``train`` see ``examples_of``."""
    at, shards = work.wildcards, config["data"]["shards"]
    amounts = {
        "slices made": facts.slices,
        "files": facts.slices,
        "sampled files": min(SAMPLE, facts.slices),
        "files of a shard": facts.files[at.get("cohort", "train")] / shards,
        "voxels of masks": facts.voxels / (shards if "shard" in at else 1),
        "studies": sum(facts.studies.values()),
        "slices": facts.slices,
        "nothing": 1,
    }
    return max(1.0, float(amounts[unit_name(work.stage)]))


def examples_of(work: Work, rows: Rows, batch: int) -> tuple[float, float]:
    """Examples that a training is shown over all its steps, and that it judges after its epochs.

    Args:
        work: of the stage train.
        rows: of its training set.
        batch: examples of a step; a last batch of an epoch may be smaller.
    """
    training = work.block["training"]
    an_epoch = training["epoch_steps"] * batch or rows.taught
    return training["epochs"] * an_epoch, training["epochs"] * rows.watched


def batch_of(work: Work, rows: Rows, on_gpu: bool) -> int:
    """Examples of a step, as ``cspine.batching`` decides it where the memory is no limit."""
    wanted = work.block["training"]["batch_size"]
    if wanted != "auto":
        return int(wanted)
    cap = min(GPU_BATCH if on_gpu else CPU_BATCH, max(2, math.floor(rows.taught)))
    return 1 << (cap.bit_length() - 1)


def rows_of(work: Work, facts: Facts, config: Config) -> Rows:
    """About how many examples the training set of a training will have.

    Studies are dealt evenly over folds, strata and roles, so shares of the counts are within a study or two; the rows
    of a study are the mean of all.
    """
    at, folds = work.wildcards, config["folds"]
    outside = 1 - 1 / folds["count"]  # of the studies; the others are held out
    if "localizer" in at:
        inner, block = config["localization"]["inner"], config["localizers"][at["localizer"]]
        each = 1.0 if block["family"] == "volume_segmenter" else facts.each()
        own = facts.segmented * outside * each
        return Rows(own * (inner - 1) / inner, own / inner)
    block = in_round(config["methods"][at["method"]], int(at["round"]))
    each = {"slice": facts.each(), "vertebra": 7.0, "study": 1.0}[unit_of(block["family"])]
    own = _taught_studies(block, int(at["round"]), facts, config) * outside * each
    share = block.get("labels", {}).get("share", 1.0)
    return Rows(own * (1 - folds["select"]) * share, own * folds["select"])


def _taught_studies(block: Config, number: int, facts: Facts, config: Config) -> float:
    """Studies that a round is taught, held-out ones included."""
    targets, everybody = block["targets"], facts.studies["train"]
    if unit_of(block["family"]) != "slice" or targets in ("study", "shown", "truth"):
        return everybody
    if targets == "presence":
        return facts.segmented
    if number:
        return everybody
    whole, unfractured = everybody - facts.fractured, config["labels"]["unfractured"]
    drawn = {"all": whole, "boxed": facts.boxed}.get(unfractured, unfractured)
    return facts.boxed + min(float(drawn), whole)

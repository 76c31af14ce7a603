"""What every job of a run will take, from what its like took in the rehearsal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cspine.bootstrap import Floats
from cspine.forecast.facts import Facts
from cspine.forecast.reading import Reading
from cspine.forecast.spending import DRAWS, NOTHING, Amount, Spending, rows_in
from cspine.forecast.units import Rows, Work, batch_of, examples_of, rows_of, units_of
from cspine.layers import Config
from cspine.planning import Job
from cspine.signature import signature_of

OF_FILES = ("ingest", "ingest_crops", "ingest_volumes", "plan_cache", "plan_crops", "plan_volumes")
OF_MASKS = ("label_presence", "lay_masks")


@dataclass(frozen=True)
class Scale:
    """A data set and the config it is used with."""

    facts: Facts
    config: Config


@dataclass(frozen=True)
class Sample:
    """What was measured.

    Attributes:
        spent: the rehearsal's jobs.
        small: the rehearsal's data and config.
        readings: of real files, by view; none for a phantom.
        per_voxel: seconds that a voxel of a real mask takes, None for a phantom.
        overhead: seconds that a job takes beside its own.
    """

    spent: Sequence[Spending]
    small: Scale
    readings: Mapping[str, Reading]
    per_voxel: Floats | None = None
    overhead: float = 0.0


@dataclass(frozen=True)
class Expected:
    """What a job will take.

    Attributes:
        job: planned.
        amount: seconds on ``cores``, and CPU seconds.
        cores: it computes on.
        gpu: whether it needs one, where it was measured on one.
        memory: MB.
        size: bytes of its outputs, (DRAWS,).
        known: whether its like has been measured.
    """

    job: Job
    amount: Amount
    cores: int
    gpu: bool
    memory: float
    size: Floats
    known: bool = True


def expected(job: Job, whole: Scale, sample: Sample) -> Expected:
    """What ``job`` of the run on ``whole`` will take."""
    work, uses_gpu = Work.of(job), signature_of(job.stage).uses_gpu
    workers = int(job.options.get("workers", 1))
    threads = int(work.block.get("training", work.block).get("threads", 1)) if uses_gpu else 1
    like = nearest(work, sample.spent)
    if like is None:
        return Expected(job, NOTHING, max(workers, threads), False, 0.0, np.zeros(DRAWS), known=False)
    if job.stage == "train":
        pieces, ratio = _training(job, work, like, whole, sample.small), 1.0
    else:
        ratio = units_of(work, whole.facts, whole.config) / units_of(like.work, sample.small.facts, sample.small.config)
        pieces = _read(work, whole, sample) or like.pieces.times(ratio)
    memory = like.memory + like.grows_mb * max(0.0, ratio - 1)
    amount = Amount(like.fixed.seconds + sample.overhead + pieces.seconds / workers, like.fixed.cpu + pieces.cpu)
    gpu = uses_gpu and like.device.startswith("cuda")
    return Expected(job, amount, max(workers, threads), gpu, memory, _size(work, like, ratio, whole, sample))


def nearest(work: Work, spent: Sequence[Spending]) -> Spending | None:
    """The rehearsed job of the same stage that shares most wildcards; folds, shards and parts are all alike."""
    own = work.wildcards
    names = ("method", "localizer", "view", "round", "member")

    def likeness(one: Spending) -> tuple[int, ...]:
        its = one.work.wildcards
        alike = sum((own.get(name) == its.get(name)) * 2 ** (len(names) - i) for i, name in enumerate(names))
        return int(own.keys() == its.keys()), alike, int(its.get("cohort", "train") == "train")

    same = [one for one in spent if one.work.stage == work.stage]
    return max(same, key=likeness) if same else None


def _training(job: Job, work: Work, like: Spending, whole: Scale, small: Scale) -> Amount:
    rows = rows_known(job, work.block["family"]) or rows_of(work, whole.facts, whole.config)
    batch = batch_of(work, rows, like.device.startswith("cuda"))
    examples, watched = examples_of(work, rows, batch)
    judged = like.judging.times(watched / like.watched) if like.watched else NOTHING
    return like.pieces.times(examples / (like.steps * like.batch)) + judged


def rows_known(job: Job, family: str) -> Rows | None:
    """The rows of a training set that lies there already; None of one that has still to be made."""
    path = job.inputs["training_set"][0]
    return rows_in(path, family) if path.exists() else None


def _read(work: Work, whole: Scale, sample: Sample) -> Amount | None:
    """Of a stage that reads real files or masks; None of others."""
    units = units_of(work, whole.facts, whole.config)
    if work.stage in OF_FILES and sample.readings:
        view = work.wildcards.get("view", "")
        rate = sample.readings.get(view) or next(iter(sample.readings.values()))
        return Amount(rate.seconds * units, rate.seconds * units)
    if work.stage in OF_MASKS and sample.per_voxel is not None:
        return Amount(sample.per_voxel * units, sample.per_voxel * units)
    return None


def _size(work: Work, like: Spending, ratio: float, whole: Scale, sample: Sample) -> Floats:
    view = work.wildcards.get("view", "")
    if work.stage == "ingest" and view in sample.readings:
        share = units_of(work, whole.facts, whole.config) / max(1, whole.facts.slices)
        return sample.readings[view].size * share
    fixed = work.stage in ("train", "write_bundle", "build_wheel", "make_phantom")
    return np.full(DRAWS, float(like.size) * (1.0 if fixed else ratio))

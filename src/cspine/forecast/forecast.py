"""The whole run in figures, each with its interval: hours, GPU hours, sessions, disk, memory, seconds a test study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cspine.bootstrap import Floats
from cspine.forecast.expected import Expected, Sample, Scale, expected
from cspine.forecast.limits import SESSION_HOURS
from cspine.forecast.schedule import Slot, laid_out, needs_of
from cspine.forecast.spending import DRAWS, Spending, told
from cspine.layers import Config, localizers_to_judge
from cspine.planning import HIT, IN_PLACE, Mark

LAYOUTS = 100  # of the draws, so many are laid out over the cores: what they tell differs little
CACHES = ("ingest", "ingest_crops", "ingest_volumes")
TRAINED = ("train", "write_bundle")
PREDICTING = ("predict_slices", "predict_studies")


@dataclass(frozen=True)
class Machine:
    """What a run is given."""

    cores: int
    gpus: int


@dataclass(frozen=True)
class StageTotal:
    """All jobs of a stage."""

    stage: str
    jobs: int
    there: int  # of them, results that need not be made
    cpu: Floats  # seconds, of those that have to be made
    known: bool  # whether its like has been measured


@dataclass(frozen=True)
class Forecast:
    """Figures of (DRAWS,) each, in seconds, bytes and MB; ``hours`` and sessions of LAYOUTS draws.

    Attributes:
        stages: in the run's order.
        seconds: from the first job to the last, on the machine; ``whole`` likewise if nothing were there yet.
        cpu: seconds of all processes.
        network: seconds of trainings and predictions, on ``device``.
        device: what these computed on in the rehearsal.
        sessions: of SESSION_HOURS.
        cache: bytes of all views.
        checkpoints: bytes of models and where trainings ended, and what one at work adds.
        tables: bytes of everything else in work/.
        memory: MB of the largest job, and of the jobs beside each other.
        study: seconds a new study takes at submission, without pictures; None where a bundle cannot hold the method.
        encodings: the views of real slices in all their encodings, in words.
        unmeasured: stages of which nothing is known.
    """

    stages: Sequence[StageTotal]
    seconds: Floats
    whole: Floats
    cpu: Floats
    network: Floats
    device: str
    sessions: Floats
    cache: Floats
    checkpoints: Floats
    tables: Floats
    memory: tuple[float, float]
    study: Floats
    encodings: dict[str, str]
    unmeasured: list[str]


def forecast(marks: Sequence[Mark], whole: Scale, sample: Sample, machine: Machine) -> Forecast:
    """Add up what every job will take.

    Args:
        marks: of the run's jobs.
        whole: the run's data and config.
        sample: what was measured.
        machine: what the run is given.
    """
    jobs = [expected(mark.job, whole, sample) for mark in marks]
    share = [0.0 if mark.kind in (IN_PLACE, HIT) else 1.0 - mark.share for mark in marks]
    nets = [(one, part) for one, part in zip(jobs, share, strict=True) if _network(one)]
    seconds, memory = _laid_out(jobs, share, machine)
    everything, _ = _laid_out(jobs, [1.0] * len(jobs), machine)
    working = max((one.size.mean() for one in jobs if one.job.stage == "train"), default=0.0)
    devices = {one.device for one in sample.spent if one.work.stage == "train"} or {"cpu"}
    return Forecast(
        stages=_stages(jobs, marks, share),
        seconds=seconds,
        whole=everything,
        cpu=_sum(one.amount.cpu * part for one, part in zip(jobs, share, strict=True)),
        network=_sum(one.amount.seconds * part for one, part in nets),
        device=", ".join(sorted(devices)),
        sessions=np.ceil(seconds / 3600 / SESSION_HOURS),
        cache=_sum(one.size for one in jobs if one.job.stage in CACHES),
        checkpoints=_sum(one.size for one in jobs if one.job.stage in TRAINED) + 2 * working,
        tables=_sum(one.size for one in jobs if one.job.stage not in (*CACHES, *TRAINED, "make_phantom")),
        memory=(max(one.memory for one in jobs), memory),
        study=_of_a_study(whole, sample, machine),
        encodings={view: str(reading) for view, reading in sample.readings.items()},
        unmeasured=sorted({one.job.stage for one in jobs if not one.known}),
    )


def _network(one: Expected) -> bool:
    return one.job.signature.uses_gpu


def _laid_out(jobs: Sequence[Expected], share: Sequence[float], machine: Machine) -> tuple[Floats, float]:
    """Seconds of the whole run in some of the draws, and the memory of jobs beside each other."""
    needs = needs_of([one.job for one in jobs])
    found, memory = [], 0.0
    for draw in np.linspace(0, DRAWS - 1, LAYOUTS).astype(int):
        slots = [
            Slot(float(one.amount.seconds[draw]) * part, one.cores if part else 0, one.gpu and part > 0,
                 one.memory if part else 0.0)
            for one, part in zip(jobs, share, strict=True)
        ]  # fmt: skip
        layout = laid_out(slots, needs, machine.cores, machine.gpus)
        found.append(layout.seconds)
        memory = max(memory, layout.memory)
    return np.array(found), memory


def _stages(jobs: Sequence[Expected], marks: Sequence[Mark], share: Sequence[float]) -> list[StageTotal]:
    stages = []
    for stage in dict.fromkeys(one.job.stage for one in jobs):
        own = [i for i, one in enumerate(jobs) if one.job.stage == stage]
        there = sum(marks[i].kind in (IN_PLACE, HIT) for i in own)
        cpu = _sum(jobs[i].amount.cpu * share[i] for i in own)
        stages.append(StageTotal(stage, len(own), there, cpu, all(jobs[i].known for i in own)))
    return stages


def _of_a_study(whole: Scale, sample: Sample, machine: Machine) -> Floats:
    """Seconds that reading and predicting a test study take, one after the other, start-up left out."""
    config = whole.config
    method = config["submission"]["method"]
    cohort = "test" if whole.facts.studies["test"] else "train"
    files, folds = whole.facts.each(cohort), len(config["folds"]["run"])
    view = config["methods"][method]["view"]
    if reading := sample.readings.get(view) or next(iter(sample.readings.values()), None):
        found = reading.seconds * files
    else:
        ingested = [one for one in sample.spent if one.work.stage == "ingest"]
        slices = sum(sample.small.facts.files[one.work.wildcards["cohort"]] for one in ingested)
        found = _sum(one.pieces.seconds for one in ingested) / max(1, slices) * files
    found = found / max(1, min(machine.cores, 4))
    for one in _judging(method, config, sample):
        found = found + one.pieces.seconds / sample.small.facts.slices * files * folds
    return found


def _judging(method: str, config: Config, sample: Sample) -> list[Spending]:
    """What was rehearsed of the predictions that a new study goes through: the last round's, and the localizers'."""
    own = [one for one in sample.spent if one.work.stage in PREDICTING and one.work.wildcards["method"] == method]
    own = sorted(own, key=lambda one: int(one.work.wildcards["round"]))[-1:]
    asked = localizers_to_judge(config, method)
    localizing = [one for one in sample.spent if one.work.stage == "predict_localizer"]
    return own + [one for one in localizing if one.work.wildcards["localizer"] in asked]


def _sum(some: Any) -> Floats:
    return np.sum([*some, np.zeros(DRAWS)], axis=0)


def figures(one: Forecast) -> dict[str, Any]:
    """What plan.json holds: every figure with its interval."""

    def figure(draws: Floats, unit: float = 1.0) -> dict[str, float]:
        value, low, high = told(draws / unit)
        return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}

    return {
        "hours": figure(one.seconds, 3600),
        "hours_if_nothing_were_there": figure(one.whole, 3600),
        "cpu_hours": figure(one.cpu, 3600),
        "network_hours": figure(one.network, 3600),
        "network_device": one.device,
        "sessions": figure(one.sessions),
        "cache_gb": figure(one.cache, 1e9),
        "checkpoints_gb": figure(one.checkpoints, 1e9),
        "tables_gb": figure(one.tables, 1e9),
        "ram_gb_largest_job": round(one.memory[0] / 1000, 3),
        "ram_gb_side_by_side": round(one.memory[1] / 1000, 3),
        "seconds_per_study": figure(one.study),
        "unmeasured": one.unmeasured,
    }


def rows(one: Forecast) -> list[dict[str, Any]]:
    """What plan.parquet holds: a row a stage."""
    table = []
    for total in one.stages:
        value, low, high = told(total.cpu)
        table.append({"stage": total.stage, "jobs": total.jobs, "there": total.there, "measured": total.known,
                      "cpu_seconds": value, "low": low, "high": high})  # fmt: skip
    return table

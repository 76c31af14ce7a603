"""The table stages of a run of the full set, each in a process of its own: seconds, CPU and peak memory.

The commands are the workflow's own, as its dry run prints them. What would read pixels, masks or run a network is made
up (``full_tables``); of a stage that runs once for each fold and method, one fold of the submitted method is measured.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from full_tables import MAKERS, StandIns

from cspine import store
from cspine.planning import Job

SUBMITTED, FOLD = "semi_supervised", "fold-0"
OF_FOLD = re.compile(r"fold-\d+")
OF_LOCALIZER = re.compile(r"(results/localization/)\w+/(?=fold)")


@dataclass(frozen=True)
class Measured:
    """What one stage cost.

    Attributes:
        stage: its name, and the round where that changes what it does.
        seconds: on the clock.
        cpu: seconds, of the process and its children.
        peak_mb: largest resident memory.
    """

    stage: str
    seconds: float
    cpu: float
    peak_mb: float


class Rehearsal:
    """Runs the jobs that something stands on, each once, in the working directory.

    Args:
        jobs: all jobs of the run, by its dry run.
        stand_ins: makes what is not measured.
    """

    def __init__(self, jobs: Sequence[Job], stand_ins: StandIns, say: Callable[[Measured], None]) -> None:
        self.jobs, self.stand_ins, self.say = jobs, stand_ins, say
        self.maker = {path: job for job in jobs for paths in job.outputs.values() for path in paths}
        self.measured: list[Measured] = []
        self._samples: dict[tuple[str, str], Path] = {}

    def run(self, wanted: Callable[[Job], bool] = lambda job: True) -> list[Measured]:
        """Measure one job of each table stage (of a stage with rounds: of each round) that is ``wanted``."""
        for job in self._representatives():
            if wanted(job):
                self._end(job)
        return self.measured

    def _representatives(self) -> Iterator[Job]:
        seen = set()
        for job in sorted(self.jobs, key=lambda job: job.stage != "index"):
            name = _named(job)
            if not _made_up(job) and _measurable(job) and name not in seen:
                seen.add(name)
                yield job

    def _need(self, path: Path) -> None:
        if path.exists() or path not in self.maker:
            return
        job = self.maker[path]
        first = Path(OF_LOCALIZER.sub(r"\1segmentation/", OF_FOLD.sub(FOLD, str(path))))
        if _made_up(job):
            self._make_up(job, path, first)
        elif first != path and first in self.maker:
            self._need(first)
            _link(first, path)
        else:
            self._end(job)

    def _make_up(self, job: Job, path: Path, first: Path) -> None:
        """One file for all of a kind that look alike; a fold's own where the studies' roles or parts are in it."""
        own = job.stage in ("aggregate_studies", "predict_localizer")
        if job.stage == "predict_localizer" and first != path:
            self._need(first)
            _link(first, path)
            return
        kind = (job.stage, path.name if job.stage not in ("ingest", "lay_masks") else str(path))
        if not own and kind in self._samples:
            _link(self._samples[kind], path)
            return
        for needed in job.inputs.get("training_set", []) + job.inputs.get("folds", []):
            if job.stage != "train":
                self._need(needed)
        self.stand_ins.make(job)
        self._samples.update({(job.stage, p.name): p for paths in job.outputs.values() for p in paths})

    def _end(self, job: Job) -> None:
        if all(path.exists() for paths in job.outputs.values() for path in paths):
            return
        for path in (path for paths in job.inputs.values() for path in paths):
            self._need(path)
        found = measure(job)
        if found.stage not in {known.stage for known in self.measured}:  # the inner models' sets are alike
            self.measured.append(found)
            self.say(found)


def measure(job: Job) -> Measured:
    """Run a job as the workflow would, in a process of its own.

    Raises:
        AssertionError: it failed; its log says why.
    """
    log = Path("logs", f"{job.stage}.txt")
    log.parent.mkdir(exist_ok=True)
    begun = perf_counter()
    with log.open("w") as stream:
        # A process counts the memory of the one it was forked from as its own peak: a shell lies between.
        words = ["sh", "-c", '"$0" -m cspine "$@"; exit $?', sys.executable, *_without_log(job.words)]
        before = os.times()
        done = subprocess.run(words, stdout=stream, stderr=stream, env={**os.environ, "PYTHONPATH": "src"})
        after = os.times()
    seconds = perf_counter() - begun
    assert done.returncode == 0, f"{job.stage} failed:\n{log.read_text(encoding='utf-8')[-3000:]}"
    output = next(path for paths in job.outputs.values() for path in paths)
    costs = json.loads(_record_of(output).read_text(encoding="utf-8"))["costs"]
    cpu = sum(after[2:4]) - sum(before[2:4])
    return Measured(_named(job), seconds, cpu, costs["peak_mb"])


def _record_of(output: Path) -> Path:
    """done.json of the result that is at a declared place."""
    if output.is_symlink():
        return output.resolve().parent / store.DONE
    receipt = store.read_receipt(output)
    assert receipt is not None, f"{output} is no result of the store"
    return store.WORK / receipt["stage"] / receipt["key"] / store.DONE


def _without_log(words: Sequence[str]) -> list[str]:
    at = words.index("--log") if "--log" in words else len(words)
    return [*words[:at], *words[at + 2 :]]


def _made_up(job: Job) -> bool:
    return job.stage in MAKERS and not (job.stage == "aggregate_studies" and _measurable(job))


def _measurable(job: Job) -> bool:
    """Of a stage with wildcards: fold 0 of the submitted method, its localizer and the crops."""
    if job.stage in NEEDS_FILES:
        return False
    at = dict(pair.split("=") for pair in job.at.split(",")) if job.at else {}
    ours = at.get("method", SUBMITTED) in MEASURED_METHODS.get(job.stage, (SUBMITTED,))
    return ours and at.get("fold", "0") == "0" and at.get("localizer", "segmentation") == "segmentation"


#: stages that look into pixels or masks and have no stand-in, because no table stage needs what they leave
NEEDS_FILES = {"plan_crops", "ingest_crops", "plan_volumes", "ingest_volumes"}
#: where the submitted method does not run a stage, or another one asks more of it
MEASURED_METHODS = {
    "place_vertebrae": ("cnn_lstm",),
    "build_study_set": ("cnn_lstm",),
    "build_training_set": (SUBMITTED, "single_head"),
    "aggregate_studies": (SUBMITTED, "localized_ensemble"),
}


def _named(job: Job) -> str:
    at = dict(pair.split("=") for pair in job.at.split(",")) if job.at else {}
    method = at.get("method", SUBMITTED)
    words = [f"of {method}"] if len(MEASURED_METHODS.get(job.stage, ())) > 1 and method != SUBMITTED else []
    words += [f"round {at['round']}"] if job.stage == "build_training_set" and not words else []
    return " ".join([job.stage, *words])


def _link(target: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(target, path.parent))

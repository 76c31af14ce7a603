"""What a job of the rehearsal took, split into what any such job costs and what each of its units adds.

Every figure is DRAWS numbers that it may be: its mean is the estimate, its middle 95 % the interval, and sums of jobs
are sums of draws. Four things make them differ:

- the pieces of a stage (steps, batches, studies) are drawn again with replacement, since so few were seen;
- stages of tables end too soon to be split: they are measured again on copies of their rows (``forecast.copies``), to
  50 ms; of one for which that fails the share that grows with the data may be anything from none to all;
- a run is never as fast as the one before: every stage has a factor of its own, lognormal with BETWEEN_RUNS;
- what is read of real files is drawn by study (``forecast.reading``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cspine import progress
from cspine.bootstrap import Floats, interval
from cspine.forecast.units import Rows, Work
from cspine.hashing import seed_of
from cspine.studies import UID

DRAWS = 1000
BETWEEN_RUNS = 0.1  # ASSUME: standard deviation of the logarithm, what caches, clocks and neighbours make of a time
WARM_UP = 4  # one in so many pieces comes first and is left out: caches are cold
#: stages whose reports follow their work, piece by piece
IN_PIECES = (
    "make_phantom", "ingest", "ingest_crops", "ingest_volumes", "label_presence", "lay_masks", "train",
    "predict_slices", "predict_studies", "predict_localizer",
)  # fmt: skip


@dataclass(frozen=True)
class Amount:
    """Seconds and CPU seconds, (DRAWS,) each."""

    seconds: Floats
    cpu: Floats

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.seconds + other.seconds, self.cpu + other.cpu)

    def times(self, factor: float | Floats) -> Amount:
        """So many times as much."""
        return Amount(self.seconds * factor, self.cpu * factor)


NOTHING = Amount(np.zeros(DRAWS), np.zeros(DRAWS))


@dataclass(frozen=True)
class Spending:
    """What a rehearsed job took.

    Attributes:
        work: the job.
        fixed: whatever its units: imports, building the network, saving.
        pieces: by all its units, which are ``units_of`` it; of a training by all its steps.
        judging: of a training by its evaluations.
        memory: the largest MB it held.
        grows_mb: MB that as many rows again add; 0 where that is not known, or memory does not grow.
        size: bytes of its outputs.
        steps: pieces that were done.
        batch: examples of a step; 0 of other stages.
        watched: examples of the role select.
        device: what it computed on.
    """

    work: Work
    fixed: Amount
    pieces: Amount
    judging: Amount
    memory: float
    size: int
    grows_mb: float = 0.0
    steps: int = 0
    batch: int = 0
    watched: int = 0
    device: str = "cpu"


def spendings(folder: Path) -> list[Spending]:
    """Of every finished job in a rehearsal's ``folder``."""
    found = []
    for path in sorted((folder / "work").glob("*/*/done.json")):
        done = json.loads(path.read_text(encoding="utf-8"))
        lines = (path.parent / progress.TIMINGS).read_text(encoding="utf-8").splitlines()
        extra = _of_training(folder, path.parent, done) if done["stage"] == "train" else {}
        found.append(spending(done, [json.loads(line) for line in lines], **extra))
    return found


def spending(done: dict[str, Any], events: Sequence[dict[str, Any]], batch: int = 0, watched: int = 0) -> Spending:
    """From a job's record and what it wrote down on its way.

    Args:
        done: its done.json.
        events: lines of ``progress.timed``: task, done, aside, at, cpu_seconds, peak_mb.
        batch, watched: of a training.
    """
    work = Work(done["stage"], done["at"], done["config"] or {})
    draws = np.random.default_rng(seed_of("spending", work.stage, work.at))
    whole = np.array([done["costs"]["seconds"], done["costs"]["cpu_seconds"]])
    begins, steps, asides = events[0], _on_the_way(events, aside=False), _on_the_way(events, aside=True)
    nothing = np.zeros((DRAWS, 2))
    if work.stage in IN_PIECES and len(steps) > 2:
        pieces = _drawn(steps[len(steps) // WARM_UP :], draws)
        judging = _drawn([{**steps[-1], "done": 0}, *asides], draws) if asides else nothing
    else:  # imported, then done at once
        pieces = draws.random((DRAWS, 1)) * np.maximum(0, whole - [_before(begins, whole), begins["cpu_seconds"]])
        judging = nothing
    fixed = np.maximum(0, whole - pieces - judging)
    luck = np.exp(draws.normal(0, BETWEEN_RUNS, (DRAWS, 1)))
    fixed, pieces, judging = fixed * luck, pieces * luck, judging * luck
    return Spending(
        work=work,
        fixed=Amount(fixed[:, 0], fixed[:, 1]),
        pieces=Amount(pieces[:, 0], pieces[:, 1]),
        judging=Amount(judging[:, 0], judging[:, 1]),
        memory=done["costs"]["peak_mb"],
        size=sum(output["size"] for listed in done["outputs"].values() for output in listed),
        steps=int(steps[-1]["done"]) if steps else 0,
        batch=batch,
        watched=watched,
        device=done.get("device", "cpu"),
    )


def told(draws: Floats) -> tuple[float, float, float]:
    """The estimate, and the ends of its 95 % interval."""
    return float(draws.mean()), *interval(draws)


def _on_the_way(events: Sequence[dict[str, Any]], aside: bool) -> list[dict[str, Any]]:
    return [event for event in events if event["task"] != progress.BEGINS and event["aside"] == aside]


def _before(begins: dict[str, Any], whole: Any) -> float:
    """Seconds before the stage's function was called: the CPU seconds of that, or all there were."""
    return min(float(whole[0]), begins["cpu_seconds"])


def _drawn(events: Sequence[dict[str, Any]], draws: np.random.Generator) -> Any:
    """Seconds and CPU seconds of all pieces, (DRAWS, 2), from those between the first event and the last.

    The first piece comes with what is only done once, so that the others stand for it.
    """
    at = np.array([[event["at"], event["cpu_seconds"], event["done"]] for event in events])
    between = np.diff(at, axis=0)
    between = between[between[:, 2] > 0] if (between[:, 2] > 0).any() else between
    chosen = draws.integers(0, len(between), (DRAWS, len(between)))
    drawn = between[chosen].sum(axis=1)
    # a short piece has no CPU seconds of its own at their resolution of 10 ms: those of all, by the seconds drawn
    cpu = between[:, 1].sum() / max(between[:, 0].sum(), 1e-9)
    each = drawn[:, 0] / drawn[:, 2]
    return np.stack([each * at[-1, 2], each * cpu * at[-1, 2]], axis=1)


def _of_training(folder: Path, place: Path, done: dict[str, Any]) -> dict[str, int]:
    """Batch and watched examples of a training, from its model's header and its training set."""
    from cspine.model_headers import read_header

    header = read_header(place / "model.safetensors")
    rows = rows_in(folder / done["inputs"]["training_set"][0]["path"], done["config"]["family"])
    return {"batch": int(header["training"]["batch_size"]), "watched": round(rows.watched)}


def rows_in(path: Path, family: str) -> Rows:
    """Examples of each role in a training set; a family that reads whole studies has one of each study."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["role", UID]).to_pandas()
    if family == "volume_segmenter":
        table = table.drop_duplicates(UID)
    return Rows(*(float((table["role"] == role).sum()) for role in ("train", "select")))

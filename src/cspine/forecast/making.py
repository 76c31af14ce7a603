"""From the present config to the text: facts, a sample of the files, the rehearsal, the sum, and the files written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cspine import planning
from cspine.amounts import duration, pairs_of
from cspine.blocks import block
from cspine.bootstrap import Floats
from cspine.cache.sizes import ListedStudy
from cspine.forecast import limits, texts
from cspine.forecast.expected import Sample, Scale
from cspine.forecast.facts import Facts, facts_of_folder, facts_of_phantom, listed
from cspine.forecast.forecast import Machine, figures, forecast, rows
from cspine.forecast.reading import Reading, read_masks, read_view
from cspine.forecast.rehearsal import pseudo_labels_of, rehearsal_config, rehearse
from cspine.forecast.spending import Spending, spendings
from cspine.forecast.tables import slopes_of, with_slopes
from cspine.hashing import seed_of
from cspine.layers import Config, is_phantom
from cspine.outlook import marks_of
from cspine.planning import Job
from cspine.present import Present
from cspine.progress import say

BUSY = 0.7  # of a core; alone, most stages use all of one
READS = ("ingest", "ingest_crops", "ingest_volumes", "plan_cache", "plan_crops", "plan_volumes")


def made(now: Present, targets: tuple[str, ...], folder: Path, cores: int, gpus: int, place: Path) -> str:
    """Measure, add up, write plan.txt, plan.json and plan.parquet to ``place``; returns the text.

    Args:
        now: the present config.
        targets: what the run will be asked for.
        folder: an empty one, for the rehearsal.
        cores, gpus: that the run will be given.
        place: for the three files.

    Raises:
        CspineError: no data folder, or nothing of the rehearsal could be run.
    """
    now = replace(now, line=replace(now.line, targets=targets, given=()))
    jobs = planning.jobs_of(now.line, cores)
    marks = marks_of(now, jobs)
    whole, readings, per_voxel = _data(now.config, jobs)
    small = rehearsal_config(now.config)
    wrong, seconds = rehearse(now.config, now.line.base, (*targets, *pseudo_labels_of(jobs)), folder)
    say("plan: stages of tables again, on copies of their rows")
    subprocess.run([sys.executable, "-m", "cspine.forecast.copies", str(folder)], check=False)
    spent = with_slopes(spendings(folder), slopes_of(folder))
    scale = Scale(facts_of_phantom(small["phantom"], _phantom_seed(small)), small)
    sample = Sample(spent, scale, readings, per_voxel, _overhead(spent, seconds))
    machine = Machine(cores, gpus)
    found = forecast(marks, whole, sample, machine)
    numbers = figures(found)
    warned = limits.warnings(numbers, now.config, whole.facts, found.encodings)
    notes = [*_busy(spent), *_notes(whole.facts, readings, wrong, seconds, found.unmeasured)]
    text = texts.words(found, numbers, machine, warned, notes)
    _write(place, text, {"targets": targets, **numbers, "warnings": warned}, rows(found))
    return text


def _data(config: Config, jobs: Sequence[Job]) -> tuple[Scale, dict[str, Reading], Floats | None]:
    """What there is to read, and of real data what reading takes: every view of whole slices that a job will make."""
    if is_phantom(config):
        facts = facts_of_phantom(config["phantom"], _phantom_seed(config), config["data"]["subset"])
        return Scale(facts, config), {}, None
    root = Path(config["data"]["root"])
    say(f"plan: lists {root}")
    studies = listed(root)
    facts = facts_of_folder(root, studies, config["data"]["subset"])
    views = sorted({pairs_of(job.at).get("view", "") for job in jobs if job.stage in READS} & set(config["views"]))
    return Scale(facts, config), _readings(root, studies, views, config), read_masks(root)


def _readings(root: Path, studies: Sequence[ListedStudy], views: Sequence[str], config: Config) -> dict[str, Reading]:
    of_slices = [view for view in views if config["views"][view]["kind"] == "slice"] or ["slice"]
    seed = seed_of("size plan", config["seed"])
    found = {}
    for view in of_slices:
        say(f"plan: reads a sample of the files for the view {view}")
        found[view] = read_view(root, studies, config["views"][view], 2 * config["data"]["shards"], seed)
    return found


def _phantom_seed(config: Config) -> int:
    return int(block(config, "make_phantom")["seed"])


def _overhead(spent: Sequence[Spending], seconds: float) -> float:
    """Seconds of a job that it does not count itself: Snakemake, Python's start, the lookup."""
    own = sum(float((one.fixed + one.pieces + one.judging).seconds.mean()) for one in spent)
    return max(0.0, seconds - own) / max(1, len(spent))


def _busy(spent: Sequence[Spending]) -> list[str]:
    """A word of caution where the rehearsal had to share the machine: its hours are then those of a slower one."""
    whole = [one.fixed + one.pieces + one.judging for one in spent if one.device == "cpu"]
    got = sum(float(one.cpu.mean()) for one in whole) / max(1e-9, sum(float(one.seconds.mean()) for one in whole))
    if got >= BUSY:
        return []
    return [
        f"other work was going on: the rehearsal got {got:.0%} of a core where it could have used one or more. CPU "
        "time is right all the same, hours are those of a machine as busy; plan again when it is idle"
    ]


def _notes(
    facts: Facts, readings: dict[str, Reading], wrong: str, seconds: float, unmeasured: Sequence[str]
) -> list[str]:
    notes = [
        f"planned for {facts.studies['train']:,} + {facts.studies['test']:,} studies, {facts.slices:,} slices, from a "
        f"rehearsal of {duration(seconds)} on this machine as it was just now"
    ]
    notes += [f"view {view} would take: {reading}" for view, reading in readings.items()]
    notes += [f"view {v}: {r.files[0] - r.files[1]} of {r.files[0]} files gave no slice" for v, r in readings.items()
              if r.files[1] < r.files[0]]  # fmt: skip
    notes += [f"not in the sum, since nothing like it could be measured: {', '.join(unmeasured)}"] if unmeasured else []
    return notes + ([f"the rehearsal ended with: {wrong}"] if wrong else [])


def _write(place: Path, text: str, numbers: dict[str, object], table: list[dict[str, object]]) -> None:
    import pandas as pd

    from cspine.tables import write_table

    place.mkdir(parents=True, exist_ok=True)
    (place / "plan.txt").write_text(text, encoding="utf-8")
    (place / "plan.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    write_table(pd.DataFrame(table), place / "plan.parquet")

"""What a run would do, at a glance: the marks of its jobs by stage, and how long it may take."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from statistics import mean

from cspine import amounts, planning
from cspine.errors import CspineError
from cspine.overview import MOST_LISTED, RESULTS, told
from cspine.planning import HIT, IN_PLACE, RESUME, RUN, UNKNOWN, Job, Mark, Marks
from cspine.present import Present
from cspine.store import receipts
from cspine.store.holdings import holdings

KINDS = (IN_PLACE, HIT, RESUME, RUN, UNKNOWN)
MEANING = {
    HIT: "its result is in the store",
    RESUME: "goes on from where it was cut off",
    RUN: "is made from the start",
    UNKNOWN: "depends on what those before it make; may be a hit",
}


def outlook(now: Present) -> list[str]:
    """Lines for the terminal: the jobs by stage and mark, those that would run by name, and how long they may take.

    Raises:
        CspineError: Snakemake cannot plan, or the targets belong to another folder.
    """
    check_place(now)
    marks = marks_of(now, planning.jobs_of(now.line))
    return ["", *_rows(marks), *told("to go on or to run", _named(marks)), *_time(marks)]


def marks_of(now: Present, jobs: list[Job]) -> list[Mark]:
    """What a run of the present would do about each of its jobs."""
    stale = receipts.stale_outputs(RESULTS, now.block, now.root, planning.inputs_by_output(jobs).get)
    return Marks(jobs, (output.path for output in stale)).needed()


def check_place(now: Present) -> None:
    """Raise a CspineError where this is not the folder that the targets work in."""
    if not (now.line.base / "Snakefile").is_file() or (now.line.start == Path() and not Path("Snakefile").is_file()):
        raise CspineError(
            "no run is recorded here; ask in the folder of the Snakefile, or of an experiment that has run"
        )
    for target in now.line.targets:
        place = Path("experiments", target)
        if place.is_dir():
            raise CspineError(f"{target} works in a folder of its own: cd {place}, and ask there")


def _rows(marks: list[Mark]) -> list[str]:
    stages = list(dict.fromkeys(mark.job.stage for mark in marks))
    counts = Counter((mark.job.stage, mark.kind) for mark in marks)
    rows: list[tuple[str, ...]] = [("stage", *KINDS)]
    rows += [(stage, *(str(counts[stage, kind] or "") for kind in KINDS)) for stage in stages]
    rows.append(("total", *(str(sum(mark.kind == kind for mark in marks) or "") for kind in KINDS)))
    there = {mark.kind for mark in marks}
    return [*amounts.table(rows), "", *(f"{kind}: {words}" for kind, words in MEANING.items() if kind in there)]


def _named(marks: list[Mark]) -> list[str]:
    lines = []
    for stage in dict.fromkeys(mark.job.stage for mark in marks):
        own = [mark for mark in marks if mark.job.stage == stage and mark.kind in (RESUME, RUN)]
        for mark in own[:MOST_LISTED]:
            far = f" from {mark.share:.0%}" if mark.share else ""
            lines.append(f"{mark.kind}{far}: {amounts.job(stage, mark.job.at)}{f', {mark.note}' if mark.note else ''}")
        lines += [f"{stage}: {len(own) - MOST_LISTED} more"] if len(own) > MOST_LISTED else []
    return lines


def _time(marks: list[Mark]) -> list[str]:
    """How long it may take one job after another, by what finished results of the same stage took."""
    took: dict[str, list[float]] = defaultdict(list)
    for held in holdings():
        if held.finished:
            took[held.stage].append(held.seconds)
    todo = [mark for mark in marks if mark.kind in (RESUME, RUN, UNKNOWN)]
    if not todo:
        return ["", "nothing has to be made"]
    known = [mark for mark in todo if took[mark.job.stage]]
    if not known:
        return ["", "how long it takes is not known: none of these stages has finished here before"]
    seconds = sum((1 - mark.share) * mean(took[mark.job.stage]) for mark in known)
    others = sorted({mark.job.stage for mark in todo if not took[mark.job.stage]})
    without = f", without {', '.join(others)}, which never finished here" if others else ""
    most = "at most " if any(mark.kind == UNKNOWN for mark in todo) else "about "
    return ["", f"one job after another {most}{amounts.duration(seconds)}{without}"]

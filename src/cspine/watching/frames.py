"""One moment of a run as lines for so many columns and rows. No control characters: a log may keep them."""

from __future__ import annotations

import time

from cspine import amounts, bars
from cspine.amounts import duration, size
from cspine.gpu_memory import GpuMemory
from cspine.runs import StageCount
from cspine.watching.seen import AtWork, Seen

BAR = 20  # columns of a stage's bar
LEAST_ROWS = 6


def frame(seen: Seen, columns: int = 100, rows: int | None = None, encoding: str | None = "utf-8") -> list[str]:
    """The lines: the run and its time, the jobs at work, the stages, then disk and GPUs.

    Args:
        columns: longer lines are cut.
        rows: of the lines of the stages so many are left out that all fit; None = there is room.
        encoding: which characters a bar may be made of.
    """
    head = [*_run(seen), *_at_work(seen.at_work, columns, encoding)]
    machine = ["", _disk(seen), *(_gpu(gpu) for gpu in seen.gpus)]
    stages = _stages(seen.stages, encoding)
    if rows is not None:
        stages = _fitting(stages, max(rows - len(head) - len(machine), LEAST_ROWS))
    return [line[:columns].rstrip() for line in [*head, *stages, *machine]]


def _run(seen: Seen) -> list[str]:
    clock = time.strftime("%H:%M:%S", time.localtime(seen.time))
    if seen.run is None:
        ago = None if seen.began is None else duration(max(0.0, seen.time - seen.began))
        return [f"{clock}  no run is at work{f'; the last one began {ago} ago' if ago else ''}"]
    return [f"{clock}  a run is at work ({seen.run})", _budget(seen.seconds_left)]


def _budget(left: float | None) -> str:
    if left is None:
        return "it has no time budget"
    return f"{duration(left)} left of its time budget" if left > 0 else "its time budget is used up: it is saving"


def _at_work(jobs: list[AtWork], columns: int, encoding: str | None) -> list[str]:
    lines = ["", "at work:"] if jobs else []
    for found in jobs:
        lines.append(f"  {found.name}")
        if found.standing is not None:
            done, total = found.standing["done"], found.standing["total"]
            lines.append(bars.row("   ", done, total, bars.words(found.standing), columns, encoding))
    return lines


def _stages(stages: list[StageCount], encoding: str | None) -> list[str]:
    if not stages:
        return []
    rows: list[tuple[str, ...]] = [("stage", "", "done", "jobs", "made now", "found")]
    for stage in [*stages, _total(stages)]:
        drawn = bars.bar(stage.done, stage.jobs, BAR, encoding)
        found = str(stage.done - stage.made or "")
        rows.append((stage.stage, drawn, str(stage.done), str(stage.jobs), str(stage.made or ""), found))
    return ["", *amounts.table(rows, texts=(0, 1))]


def _total(stages: list[StageCount]) -> StageCount:
    jobs, done, made = (sum(getattr(stage, name) for stage in stages) for name in ("jobs", "done", "made"))
    return StageCount("total", jobs, done, made)


def _fitting(lines: list[str], rows: int) -> list[str]:
    """At most ``rows`` of the table, always its head and its total: of the others the last go first."""
    if len(lines) <= rows:
        return lines
    kept = lines[: rows - 2]
    return [*kept, f"… {len(lines) - 1 - len(kept)} more stages", lines[-1]]


def _disk(seen: Seen) -> str:
    limit = f" of store.max_gb ({seen.max_gb:g} GB)" if seen.max_gb else ""
    free = f"; {size(seen.free_bytes)} free on its disk" if seen.free_bytes is not None else ""
    return f"work/ holds {size(seen.work_bytes)}{limit}{free}"


def _gpu(gpu: GpuMemory) -> str:
    busy = f", busy {gpu.busy} %" if gpu.busy is not None else ""
    return f"GPU {gpu.number} ({gpu.name}): {size(gpu.used)} of {size(gpu.total)} in use{busy}"

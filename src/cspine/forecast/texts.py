"""The forecast for the terminal: at most COLUMNS wide, the answer first."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from cspine.amounts import duration, table
from cspine.forecast.forecast import Forecast, Machine
from cspine.forecast.spending import told
from cspine.forecast.units import unit_name

COLUMNS = 100
LEAST_SHARE = 0.01  # of the CPU time: stages below it share a line


def words(one: Forecast, figures: dict[str, Any], machine: Machine, warned: Sequence[str], notes: Sequence[str]) -> str:
    """The whole text.

    Args:
        one: the forecast.
        figures: ``forecast.figures`` of it.
        machine: that the run is given.
        warned: limits that would be broken.
        notes: what else there is to know about the measuring.
    """
    lines = [*_head(one, figures, machine), "", *_stages(one), ""]
    lines += [line for text in warned for line in _wrapped("! ", text)]
    lines += [] if warned else ["within Kaggle's limits: 20 GB output, 12 h sessions, 9 h scoring, 29 GB RAM"]
    return "\n".join([*lines, *(line for text in notes for line in _wrapped("  ", text))]) + "\n"


def _head(one: Forecast, figures: dict[str, Any], machine: Machine) -> list[str]:
    given = f"{machine.cores} core{'s' * (machine.cores != 1)}" + (f", {machine.gpus} GPU" if _on_gpu(one) else "")
    rows = [
        ("", "estimate", "95 % interval", ""),
        ("run", *_times(one.seconds), f"on {given}" + _already(one)),
        ("CPU time", *_times(one.cpu), "all processes"),
        ("GPU time" if _on_gpu(one) else "networks", *_times(one.network), f"on {one.device}"),
        ("sessions of 12 h", *_counts(figures["sessions"]), ""),
        ("cache", *_sizes(figures["cache_gb"]), "views of the pixels"),
        ("checkpoints", *_sizes(figures["checkpoints_gb"]), "models, training states, two checkpoints at work"),
        ("tables", *_sizes(figures["tables_gb"]), ""),
        ("RAM", f"{figures['ram_gb_largest_job']:.1f} GB", "",
         f"the largest job; {figures['ram_gb_side_by_side']:.1f} GB side by side"),
        ("submission", *_seconds(figures["seconds_per_study"]), "a study, without pictures"),
    ]  # fmt: skip
    return table(rows, texts=(0, 3))


def _stages(one: Forecast) -> list[str]:
    total = max(1e-9, float(one.cpu.mean()))
    large = [stage for stage in one.stages if stage.cpu.mean() >= LEAST_SHARE * total]
    small = [stage for stage in one.stages if stage.cpu.mean() < LEAST_SHARE * total]
    rows = [("stage", "jobs", "there", "CPU time", "95 % interval", "grows with")]
    for stage in sorted(large, key=lambda each: -each.cpu.mean()):
        rows.append((stage.stage, str(stage.jobs), str(stage.there or ""), *_times(stage.cpu), unit_name(stage.stage)))
    if small:
        jobs, there = sum(stage.jobs for stage in small), sum(stage.there for stage in small)
        rows.append((f"{len(small)} others", str(jobs), str(there or ""), *_times(sum(s.cpu for s in small)), ""))
    return table(rows, texts=(0, 5))


def _already(one: Forecast) -> str:
    whole, left = float(one.whole.mean()), float(one.seconds.mean())
    return f"; {duration(whole)} if nothing were there" if left < 0.98 * whole else ""


def _on_gpu(one: Forecast) -> bool:
    return one.device.startswith("cuda")


def _times(draws: Any) -> tuple[str, str]:
    value, low, high = told(draws)
    return duration(value), f"{duration(low)} .. {duration(high)}"


def _sizes(figure: dict[str, float]) -> tuple[str, str]:
    return f"{figure['value']:.2f} GB", f"{figure['low']:.2f} .. {figure['high']:.2f}"


def _seconds(figure: dict[str, float]) -> tuple[str, str]:
    return f"{figure['value']:.2f} s", f"{figure['low']:.2f} .. {figure['high']:.2f}"


def _counts(figure: dict[str, float]) -> tuple[str, str]:
    return f"{figure['value']:.0f}", f"{figure['low']:.0f} .. {figure['high']:.0f}"


def _wrapped(mark: str, text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS, initial_indent=mark, subsequent_indent=" " * len(mark), break_on_hyphens=False)

"""What it took: seconds and memory of every stage."""

from __future__ import annotations

import pandas as pd

from cspine.amounts import duration, size
from cspine.pages import Table
from cspine.report.config import ReportConfig
from cspine.report.figures.costs import costs as drawn_costs
from cspine.report.parts import Chapter, Points


def costs(taken: pd.DataFrame, config: ReportConfig) -> Chapter:
    """One row for each stage; ``taken`` is what ``cspine.report.records.costs`` has found."""
    rows = [
        [
            stage,
            len(jobs),
            duration(jobs["seconds"].sum()),
            duration(jobs["cpu_seconds"].sum()),
            size(1e6 * jobs["peak_mb"].max()),
            int((jobs["segments"] > 1).sum()),
            ", ".join(sorted(set(jobs["device"]) - {""})),
        ]
        for stage, jobs in taken.groupby("stage", sort=False)
    ]
    head = ["stage", "results", "on the clock", "of CPU", "most memory", "interrupted", "device"]
    said = [
        f"{len(taken):,} results on the way to this page: {duration(taken['seconds'].sum())} one after the other, "
        f"{duration(taken['cpu_seconds'].sum())} of CPU; all segments of an interrupted stage are added up.",
        "What the store already had counts as if it had been made for this run. Memory is the host's, not the GPU's.",
    ]
    return Chapter(
        "costs", "Costs", [Points(said), drawn_costs(taken, config.about), Table(head, rows, shown=len(rows))]
    )

"""What the whole run will take, measured on a rehearsal of it on this machine."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cspine.forecast.making import made
from cspine.outlook import check_place
from cspine.present import DEFAULT_TARGETS, present_by

PLACE = Path("results")


def main(cores: int = 0, gpus: int = 1, target: list[str] | None = None, keep: str = "", *snakemake: str) -> int:
    """Rehearse the run in a temporary folder and say what the whole of it will take, and which limits it would break.

    Options of Snakemake that make the config are understood (--configfile, --config); without any, the last run's
    count. Writes results/plan.txt, plan.json and plan.parquet; the store is only looked at. docs/plan.md says how.

    Args:
        cores: that the run will be given; 0 = those of this machine
        gpus: that the run will be given, where this machine has one
        target: what will be asked for, as of Snakemake; default: submission
        keep: a folder for the rehearsal, which is then kept
    """
    now = present_by(snakemake)
    targets = tuple(target or (now.line.targets if snakemake else ())) or DEFAULT_TARGETS
    targets = tuple(name for name in targets if name != "plan") or DEFAULT_TARGETS
    check_place(now)
    now.announce()
    cores = cores or os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="cspine-plan-") as temporary:
        folder = Path(keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(made(now, targets, folder, cores, gpus, PLACE), end="")
    return 0

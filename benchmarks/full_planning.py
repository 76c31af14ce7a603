"""Planning, a run that finds everything done, and the commands that ask the store, on the DAG of the full set."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from full_store import finish
from measuring import spent

from cspine.planning import Job

MOST = 10.0  # seconds of planning
ASKED = "results/submission.csv"
#: what the targets stand on; they themselves print what is in these files, which here hold their names only
FINAL = [ASKED, "results/semi_supervised/score.txt", "results/report.html", "results/comparison.html",
         "results/localization/comparison.txt", "results/audit.html", "results/bundle/bundle.json"]  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What one command cost, in seconds; ``most`` is the aim, 0 where there is none."""

    name: str
    seconds: float
    cpu: float
    most: float = 0.0


def measure_planning(
    jobs: Sequence[Job], targets: Sequence[str], options: Sequence[str], say: Callable[[Asked], None]
) -> list[Asked]:
    """Plan from nothing, end every job, then plan and ask again; in the working directory, a checkout.

    Args:
        jobs: all jobs of the run.
        targets: of Snakemake.
        options: of Snakemake.
        say: told of each as soon as it is known.
    """
    snakemake = [sys.executable, "-m", "snakemake", "--quiet", "all", "--cores", "2"]
    everything = [*snakemake, *targets, *options]
    cspine = [sys.executable, "-m", "cspine"]
    found: list[Asked] = []

    def ask(name: str, command: Sequence[str], most: float = 0.0) -> None:
        cost = spent(command, Path.cwd(), PYTHONPATH="src")
        found.append(Asked(name, cost.seconds, cost.cpu, most))
        say(found[-1])

    ask("snakemake -n, nothing made", [*everything, "-n"], MOST)
    results = finish(jobs)
    print(f"  {len(jobs)} jobs ended, {results} results in work/", flush=True)
    ask("a run with nothing to do", [*snakemake, *FINAL, *options])
    ask("snakemake -n, all made", [*everything, "-n"], MOST)
    ask(f"cspine why {ASKED}", [*cspine, "why", ASKED])
    ask("cspine status", [*cspine, "status"])
    ask("cspine status --plan", [*cspine, "status", "--plan"])
    ask("cspine gc --dry-run", [*cspine, "gc", "--dry-run"])
    return found


def in_checkout(folder: Path) -> None:
    """Work in ``folder`` from now on, as a person in a terminal there would."""
    os.chdir(folder)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

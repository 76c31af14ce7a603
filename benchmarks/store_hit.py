"""CPU time of looking a finished result up, over that of an interpreter that does nothing. The limit is 0.15 s."""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
from functools import partial

from measuring import finished_run, in_turns, shown, spent

from smoke_projects import Project

LIMIT = 0.15  # seconds of CPU
RESULTS = {
    "assign_folds": "results/folds.parquet",
    "inventory": "results/inventory/train.csv",
    "train": "results/semi_supervised/fold-0/round-1/model.safetensors",
}


def command_of(project: Project, result: str) -> list[str]:
    """The command that made a result, from the log in the store."""
    log = ((project.folder / result).resolve().parent / "log.txt").read_text(encoding="utf-8")
    line = next(line for line in log.splitlines() if "python -m cspine" in line)
    return [sys.executable, *shlex.split(line[line.index("-m cspine") :])]


def cpu(command: list[str], project: Project) -> float:
    return spent(command, project.folder, PYTHONPATH="src").cpu


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    with finished_run() as project:
        commands = [[sys.executable, "-c", "pass"], *(command_of(project, result) for result in RESULTS.values())]
        bare, *found = in_turns(repeats, *(partial(cpu, command, project) for command in commands))
    print(f"\nCPU seconds, median of {repeats} and spread\n  a bare interpreter     {shown(bare, 3)}")
    over = {
        stage: [a - b for a, b in zip(values, bare, strict=True)] for stage, values in zip(RESULTS, found, strict=True)
    }
    for stage, values in over.items():
        print(f"  a hit of {stage:<14}{shown(values, 3)} more")
    return int(max(statistics.median(values) for values in over.values()) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())

"""A run that finds everything done, against Snakemake's own on the same graph of jobs that do nothing.

The second is made from the first: the same jobs, inputs, outputs and profile, each a rule that touches its outputs.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

from measuring import finished_run, in_turns, ratios, shown, spent

from smoke_projects import Project

JOB = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", re.MULTILINE)
RULE = """
rule {name}:
    input: {inputs}
    output: {outputs}
    shell: "touch {{output}}"
"""


def empty_rules(project: Project, target: str) -> str:
    """A Snakefile with one rule for each job of ``target``, which touches the job's outputs."""
    printed = project.run(target, "-n", "--forceall", "--quiet", "progress")
    rules: list[str] = []
    for number, (name, body) in enumerate(JOB.findall(printed)):
        fields = dict(line.strip().split(": ", 1) for line in body.splitlines() if ": " in line)
        inputs, outputs = (fields.get(kind, "").split(", ") if fields.get(kind) else [] for kind in ("input", "output"))
        quoted = [", ".join(repr(path) for path in paths) for paths in (inputs, outputs)]
        if name == target:
            rules.insert(0, f'\nrule {name}:\n    input: {quoted[0]}\n    shell: "cat {{input}} > /dev/null"\n')
        else:
            rules.append(RULE.format(name=f"{name}_{number}", inputs=quoted[0] or "[]", outputs=quoted[1]))
    return "".join(rules)


def beside(project: Project, target: str) -> Path:
    """A folder with the empty graph, run once."""
    folder = project.folder.parent / "empty"
    folder.mkdir()
    shutil.copytree(project.folder / "profiles", folder / "profiles")
    (folder / "Snakefile").write_text(empty_rules(project, target), encoding="utf-8")
    spent([sys.executable, "-m", "snakemake", "--cores", "2", target], folder)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats, target = parser.parse_args().repeats, "submission"
    with finished_run() as project:
        empty = beside(project, target)
        jobs = (empty / "Snakefile").read_text().count("\nrule ")
        own, bare = project.command(target), [sys.executable, "-m", "snakemake", "--cores", "2", target]
        spent(own, project.folder)  # both once more before the clock counts
        for kind in ("seconds", "cpu"):
            ours, theirs = in_turns(
                repeats,
                lambda kind=kind: getattr(spent(own, project.folder), kind),  # type: ignore[misc]
                lambda kind=kind: getattr(spent(bare, empty), kind),  # type: ignore[misc]
            )
            words = "seconds on the clock" if kind == "seconds" else "seconds of CPU"
            print(f"\na run with nothing to do, {jobs} jobs, {words}: median of {repeats} and spread")
            print(f"  cspine            {shown(ours)}\n  an empty graph    {shown(theirs)}")
            print(f"  ratio             {shown(ratios(ours, theirs))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The full set rehearsed without its pixels: every table stage, and the DAG of all methods with 64 shards.

Studies, slices, fractures, boxes and masks are as many as in the real training set; what pixels and networks would
give is made up. Aims: a table stage under 60 s and 4 GB, planning under 10 s, growth from a quarter at most linear.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import yaml
from full_planning import Asked, in_checkout, measure_planning
from full_stages import Measured, Rehearsal
from full_studies import Study, real_studies, write_raw_folder
from full_tables import StandIns
from measuring import ROOT

from cspine import planning
from cspine.planning import Job
from cspine.present import CommandLine
from smoke_projects import checkout

SECONDS, MEGABYTES = 60.0, 4_096.0  # a table stage's aims
TARGETS = ["submission", "compare", "report", "error_analysis", "pseudo_quality", "pseudo_pages", "localizers", "audit",
           "bundle", "views"]  # fmt: skip
FILES = ["presets/rsna.yaml", "rehearsal.yaml"]


def settings(shards: int, folds: int, rounds: int, inner: int) -> dict[str, object]:
    """Differences to presets/rsna.yaml: everything that a table stage can do, and no weights from the network."""
    return {
        "data": {"root": "data/rehearsal", "shards": shards},
        "folds": {"count": folds, "run": list(range(folds))},
        "localization": {"inner": inner},
        "methods": {
            "semi_supervised": {
                "rounds": rounds,
                "labels": {"assign": "localized"},
                "network": {"weights": "none", "trainable": "all"},
                "pseudo_labels": {"evidence": "both", "along_z": "run"},
            }
        },
        "report": {"comparison": True},
    }


def world(folder: Path, studies: list[Study], config: dict[str, object], files: bool = True) -> list[Job]:
    """A checkout with the raw folder of ``studies``, the working directory from now on; all jobs of its run."""
    checkout(folder)
    in_checkout(folder)
    write_raw_folder(Path("data/rehearsal"), studies, files)
    Path(FILES[1]).write_text(yaml.safe_dump(config), encoding="utf-8")
    line = CommandLine(Path(), Path(), ("config.yaml",), tuple(FILES), {}, tuple(TARGETS), "as the rehearsal has it")
    return planning.jobs_of(line)


def rehearse(share: float, config: dict[str, object], shards: int) -> list[Measured]:
    """Every table stage on ``share`` of the real set."""
    studies = real_studies(share)
    slices = sum(study.slices for study in studies if study.cohort == "train")
    with tempfile.TemporaryDirectory(prefix="cspine-rehearsal-") as folder:
        jobs = world(Path(folder) / "run", studies, config)
        print(f"\n{share:g} of the real set: {len(studies)} studies, {slices:,} training slices", flush=True)
        found = Rehearsal(jobs, StandIns(studies, shards), _show).run()
        in_checkout(ROOT)
    return found


def _show(one: Measured) -> None:
    over = one.seconds > SECONDS or one.peak_mb > MEGABYTES
    miss = "   ABOVE ITS AIM" if over else ""
    print(f"  {one.stage:<36}{one.seconds:8.1f} s{one.cpu:8.1f} s CPU{one.peak_mb:8.0f} MB{miss}", flush=True)


def _show_asked(one: Asked) -> None:
    miss = "   ABOVE ITS AIM" if one.most and one.seconds > one.most else ""
    print(f"  {one.name:<36}{one.seconds:8.1f} s{one.cpu:8.1f} s CPU{miss}", flush=True)


def compare(part: list[Measured], whole: list[Measured], factor: float) -> None:
    """Growth of CPU seconds and memory from ``part`` to ``whole``, which is ``factor`` times as much."""
    before = {one.stage: one for one in part}
    print(f"\ngrowth to {factor:g} times the studies ({factor:g} is linear): CPU seconds, memory")
    for one in whole:
        if one.stage in before:
            old = before[one.stage]
            print(f"  {one.stage:<36}{one.cpu / old.cpu:8.2f}{one.peak_mb / old.peak_mb:8.2f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the real set; a quarter of it is measured first")
    parser.add_argument("--only", choices=("stages", "planning"), help="one of the two parts")
    parser.add_argument("--whole-alone", action="store_true", help="without the quarter, hence without growth")
    given = parser.parse_args()
    shards, config = 64, settings(shards=64, folds=5, rounds=3, inner=5)
    if given.only != "stages":
        studies = real_studies(given.share)
        with tempfile.TemporaryDirectory(prefix="cspine-rehearsal-") as folder:
            jobs = world(Path(folder) / "run", studies, config, files=False)
            print(f"planning: {len(jobs)} jobs, {shards} shards, all methods, 5 folds, 3 rounds", flush=True)
            measure_planning(jobs, TARGETS, ["--configfile", *FILES], _show_asked)
            in_checkout(ROOT)
    if given.only != "planning":
        part = [] if given.whole_alone else rehearse(given.share / 4, config, shards)
        whole = rehearse(given.share, config, shards)
        if part:
            compare(part, whole, 4)
    return 0


if __name__ == "__main__":
    sys.exit(main())

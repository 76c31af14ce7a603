"""Where a table comes from: commit, machine, versions and time, as lines of Markdown to put under it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from cspine import store
from cspine.amounts import pairs_of
from cspine.store import receipts

LEAST_SECONDS = 3.0  #: of a stage that is named
SHOWN = ("python", "torch", "timm", "monai", "albumentations", "numpy")


def main() -> int:
    """Print what the results of this folder were made by and on; how long each stage took, all segments added up."""
    folders = {folder for _, folder in receipts.outputs(Path("results"))}
    records = [done for folder in sorted(folders) if (done := store.read_done(folder))]
    for line in provenance(records):
        print(line)
    return 0


def provenance(records: Iterable[dict[str, Any]]) -> list[str]:
    """Markdown lines from finished stages' records (done.json)."""
    records = list(records)
    seconds: dict[str, float] = defaultdict(float)
    versions: dict[str, set[str]] = defaultdict(set)
    devices: set[str] = set()
    for done in records:
        seconds[done["stage"]] += done["costs"]["seconds"]
        if "torch" in done["versions"]:
            devices.add(done["device"])
        for name in SHOWN:
            versions[name] |= {done["versions"][name]} if name in done["versions"] else set()
    spent = ", ".join(
        f"{stage} {_minutes(s)}"
        for stage, s in sorted(seconds.items(), key=lambda pair: -pair[1])
        if s >= LEAST_SECONDS
    )
    return [
        f"- commit: {_commit()}",
        f"- machine: {_processor()}, {os.cpu_count()} cores; networks on: {', '.join(sorted(devices)) or 'none'}",
        "- versions: "
        + ", ".join(f"{name} {' and '.join(sorted(versions[name]))}" for name in SHOWN if versions[name]),
        f"- minutes by stage: {spent}; {_minutes(sum(seconds.values()))} in all",
        *_of_localizers(records),
    ]


def _of_localizers(records: list[dict[str, Any]]) -> list[str]:
    """What each localizer took: to train all its inner models, and for one of them to predict a study."""
    training: dict[str, float] = defaultdict(float)
    predicting: dict[str, float] = defaultdict(float)
    studies: dict[str, int] = defaultdict(int)
    for done in records:
        name = pairs_of(done.get("at", "")).get("localizer", "")
        if done["stage"] == "train" and name:
            training[name] += done["costs"]["seconds"]
        if done["stage"] == "predict_localizer":
            predicting[name] += done["costs"]["seconds"]
            studies[name] += sum(pq.read_metadata(path).num_rows for path in done["places"]["studies"])
    return [
        f"- localizer {name}: {training[name]:.0f} s of training, "
        f"{predicting[name] / max(studies[name], 1):.2f} s a study and model, start of the process included"
        for name in sorted(predicting)
    ]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"


def _commit() -> str:
    """The checkout's commit, and whether it was changed since; "unknown" outside a checkout."""
    try:
        here = Path(__file__).parent
        call = ["git", "-C", str(here), "describe", "--always", "--dirty= with changes", "--exclude=*", "--abbrev=12"]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown (not a git checkout)"


def _processor() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()

"""Seconds a study by step, and with reading and network overlapped, of `cspine predict` on the CPU; memory over many.

Studies are 300 slices of 512 x 512 pixels, in the system's page cache. Networks are untrained, which costs the same:
the demo's, at its view, and EfficientNetV2-S as in presets/rsna.yaml. Each study has one picture.

*Steps* are CPU seconds in one process, taken in turns. *Overlapped* is the wall clock between two studies in the middle
of a run, as `cspine predict` runs: worker processes read while the main process computes. It stands beside 5.26 s, what
a public solution with a DenseNet-121 at 150 x 150 pixels reports for a patient. Memory is the peak of the main process
and of its workers after 25 studies and after 100. A figure beyond its limit ends the benchmark with exit status 1.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measuring import Floors, ratios, shown, warmed
from noisy_slices import SYNTAXES, write_slices
from random_bundles import write_bundle
from single_steps import Steps
from watched_sessions import linked, quiet, watched

from cspine.allocator import keep_memory
from cspine.bundles.manifest import Bundle
from cspine.crew import AT_HAND
from cspine.prediction.ensemble import Ensemble
from cspine.studies import LABELS

SLICES = 300
PUBLIC = 5.261  # seconds a patient
LARGE = "tf_efficientnetv2_s"
LARGE_SLICES = 32  # of a study, measured; the others cost the same
DEMO = "test_efficientnet"
AIM, FLOOR = 10.0, 2.0  # times as fast as PUBLIC; the floor holds on a busy machine
WORKERS = (1, 2)
COUNTED = 8  # studies of an overlapped run that are timed
GROWTH = 1.05  # largest that memory may grow between so many studies
FEW, MANY = 25, 100


def cpu_seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def steps(bundle: Bundle, study: Path, out: Path, repeats: int) -> None:
    """Print what each step of one study costs."""
    one = Steps(bundle, study, out)
    named = {
        "the bytes, out of the page cache": one.bytes,
        "bytes, headers, order, decoding": one.decode,
        "window and size": one.window,
        "network": one.network,
        "study's answer, kept on disk": one.answer,
        "a picture": one.picture,
        "all of these, one after the other": one.all,
    }
    found = warmed(repeats, *[lambda work=work: cpu_seconds(work) for work in named.values()])
    for name, values in zip(named, found, strict=True):
        print(f"  {name:<58} {shown(values, 3)}", flush=True)


def overlapped(bundle: Bundle, study: Path, folder: Path, repeats: int, floors: Floors) -> None:
    """Print and judge the seconds a study of whole runs."""
    linked(study, folder, COUNTED + 1 + AT_HAND * max(WORKERS))

    def seconds_each(workers: int) -> float:  # of the last ones: the first were read while torch was imported
        ended, _ = watched(bundle.folder, folder, workers)
        return (ended[-1] - ended[-1 - COUNTED]) / COUNTED

    rounds = [[seconds_each(workers) for workers in WORKERS] for _ in range(repeats)]
    for workers, seconds in zip(WORKERS, zip(*rounds, strict=True), strict=True):
        print(f"  {f'overlapped, {workers} reading':<58} {shown(seconds, 3)}")
        times = [PUBLIC / value for value in seconds]
        reached = "reached" if statistics.median(times) >= AIM else "missed"
        floors.judge(f"{PUBLIC} s / overlapped, {workers} reading (aim {AIM:g}: {reached})", times, FLOOR)


def large(bundle: Bundle, repeats: int) -> None:
    """Print what a study costs the large network: by some of its slices, and by one map of evidence."""
    with quiet():
        ensemble, side = Ensemble(bundle, "cpu"), bundle.form.pixels
    pixels = np.random.default_rng(0).integers(0, 256, (LARGE_SLICES, side, side), np.uint8)

    def wall(work: Callable[[], object]) -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    def slices() -> float:
        return wall(lambda: ensemble.predict(pixels)) * SLICES / LARGE_SLICES

    found = warmed(repeats, slices, lambda: wall(lambda: ensemble.evidence(pixels, 0, "C4")))
    print(f"\n{LARGE}, {side} pixels, {ensemble.threads} threads: seconds on the clock; reading is done meanwhile")
    print(f"  {f'network, {SLICES} slices (from {LARGE_SLICES})':<58} {shown(found[0], 1)}")
    print(f"  {'evidence of one picture':<58} {shown(found[1], 1)}")
    print(f"  {f'{PUBLIC} s / network':<58} {shown(ratios([PUBLIC] * repeats, found[0]))}", flush=True)


def start(bundle: Bundle, study: Path, folder: Path, repeats: int) -> None:
    """Print how long the command itself takes to its first submission, and to the end of a single study."""
    linked(study, folder, 1)
    sample = folder / "sample.csv"
    sample.write_text("\n".join(["row_id", *(f"study-0_{label}" for label in LABELS)]) + "\n", encoding="ascii")
    taken = [started(bundle, folder, sample, number) for number in range(repeats + 1)]
    first, whole = zip(*taken[1:], strict=True)
    print("\nthe command: seconds on the clock")
    print(f"  {'to the first submission, of priors':<58} {shown(first)}")
    print(f"  {'for a single study, which waits for torch and timm':<58} {shown(whole)}", flush=True)


def started(bundle: Bundle, folder: Path, sample: Path, number: int) -> tuple[float, float]:
    out = folder.with_name(f"{folder.name}-out-{number}")
    command: list[str | Path] = [sys.executable, "-m", "cspine", "predict", folder, "--bundle", bundle.folder]
    command += ["--out", out, "--sample", sample, "--device", "cpu"]
    begun, first = time.perf_counter(), 0.0
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if not first and (out / "submission.csv").exists():
                first = time.perf_counter() - begun
            time.sleep(0.005)
    assert process.returncode == 0, command
    return first, time.perf_counter() - begun


def memory(bundle: Bundle, study: Path, folder: Path, floors: Floors) -> None:
    """Judge that no process is larger after MANY studies than after FEW."""
    if not Path("/proc/self/status").is_file():
        print("\nmemory: not measured, this system has no /proc")
        return
    linked(study, folder, MANY)
    _, (few, many) = watched(bundle.folder, folder, max(WORKERS), (FEW, MANY))
    print(f"\nmemory, {max(WORKERS)} reading, MB at most after {FEW} and after {MANY} studies")
    for name in few:
        print(f"  {name:<58} {few[name]:.0f}, {many[name]:.0f}")
        floors.judge(f"{name}, then / later (floor: 5 % more)", [few[name] / many[name]], 1 / GROWTH)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `cspine predict` sets it
    keep_memory()  # as the workers that read have it
    floors = Floors()
    print(f"{len(os.sched_getaffinity(0))} cores; medians of {repeats} rounds (least to most)", flush=True)
    with tempfile.TemporaryDirectory(prefix="cspine-benchmark-") as name:
        folder = Path(name)
        demo = write_bundle(folder / DEMO, DEMO)
        for syntax, uid in SYNTAXES.items():
            study = folder / f"study {syntax}"
            write_slices(study, SLICES, uid)
            print(f"\n{syntax}, {SLICES} slices of 512 x 512, {DEMO}: CPU seconds a study")
            steps(demo, study, folder / f"steps {syntax}", repeats)
            print(f"{syntax}: seconds a study on the clock")
            overlapped(demo, study, folder / f"runs {syntax}", repeats, floors)
        memory(demo, folder / "study uncompressed", folder / "many", floors)
        start(demo, folder / "study uncompressed", folder / "started", repeats)
        large(write_bundle(folder / LARGE, LARGE), repeats)
    return int(floors.failed)


if __name__ == "__main__":
    sys.exit(main())

"""One shard read on one core and on two: how much sooner two are done, and how much memory the stage takes.

*One core* is the whole stage with one worker, held on one core; *two* is the stage with two workers, free. On a machine
that does other work two cores are not to be had, so the gain is printed and not judged; beside it stands the CPU time
of the stage over its wall time, how many cores it got. Memory is the largest that the stage and its workers held
together, with a number of studies and with four times as many: that may not grow. Takes four minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from measuring import in_turns, ratios, shown
from noisy_slices import study_name, write_slices

from cspine.cache.encodings import Encoding
from cspine.stages.ingest import IngestConfig, ingest
from dicom_makers import EXPLICIT, JPEG_LOSSLESS, write_csv

SLICES = 60
EXPECTED = 1.7
GROWTH = 1.15  # largest that memory may grow when there are four times as many studies


@dataclass(frozen=True)
class Run:
    """What one ingest of a shard cost."""

    seconds: float
    cores: float  # CPU time of the stage and its workers over the wall time


class Memory:
    """The most that this process and those below it hold at once, looked at ten times a second."""

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._ended = threading.Event()

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield
        finally:
            self._ended.set()
            watcher.join()

    def _watch(self) -> None:
        here = psutil.Process()
        while not self._ended.wait(0.1):
            held = 0
            for process in [here, *here.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    held += process.memory_info().rss
            self.peak_mb = max(self.peak_mb, held / 1e6)


def write_shard_of(root: Path, studies: int, syntax: str) -> Path:
    """A raw folder of so many studies, each the same slices under another name; returns it."""
    images = root / "train_images"
    first = images / study_name(0)
    write_slices(first, SLICES, syntax)
    for study in range(1, studies):
        (images / study_name(study)).mkdir()
        for path in first.iterdir():
            os.link(path, images / study_name(study) / path.name)
    rows = [
        {"StudyInstanceUID": path.parent.name, "file": path.name, "size": path.stat().st_size, "digest": ""}
        for path in sorted(images.rglob("*.dcm"))
    ]
    write_csv(root / "shard.csv", ("StudyInstanceUID", "file", "size", "digest"), rows)
    Encoding(256, "zstd-delta").write(root / "form.json")
    return root


def run(root: Path, workers: int, cores: int = 2) -> Run:
    """The stage as the workflow calls it, on so many cores."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(everywhere)[-cores:]))  # workers inherit it
    os.environ["CSPINE_WORKERS"] = str(workers)
    try:
        with tempfile.TemporaryDirectory(prefix="cspine-benchmark-") as folder:
            begun, spent = time.perf_counter(), cpu()
            ingest(
                root,
                root / "shard.csv",
                root / "form.json",
                *(Path(folder) / f"{name}.parquet" for name in ("shard", "studies", "findings")),
                config=IngestConfig(),
            )
            seconds = time.perf_counter() - begun
            return Run(seconds, (cpu() - spent) / seconds)
    finally:
        os.sched_setaffinity(0, everywhere)


def cpu() -> float:
    """CPU seconds of this process and of all that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def gain(name: str, root: Path, count: int, repeats: int) -> None:
    """Print how much sooner a shard of so many slices is done on two cores."""
    found: list[list[Run]] = [[], []]

    def timed(which: int) -> float:
        found[which].append(run(root, which + 1, which + 1))
        return found[which][-1].seconds

    one, two = in_turns(repeats, lambda: timed(0), lambda: timed(1))
    print(f"\n{name}, {count} slices, slices per second")
    for what, seconds, runs in zip(("one core", "two cores"), (one, two), found, strict=True):
        busy = statistics.median(r.cores for r in runs)
        print(f"  {what:<58} {shown([count / s for s in seconds], 0)}, {busy:.2f} cores busy")
    print(f"  {'two cores / one core':<58} {shown(ratios(one, two))}, expected {EXPECTED:g} of idle cores", flush=True)


def peak(root: Path) -> float:
    """The most memory that two workers take, MB."""
    memory = Memory()
    with memory.watched():
        run(root, 2)
    return memory.peak_mb


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--studies", type=int, default=48, help="of the smaller shards; 48 are 400 MB or more")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cspine-benchmark-") as folder:
        many = write_shard_of(Path(folder) / "many", 4 * given.studies, EXPLICIT)
        gain("uncompressed", many, 4 * given.studies * SLICES, given.repeats)
        lossless = write_shard_of(Path(folder) / "lossless", given.studies, JPEG_LOSSLESS)
        gain("JPEG Lossless", lossless, given.studies * SLICES, given.repeats)
        few = write_shard_of(Path(folder) / "few", given.studies, EXPLICIT)
        small, large = in_turns(3, lambda: peak(few), lambda: peak(many))
    print("\npeak memory with two workers, MB")
    for studies, values in ((given.studies, small), (4 * given.studies, large)):
        print(f"  {f'{studies} studies':<58} {shown(values, 0)}")
    growth = statistics.median(large) / statistics.median(small)
    print(f"  {'grows by':<58} {growth:.2f}, at most {GROWTH:g}{'   ABOVE' if growth > GROWTH else ''}")
    sys.exit(int(growth > GROWTH))


if __name__ == "__main__":
    main()

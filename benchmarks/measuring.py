"""What the benchmarks share: a finished smoke run to measure, repeats taken in turns, and medians with their spread."""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from smoke_projects import Project, checkout, clean  # noqa: E402


@dataclass(frozen=True)
class Spent:
    """What one run of a command cost."""

    seconds: float  # on the clock
    cpu: float  # of the process and all that it waited for


@contextlib.contextmanager
def finished_run() -> Iterator[Project]:
    """A checkout in a temporary folder in which the smoke run has ended."""
    with tempfile.TemporaryDirectory(prefix="cspine-benchmark-") as folder:
        project = checkout(Path(folder) / "run")
        print("making a finished run to measure ...", flush=True)
        project.run("submission")
        yield project


def spent(command: Sequence[str], folder: Path, **environment: str) -> Spent:
    """Run a command in ``folder`` without its output; it must succeed."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        begun = time.perf_counter()
        pid = os.posix_spawn(
            "/bin/sh",
            ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(folder), *command],
            clean(environment),
            file_actions=[(os.POSIX_SPAWN_DUP2, nowhere.fileno(), stream) for stream in (1, 2)],
        )
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - begun
    assert status == 0, f"{command} ended with {os.waitstatus_to_exitcode(status)}"
    return Spent(seconds, usage.ru_utime + usage.ru_stime)


def in_turns(repeats: int, *measured: Callable[[], float]) -> list[list[float]]:
    """Each measured so many times, one after the other in turns, so that a busy machine troubles all of them alike."""
    rounds = [[measure() for measure in measured] for _ in range(repeats)]
    return [list(column) for column in zip(*rounds, strict=True)]


def warmed(repeats: int, *measured: Callable[[], float]) -> list[list[float]]:
    """The same after a round that does not count."""
    return [values[1:] for values in in_turns(repeats + 1, *measured)]


def pinned() -> None:
    """This process on one core, where the system can; libraries that start threads of their own on one thread."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import cv2

    cv2.setNumThreads(1)


def rate(count: int, work: Callable[[], object]) -> float:
    """How many of ``count`` things that ``work`` does are done in a second."""
    begun = time.perf_counter()
    work()
    return count / (time.perf_counter() - begun)


def cpu_rate(count: int, work: Callable[[], object]) -> float:
    """How many of ``count`` things that ``work`` does are done in a second of this process's CPU time."""
    begun = time.process_time()
    work()
    return count / (time.process_time() - begun)


@dataclass
class Floors:
    """Ratios, each with the least it may be; ``failed`` when one is below."""

    failed: bool = False

    def judge(self, name: str, values: Sequence[float], floor: float) -> None:
        """Print the median of ``values`` beside ``floor``."""
        low = statistics.median(values) < floor
        self.failed |= low
        print(f"  {name:<58} {shown(values)}, floor {floor:g}{'   BELOW THE FLOOR' if low else ''}", flush=True)


def allocator() -> str:
    """The settings of the C library's allocator in force, which move what makes large temporary arrays."""
    given = {name: value for name, value in os.environ.items() if name.startswith("MALLOC_")}
    return " ".join(f"{name}={value}" for name, value in given.items()) or "as the system has it"


def shown(values: Sequence[float], digits: int = 2) -> str:
    """The median, and between which values it lies."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Of the pairs that were measured one after the other."""
    return [a / b for a, b in zip(above, below, strict=True)]

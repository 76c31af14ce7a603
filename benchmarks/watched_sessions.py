"""Sessions of `cspine predict` watched from within: when each study was done, and how large the processes have been.

Run as a program of its own, so that the session and its workers import no more than they do in `cspine predict`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from cspine.bundles.manifest import read_bundle
from cspine.prediction.answers import Options
from cspine.prediction.inputs import studies_at
from cspine.prediction.results import StudyResult
from cspine.prediction.session import Session

Peaks = dict[str, float]


@dataclass
class Watched(Session):
    """A session that looks at the clock, and at chosen studies at memory, whenever an answer is there."""

    looks: tuple[int, ...] = ()
    ended: list[float] = field(default_factory=list)
    peaks: list[Peaks] = field(default_factory=list)

    def _take(self, result: StudyResult) -> None:
        super()._take(result)
        assert not result.reason, result.detail
        self.ended.append(time.perf_counter())
        if len(self.ended) in self.looks:
            self.peaks.append(peaks_mb())


def watched(bundle: Path, studies: Path, workers: int, looks: tuple[int, ...] = ()) -> tuple[list[float], list[Peaks]]:
    """Predict a folder of studies in a new process: when each was done, and the peaks after so many of them."""
    command = [sys.executable, __file__, str(bundle), str(studies), str(workers), *map(str, looks)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    ended, peaks = json.loads(answer)
    return ended, peaks


def linked(study: Path, folder: Path, many: int) -> None:
    """A folder of so many studies of the same files."""
    folder.mkdir()
    for number in range(many):
        (folder / f"study-{number}").symlink_to(study, target_is_directory=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the lines for the person, who reads a table here."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def peaks_mb() -> Peaks:
    """The most that this process, and the largest of its workers, have held since they began."""
    children = psutil.Process().children()
    workers = [peak_mb(child.pid) for child in children if "spawn_main" in " ".join(child.cmdline())]
    return {"main process": peak_mb(os.getpid()), "workers": max(workers)}


def peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("studies", type=Path)
    parser.add_argument("workers", type=int)
    parser.add_argument("looks", type=int, nargs="*", help="look at memory after so many studies")
    given = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `cspine predict` sets it
    out, options = Path(f"{given.studies}-out"), Options("cpu", workers=given.workers)
    bundle, studies = read_bundle(given.bundle), studies_at(given.studies)
    session = Watched(bundle, studies, out, None, options, looks=tuple(given.looks))
    with quiet():
        assert session.run() == ""
    print(json.dumps([session.ended, session.peaks]))


if __name__ == "__main__":
    main()

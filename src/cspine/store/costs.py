"""What a stage has cost so far, over all its segments: seconds, CPU seconds and peak memory, kill -9 included."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

from cspine.runtime import host

SECONDS_BETWEEN_RECORDS = 5.0


class Meter:
    """Records this segment into ``folder/segments/`` every few seconds, so that a killed one counts too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "segments"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / f"{len(list(self.folder.glob('*.json'))):04d}.json"
        self.start = time.time()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Meter:
        self._write()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._write()

    def segments(self) -> list[dict[str, Any]]:
        """All segments so far, oldest first; a torn record is left out."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                found.append(json.loads(path.read_text(encoding="utf-8")))
            except json.JSONDecodeError:
                continue
        return found

    def total(self) -> dict[str, float]:
        """Seconds and CPU seconds added up, peak memory (MB) as the largest."""
        self._write()
        segments = self.segments()
        return {
            "seconds": round(sum(s["seconds"] for s in segments), 2),
            "cpu_seconds": round(sum(s["cpu_seconds"] for s in segments), 2),
            "peak_mb": max((s["peak_mb"] for s in segments), default=0.0),
        }

    def _watch(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_RECORDS):
            self._write()

    def _write(self) -> None:
        record = {
            "host": host(),
            "start": round(self.start, 1),
            "seconds": round(time.time() - self.start, 2),
            **spent(),
        }
        with contextlib.suppress(OSError):  # a full disk: the stage has more important things to write
            self.path.write_text(json.dumps(record), encoding="utf-8")


def spent() -> dict[str, float]:
    """CPU seconds of this process and of those it waited for, and the largest memory (MB) that one of them held."""
    own, children = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss: bytes on macOS, kB on Linux (getrusage(2))
    return {
        "cpu_seconds": round(own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime, 2),
        "peak_mb": round(max(own.ru_maxrss, children.ru_maxrss) / unit, 1),
    }


def spent_by_workers() -> float:
    """CPU seconds of worker processes that are still at work, which nobody has waited for; 0 where /proc has none."""
    return sum(_seconds_of(child) for child in _children(os.getpid()))


def _children(pid: int) -> list[int]:
    """Of a process, and theirs (proc(5): /proc/<pid>/task/<tid>/children)."""
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, listed.read_text(encoding="ascii").split())
    return [*found, *(grandchild for child in found for grandchild in _children(child))]


def _seconds_of(pid: int) -> float:
    try:  # proc(5): fields 14 and 15, in ticks; the name in field 2 may hold blanks
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0

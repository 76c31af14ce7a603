"""A checkout of one's own with a finished smoke run in it: made once per test session, copied for every user of it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import forks
from cspine import project_files
from forks import ENOUGH_SECONDS as ENOUGH_SECONDS

ROOT = Path(__file__).parent.parent
PARTS = (*project_files.PARTS, "src")


class Project:
    """A checkout of one's own with a smoke run in it."""

    def __init__(self, folder: Path, printed: str = "") -> None:
        self.folder, self.printed = folder, printed

    def run(self, *arguments: str, ok: bool = True, **environment: str) -> str:
        """``snakemake --cores 2 … --configfile presets/smoke.yaml``; returns what it printed."""
        if code_of(self.folder) == code_of(ROOT):
            done = forks.run("snakemake", self.words(*arguments), self.folder, clean(environment))
        else:
            done = subprocess.run(
                self.command(*arguments), cwd=self.folder, env=clean(environment), capture_output=True, text=True,
                timeout=ENOUGH_SECONDS,
            )  # fmt: skip
        printed = done.stdout + done.stderr
        assert (done.returncode == 0) == ok, printed[-6000:]
        return printed

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", *self.words(*arguments)]

    def words(self, *arguments: str) -> list[str]:
        """What follows ``snakemake`` on its command line."""
        settings = [] if "--configfile" in arguments else ["--configfile", "presets/smoke.yaml"]
        return ["--cores", "2", *(arguments or ["submission"]), *settings]

    def segments(self) -> dict[str, int]:
        """Store folder -> how many times a stage ran in it."""
        return {
            str(folder.relative_to(self.folder / "work")): len(list((folder / "segments").glob("*.json")))
            for folder in (self.folder / "work").glob("*/*")
        }

    def executed(self, before: dict[str, int]) -> set[str]:
        """Stages that ran since ``before``: store misses, not store hits."""
        return {path.split("/")[0] for path, count in self.segments().items() if count > before.get(path, 0)}

    def table(self, path: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / path)

    def read(self, path: str) -> bytes:
        return (self.folder / path).read_bytes()

    def forget(self) -> None:
        shutil.rmtree(self.folder / ".snakemake")


def code_of(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of every module of a checkout; a copy of it has the same."""
    stats = {path.relative_to(folder): path.stat() for path in (folder / "src").rglob("*.py")}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def clean(more: dict[str, str]) -> dict[str, str]:
    """The environment of a new terminal: nothing of this test's own run."""
    own = ("CSPINE_", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "MAKE", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**kept, **more}


def checkout(folder: Path) -> Project:
    """The parts of the repository that a run needs, copied to ``folder``; nothing has run there."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, folder / part)
    return Project(folder)


def smoke_project(factory: pytest.TempPathFactory, name: str) -> Project:
    """A copy of the session's one finished smoke run, with what that run printed."""
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "smoke"
    shared.mkdir(exist_ok=True)
    printed = shared / "printed.txt"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test workers: one makes it, the others wait
        if not printed.exists():
            shutil.rmtree(shared / "run", ignore_errors=True)
            printed.write_text(checkout(shared / "run").run(), encoding="utf-8")
    folder = factory.mktemp(name) / "run"
    shutil.copytree(shared / "run", folder, symlinks=True)
    return Project(folder, printed.read_text(encoding="utf-8"))

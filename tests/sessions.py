"""Sessions of a user: folders with a store each, in which one cheap stage (assign_folds) runs in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cspine.cli import main
from cspine.hashing import file_digest
from cspine.store import roots
from cspine.tables import write_table

CONFIG = {"count": 5, "select": 0.2, "seed": 7}
FOLDS = Path("results/folds.parquet")

Look = dict[str, tuple[str, int, int, str]]


class Session:
    """A folder of one's own with results/studies.parquet in it; entering it makes it the current folder."""

    def __init__(self, folder: Path, studies: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = folder, monkeypatch
        folder.mkdir()
        self.enter()
        write_table(studies, Path("results/studies.parquet"))

    def enter(self, resume_from: list[Path] | None = None, copy_mb: float = 64) -> Session:
        """Go there as the workflow would: with the places of ``resume_from`` in the environment."""
        self._patch.chdir(self.folder)
        places = roots.places_of([str(path) for path in resume_from or []], self.folder)
        self._patch.setenv(roots.VARIABLE, json.dumps(places))
        self._patch.setenv(roots.COPY_MB, str(copy_mb))
        return self

    def run(self, **config: object) -> Path:
        """The store folder of assign_folds, found or made; as the rule does, results/folds.parquet leads to it."""
        block = json.dumps({**CONFIG, **config})
        call = ["assign_folds", "--studies", "results/studies.parquet", "--folds", str(FOLDS), "--config", block]
        assert main(call) == 0
        return made(FOLDS)


Start = Callable[[str], Session]  # start("s1"): a new session in a folder of that name


def made(output: Path) -> Path:
    """The store folder that a declared output leads to, one link far."""
    return Path(os.path.normpath(output.parent / output.readlink())).parent


def ran(folder: Path) -> int:
    """How often a stage ran in a store folder."""
    return len(list((folder / "segments").glob("*.json")))


def look(folder: Path) -> Look:
    """Everything below a folder: kind, size, modification time and digest by path, links and folders included."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        stat = path.lstat()
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file"
        digest = os.readlink(path) if kind == "link" else file_digest(path) if kind == "file" else ""  # noqa: PTH115
        found[str(path)] = (kind, stat.st_size, stat.st_mtime_ns, digest)
    return found


def mount(folder: Path) -> Path:
    """Make a session's folder what a platform mounts for the next one: read-only, with other modification times."""
    for number, path in enumerate(sorted(folder.rglob("*"), reverse=True)):
        if not path.is_symlink():
            os.utime(path, (10**9 - number, 10**9 - number))
            path.chmod(0o555 if path.is_dir() else 0o444)
    folder.chmod(0o555)
    return folder

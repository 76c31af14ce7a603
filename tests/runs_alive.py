"""Runs of the workflow that are looked at, stopped and killed while they are alive."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from smoke_projects import ENOUGH_SECONDS, Project, clean


def until(fact: Callable[[], bool], what: str) -> None:
    """Wait for a fact, with a generous end so that a hang ends."""
    end = time.monotonic() + ENOUGH_SECONDS
    while not fact():
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.05)


class Run:
    """One ``snakemake`` on its way, in a session of its own; what it and its jobs print goes to a file."""

    def __init__(self, project: Project, *arguments: str, **environment: str) -> None:
        self.project = project
        self.output = project.folder.parent / f"printed-{time.monotonic_ns()}.txt"
        with self.output.open("w") as stream:
            self.process = subprocess.Popen(
                project.command(*arguments), cwd=project.folder, env=clean(environment),
                start_new_session=True, stdout=stream, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def printed(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def until_printed(self, words: str) -> None:
        until(lambda: words in self.printed() or self.process.poll() is not None, words)
        assert words in self.printed(), self.printed()[-6000:]

    def end(self) -> int:
        """Wait for its end; the exit status."""
        return self.process.wait(ENOUGH_SECONDS)

    def kill_alone(self) -> None:
        """SIGKILL for snakemake, its jobs live on."""
        self.process.kill()
        self.process.wait()

    def kill_group(self) -> None:
        """SIGKILL for snakemake and all its jobs."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def state(pid: int) -> str:
    """The state of a process in one letter of ps: T = stopped, "" = gone."""
    found = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True)
    return found.stdout.strip()[:1]


def holder(folder: Path) -> int | None:
    """The id in a store folder's lock file: who holds it, or held it last."""
    words = (folder / "lock").read_text().split() if (folder / "lock").exists() else []
    return int(words[1]) if words[:1] == ["process"] else None

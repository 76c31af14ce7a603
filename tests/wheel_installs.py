"""The project's wheel, and a Python in which nothing else of cspine is installed: made once per test session."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from cspine.wheels import build_wheel
from smoke_projects import ENOUGH_SECONDS, ROOT, clean

BLOCKED = "no network in this test"
SITECUSTOMIZE = f'''\
"""Refuses whatever would leave this machine; inherited by every Python process through PYTHONPATH."""
import ipaddress
import sys


def here(host):
    try:
        return host in (None, "", b"", "localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        left = isinstance(address, tuple) and not here(address[0])
    else:
        left = event in ("socket.getaddrinfo", "socket.gethostbyname") and not here(arguments[0])
    if left:
        raise PermissionError("{BLOCKED}")


sys.addaudithook(refuse)
'''


@dataclass(frozen=True)
class Installed:
    """A Python with the wheel in it. Of this test's environment it sees the libraries, not the editable cspine."""

    wheel: Path
    python: Path
    blocker: Path  # a folder for PYTHONPATH, with which no process reaches another machine

    def environment(self, **more: str) -> dict[str, str]:
        """A new terminal's, without network."""
        return clean({"PYTHONPATH": str(self.blocker), "PYTHONDONTWRITEBYTECODE": "1", **more})

    def run(self, *words: str | Path, cwd: Path | None = None, ok: bool = True, **environment: str) -> str:
        """``python words ...``; returns what it printed."""
        done = subprocess.run(
            [self.python, *words], cwd=cwd or self.blocker, env=self.environment(**environment),
            capture_output=True, text=True, timeout=ENOUGH_SECONDS,
        )  # fmt: skip
        printed = done.stdout + done.stderr
        assert (done.returncode == 0) == ok, printed[-6000:]
        return printed


def installed(factory: pytest.TempPathFactory) -> Installed:
    """The one of this test session."""
    base = factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "installed"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test workers: one makes it, the others wait
        if not (place / "ready").exists():
            _make(place)
            (place / "ready").touch()
    (wheel,) = (place / "dist").glob("*.whl")
    return Installed(wheel, place / "venv/bin/python", place / "blocker")


def _make(place: Path) -> None:
    wheel = build_wheel(ROOT, place / "dist")
    python = fresh_python(place / "venv")
    (place / "blocker").mkdir()
    (place / "blocker/sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
    Installed(wheel, python, place / "blocker").run(
        "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--force-reinstall", wheel
    )


def fresh_python(folder: Path, libraries: bool = True) -> Path:
    """A virtual environment, and its Python; with this test's libraries or with pip alone."""
    pip = ["--without-pip"] if libraries and find_spec("pip") else []  # four seconds for what is in the libraries
    subprocess.run([sys.executable, "-m", "venv", *pip, folder], check=True, timeout=ENOUGH_SECONDS)
    if libraries:
        (site,) = folder.glob("lib/python*/site-packages")
        # A folder named in a .pth file is searched, but .pth files in it (the editable cspine's) do nothing.
        (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin/python"

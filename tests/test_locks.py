"""One process per folder, also where the file system has no locks; whoever dies lets go."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cspine.errors import CspineError
from cspine.store import locks
from cspine.store.locks import holder, locked

HOLD = """
import sys, fcntl, errno
from pathlib import Path
from cspine.store.locks import locked
if sys.argv[2] == "owner-file":
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")
    fcntl.flock = flock
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

Hold = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture(params=["flock", "owner-file"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of locking; the second as on a file system whose flock fails."""
    if request.param == "owner-file":
        monkeypatch.setattr(fcntl, "flock", no_flock)
    return str(request.param)


def no_flock(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.fixture
def hold(workplace: Path, kind: str) -> Hold:
    """Start another process that holds work/train/abc."""

    def start() -> subprocess.Popen[str]:
        other = subprocess.Popen(
            [sys.executable, "-c", HOLD, "work/train/abc", kind],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        return other

    return start


def owned(monkeypatch: pytest.MonkeyPatch, content: str) -> tuple[Path, Path]:
    """A folder on a file system without flock, and the owner file that somebody left in it."""
    monkeypatch.setattr(fcntl, "flock", no_flock)
    owner = Path("work/train/abc/owner.json")
    owner.parent.mkdir(parents=True)
    owner.write_text(content)
    return owner.parent, owner


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_held_folder_is_not_entered_and_its_owner_is_named(hold: Hold) -> None:
    other = hold()
    folder = Path("work/train/abc")
    words = f"process {other.pid} on {socket.gethostname()}"
    assert holder(folder) == words
    with pytest.raises(CspineError, match=f"in use by {words}"), locked(folder, patience=0):
        pass
    end(other)


def test_a_killed_owner_lets_go_at_once(hold: Hold) -> None:
    other = hold()
    other.send_signal(signal.SIGKILL)
    other.communicate()
    folder = Path("work/train/abc")
    assert holder(folder) is None
    with locked(folder, patience=30):
        assert holder(folder) is not None
    assert holder(folder) is None


def test_a_folder_that_was_never_locked_has_no_holder(workplace: Path) -> None:
    assert holder(Path("work/train/abc")) is None


def test_an_owner_on_another_host_is_believed_while_its_heart_beats(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, owner = owned(monkeypatch, json.dumps({"host": "elsewhere", "pid": 1, "start": "5"}))
    with pytest.raises(CspineError, match="process 1 on elsewhere"), locked(folder, patience=0):
        pass
    beat = owner.stat().st_mtime - locks.DEAD_AFTER_SECONDS - 1
    os.utime(owner, (beat, beat))
    with locked(folder, patience=30):
        assert json.loads(owner.read_text())["pid"] == os.getpid()
    assert not owner.exists() and not list(folder.glob("owner.json.*"))


def test_an_owner_file_cut_off_while_it_was_written_is_no_owner_for_ever(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, owner = owned(monkeypatch, "")
    old = owner.stat().st_mtime - locks.DEAD_AFTER_SECONDS - 1
    os.utime(owner, (old, old))
    with locked(folder, patience=30):
        pass


def test_a_disk_error_is_not_taken_for_a_missing_lock(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output"), locked(Path("work/train/abc")):
        pass

"""One process of cspine on a GPU: the launcher takes a free one before a stage imports torch.

A GPU is free when nobody holds the lock on its file, in one folder for all projects and users of this machine. The
kernel lets go of a lock when its process dies, however it dies. Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from cspine import pausing, runtime
from cspine.errors import CspineError
from cspine.gpus import VISIBLE, Device, choice
from cspine.progress import say

LOCKS = "CSPINE_GPU_LOCKS"  # another folder for the locks: one that containers sharing GPUs share too
#: not tempfile.gettempdir(): with TMPDIR two users, or two shells, would look at different folders
USUAL_LOCKS = "/tmp/cspine-gpus"
LOOK_EVERY_SECONDS = 0.5


@contextlib.contextmanager
def one_gpu(stage: str) -> Iterator[None]:
    """Within, this process holds one GPU alone, and it and the processes it starts see no other.

    Waits while all are taken, and says by whom. Nothing happens where there is nothing to choose (``gpus.choice``).

    Raises:
        pausing.Paused: the run was asked to stop while this waited.
        CspineError: the folder of the locks cannot be written.
    """
    devices = choice()
    if not devices:
        yield
        return
    with _locks() as folder, _first_free(stage, devices, folder) as device:
        say(f"{stage}: on {device}, one of {len(devices)}")
        settings = json.loads(os.environ.get(runtime.VARIABLE, "{}"))
        # "cuda:1", once chosen, is the only one there is
        settings["device"] = runtime.runtime().device.partition(":")[0]
        with _environment({VISIBLE: device.uuid, runtime.VARIABLE: json.dumps(settings)}):
            yield


@contextlib.contextmanager
def _first_free(stage: str, devices: list[Device], folder: Path) -> Iterator[Device]:
    """The first device whose lock can be taken, held."""
    told = False
    while True:
        for device in devices:
            lock = _taken(_lock_of(device, folder))
            if lock is not None:
                with lock:
                    yield device
                return
        if not told:
            say(f"{stage}: waits for a GPU: " + "; ".join(f"{d} is used by {_user(d, folder)}" for d in devices))
            told = True
        pausing.stop_if_wanted()
        time.sleep(LOOK_EVERY_SECONDS)


@contextlib.contextmanager
def _locks() -> Iterator[Path]:
    """The folder of the locks. It is held open, or whoever tidies up the folder of temporary files would take them away
    from under a long training (tmpfiles.d(5): a folder that somebody has locked is left alone)."""
    folder = Path(os.environ.get(LOCKS) or USUAL_LOCKS)
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            folder.chmod(0o1777)  # for every user, whatever the umask; nobody removes another's file
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _useless(folder, error) from error
    try:
        fcntl.flock(opened, fcntl.LOCK_SH)
        yield folder
    finally:
        os.close(opened)


def _lock_of(device: Device, folder: Path) -> Path:
    return folder / f"{device.uuid.replace('/', '-')}.lock"


def _taken(path: Path) -> TextIO | None:
    """The open and locked file; None when another process has locked it."""
    stream = os.fdopen(_opened(path), "r+", encoding="utf-8")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
            stream.truncate()
            stream.write(f"{runtime.this_process()}\n")
            stream.flush()
            return stream
    except (BlockingIOError, FileNotFoundError):
        pass  # taken; or removed in between, and another try makes a new one
    stream.close()
    return None


def _opened(path: Path) -> int:
    # Without O_CREAT where the file is there: in a sticky folder Linux refuses that for another user's file
    # (fs.protected_regular, proc(5)). O_NOFOLLOW: /tmp is everybody's, and a link could lead anywhere.
    flags = os.O_RDWR | os.O_NOFOLLOW
    try:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, flags)
        with contextlib.suppress(FileExistsError):  # another process was quicker
            created = os.open(path, flags | os.O_CREAT | os.O_EXCL)
            os.fchmod(created, 0o666)  # for every user, whatever the umask
            return created
        return os.open(path, flags)
    except OSError as error:
        raise _useless(path, error) from error


def _useless(path: Path, error: OSError) -> CspineError:
    return CspineError(
        f"{path}: {error.strerror}; it keeps two trainings off one GPU, and every user of the GPU must be able to "
        f"write it: mend its rights, or name another folder in {LOCKS}"
    )


def _user(device: Device, folder: Path) -> str:
    with contextlib.suppress(OSError):
        return _lock_of(device, folder).read_text(encoding="utf-8").strip() or "unknown"
    return "unknown"


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if value is not None})

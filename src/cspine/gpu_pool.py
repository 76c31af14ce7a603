"""One process of cspine on a GPU: the launcher takes free ones before a stage imports torch.

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

from cspine import pausing, peers, runtime
from cspine.errors import CspineError
from cspine.gpus import VISIBLE, Device, choice, given_one
from cspine.progress import say

LOCKS = "CSPINE_GPU_LOCKS"  # another folder for the locks: one that containers sharing GPUs share too
#: not tempfile.gettempdir(): with TMPDIR two users, or two shells, would look at different folders
USUAL_LOCKS = "/tmp/cspine-gpus"
LOOK_EVERY_SECONDS = 0.5


@contextlib.contextmanager
def gpus_for(stage: str, wanted: int | str = 1) -> Iterator[list[dict[str, str]]]:
    """Within, this process holds so many GPUs alone; it and what it starts see the first of them and no other.

    Waits while too few are free, and says who uses them. Nothing happens where there is nothing to choose
    (``gpus.choice``), or where torchrun has started all processes.

    Args:
        stage: who asks.
        wanted: ``runtime.devices``: how many, or auto = all that there are to choose from.

    Yields:
        what of the environment is each process's own, this one's first.

    Raises:
        pausing.Paused: the run was asked to stop while this waited.
        CspineError: there are not so many, or the folder of the locks cannot be written.
    """
    devices = [] if peers.started_elsewhere() else choice()
    if not devices:
        if wanted not in (1, "auto") and given_one():
            raise _too_few(wanted, 1)
        yield [{}] * (1 if wanted == "auto" or peers.started_elsewhere() else int(wanted))
        return
    count = len(devices) if wanted == "auto" else int(wanted)
    if count > len(devices):
        raise _too_few(wanted, len(devices))
    with _locks() as folder, _free(stage, devices, count, folder) as held:
        say(f"{stage}: on {', '.join(map(str, held))}, {'one' if count == 1 else count} of {len(devices)}")
        settings = json.loads(os.environ.get(runtime.VARIABLE, "{}"))
        # "cuda:1", once chosen, is the only one there is
        settings["device"] = runtime.runtime().device.partition(":")[0]
        places = [{VISIBLE: device.uuid, runtime.VARIABLE: json.dumps(settings)} for device in held]
        with peers.environment(places[0]):
            yield places


@contextlib.contextmanager
def _free(stage: str, devices: list[Device], count: int, folder: Path) -> Iterator[list[Device]]:
    """The first ``count`` devices whose locks can be taken, held: all of them or none, or two might wait for ever."""
    told = False
    while True:
        with contextlib.ExitStack() as held:
            found: list[Device] = []
            for device in devices:
                lock = _taken(_lock_of(device, folder)) if len(found) < count else None
                if lock is not None:
                    held.enter_context(lock)
                    found.append(device)
            if len(found) == count:
                yield found
                return
        if not told:
            what = "a GPU" if count == 1 else f"{count} GPUs"
            say(f"{stage}: waits for {what}: " + "; ".join(f"{d} is used by {_user(d, folder)}" for d in devices))
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


def _too_few(wanted: int | str, there: int) -> CspineError:
    return CspineError(
        f"runtime.devices: {wanted}, but this job can choose from {there} GPU{'s' * (there > 1)} (nvidia-smi, "
        "CUDA_VISIBLE_DEVICES, runtime.device, what Slurm gave it); expected at most that, or auto = all of them"
    )

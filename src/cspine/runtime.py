"""What the machine decides and no result may depend on: devices, worker counts, how often to save.

The workflow's main process writes the ``runtime`` and ``tracking`` blocks of the config into the environment; a stage
reads them here. Nothing of this is in any key.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cspine.errors import CspineError

VARIABLE = "CSPINE_RUNTIME"
MAIN_PROCESS = "CSPINE_MAIN_PROCESS"
WORKERS = "CSPINE_WORKERS"


@dataclass(frozen=True)
class Runtime:
    """The ``runtime`` block of the config."""

    device: str = "auto"  # auto | cpu | cuda | cuda:0 ...
    devices: int | str = 1  # of a training or a prediction, a process on each; auto = all GPUs of this machine
    checkpoint_minutes: float = 5.0  # time between two checkpoints of a training
    checkpoint_steps: int = 0  # also every so many steps; 0 = by time only
    pixels_in: str = "ram"  # ram | device: whole studies of slices lie there, once it holds them
    loader_workers: int = 0  # processes that read and augment beside the training process; 0 = inside it


def runtime() -> Runtime:
    """The runtime block in force; its defaults when a stage is called by hand."""
    given: dict[str, Any] = json.loads(os.environ.get(VARIABLE, "{}"))
    known = {f.name for f in fields(Runtime)}
    return Runtime(**{k: v for k, v in given.items() if k in known})


def workers() -> int:
    """Processes a stage may use; the runner sets it from the rule's threads.

    Raises:
        CspineError: the variable holds no number of processes.
    """
    text = os.environ.get(WORKERS, "1")
    if not text.isdecimal() or int(text) < 1:
        raise CspineError(f"{WORKERS} is '{text}'; it must be a whole number of processes, 1 or more")
    return int(text)


def announce_main_process() -> None:
    """Called by the workflow: jobs stop by themselves when this process is gone (see ``orphaned``)."""
    os.environ[MAIN_PROCESS] = f"{host()} {os.getpid()} {start_time(os.getpid())}"


def orphaned() -> bool:
    """Whether the workflow that started this job has died. Always False for a stage called by hand or on another host.

    Snakemake killed with SIGKILL leaves its jobs running; the next run would start a second trainer beside the first.
    """
    where, _, rest = os.environ.get(MAIN_PROCESS, "").partition(" ")
    if not rest or where != host():
        return False
    pid, _, started = rest.partition(" ")
    return start_time(int(pid)) != started


def host() -> str:
    """The name of this machine; of ``socket`` the same costs an import."""
    return os.uname().nodename


def this_process() -> str:
    """This process in the words of a lock file."""
    return f"process {os.getpid()} on {host()}"


def start_time(pid: int) -> str:
    """When the process of this id began, in the system's ticks; "" when there is none, or only its remains.

    With it a recycled process id is not taken for the old process.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        # proc(5): field 3 is the state (Z: dead, and nobody asked how it ended), field 22 the start time
        return "" if fields[0] in "ZX" else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self").is_dir():
            return ""
    try:  # no /proc (macOS): only whether the process is there
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "0"

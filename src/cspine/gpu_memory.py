"""How much of each GPU's memory is in use, as nvidia-smi says it. Standard library only."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

ANSWER_SECONDS = 10.0  # a watcher does not wait longer for a driver that hangs
QUERY = "index,name,memory.used,memory.total,utilization.gpu"
MIB = 2**20


@dataclass(frozen=True)
class GpuMemory:
    """A GPU at this moment."""

    number: int  # as nvidia-smi counts
    name: str
    used: int  # bytes
    total: int
    busy: int | None = None  # percent of the last moments in which it computed; None where nobody can tell


def gpu_memory() -> list[GpuMemory]:
    """Every GPU of this machine; none where there is no nvidia-smi, or no answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    call = [program, f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(call, capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [found for line in said.splitlines() if (found := parsed(line))]


def parsed(line: str) -> GpuMemory | None:
    """One line of nvidia-smi's answer to QUERY; None where it knows no memory (a GPU that is split says ``[N/A]``)."""
    fields = [field.strip() for field in line.split(",")]
    try:
        number, *name, used, total, busy = fields
        in_use = int(busy) if busy.isdecimal() else None
        return GpuMemory(int(number), ", ".join(name), int(used) * MIB, int(total) * MIB, in_use)
    except ValueError:
        return None

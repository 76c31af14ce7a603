"""Which GPUs there are, and which of them a process may choose from. Standard library only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

from cspine.progress import say
from cspine.runtime import runtime

VISIBLE = "CUDA_VISIBLE_DEVICES"
ANSWER_SECONDS = 60  # nvidia-smi takes long where it must wake many GPUs, and for ever with a broken driver
#: a line of `nvidia-smi -L`: a GPU, or one of the parts it is split into (MIG)
LINE = re.compile(r"\s*(GPU (?P<number>\d+):|(?P<part>MIG \S+) +Device).*\(UUID: (?P<uuid>[^)]+)\)")


@dataclass(frozen=True)
class Device:
    """What CUDA calls a device: a GPU, or a part of one."""

    gpu: int  # as nvidia-smi counts
    gpu_uuid: str
    uuid: str  # the GPU's, or the part's
    part: str = ""  # its name

    def __str__(self) -> str:
        return f"GPU {self.gpu}{' ' * bool(self.part)}{self.part} ({self.uuid})"


def choice() -> list[Device]:
    """The devices that ``runtime.device`` and CUDA_VISIBLE_DEVICES leave, in order; none where nothing is to choose.

    ``cuda:1`` counts what CUDA_VISIBLE_DEVICES shows, as torch does.
    """
    wanted, shown = runtime().device, os.environ.get(VISIBLE)
    if wanted == "cpu" or _picked_by_scheduler(shown):
        return []
    found = devices()
    if shown is not None:
        found = _shown(found, shown)
    number = wanted.partition(":")[2]
    return found[int(number) :][:1] if number else found


def given_one() -> bool:
    """Whether there is nothing to choose because Slurm has given this job a single device."""
    shown = os.environ.get(VISIBLE)
    return runtime().device != "cpu" and bool(shown) and _picked_by_scheduler(shown)


def devices() -> list[Device]:
    """The devices of this machine, as ``nvidia-smi -L`` lists them; none when it is not there or fails.

    Of a GPU that is split (MIG) its parts: CUDA cannot use it as a whole.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        listed = subprocess.run(
            [program, "-L"], capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS
        ).stdout
    except subprocess.TimeoutExpired:
        say(f"nvidia-smi does not answer within {ANSWER_SECONDS} s; no GPU is chosen for this process")
        return []
    except (OSError, subprocess.CalledProcessError):
        return []
    gpus: list[list[Device]] = []
    for line in filter(None, map(LINE.match, listed.splitlines())):
        if line["number"] is not None:
            gpus.append([Device(int(line["number"]), line["uuid"], line["uuid"])])
        elif gpus:
            whole = gpus[-1][0]
            gpus[-1].append(Device(whole.gpu, whole.uuid, line["uuid"], line["part"]))
    return [device for whole, *parts in gpus for device in parts or [whole]]


def _picked_by_scheduler(shown: str | None) -> bool:
    """Slurm has given this job one device, or none; several are its jobs' to share out."""
    return "SLURM_JOB_ID" in os.environ and shown is not None and "," not in shown


def _shown(found: list[Device], shown: str) -> list[Device]:
    """The devices that CUDA_VISIBLE_DEVICES names, in its order; as CUDA does, up to the first name that fits none.

    A number is nvidia-smi's, a text the beginning of one UUID; a GPU that is split stands for its parts.
    """
    chosen: list[Device] = []
    for name in map(str.strip, shown.split(",")):
        fitting = [d for d in found if name == str(d.gpu) or (name and d.gpu_uuid.startswith(name))]
        fitting = fitting or [d for d in found if name and d.uuid.startswith(name)]
        if len({d.gpu_uuid for d in fitting}) != 1:
            break
        chosen += [d for d in fitting if d not in chosen]
    return chosen

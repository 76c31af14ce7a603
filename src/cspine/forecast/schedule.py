"""When a run would be done: its jobs laid out over cores and GPUs, one after the other as they become ready."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cspine.planning import Job


@dataclass(frozen=True)
class Slot:
    """What a job asks for."""

    seconds: float
    cores: int
    gpu: bool
    memory: float  # MB


@dataclass(frozen=True)
class Layout:
    """How long all of it takes, and the most memory (MB) that jobs beside each other hold."""

    seconds: float
    memory: float


def needs_of(jobs: Sequence[Job]) -> list[set[int]]:
    """The places of the jobs that each one waits for."""
    makers: dict[Path, int] = {}
    for number, job in enumerate(jobs):
        makers |= {path: number for paths in job.outputs.values() for path in paths}
    return [{makers[path] for paths in job.inputs.values() for path in paths if path in makers} for job in jobs]


def laid_out(slots: Sequence[Slot], needs: Sequence[set[int]], cores: int, gpus: int) -> Layout:
    """Start whatever is ready and fits, the first of the list first, as soon as something ends.

    Args:
        slots: of each job.
        needs: the places of the jobs that each one waits for; without circles.
        cores: at hand; a job that asks for more gets all.
        gpus: at hand.
    """
    users: list[list[int]] = [[] for _ in slots]
    left = [len(own) for own in needs]
    for number, own in enumerate(needs):
        for maker in own:
            users[maker].append(number)
    ready = [number for number, count in enumerate(left) if not count]
    running: list[tuple[float, int]] = []
    now, memory, most, free, cards = 0.0, 0.0, 0.0, cores, gpus
    while ready or running:
        for number in [n for n in ready]:
            asked = min(slots[number].cores, cores)
            if asked <= free and slots[number].gpu <= cards:
                ready.remove(number)
                free, cards, memory = free - asked, cards - slots[number].gpu, memory + slots[number].memory
                heapq.heappush(running, (now + slots[number].seconds, number))
        most = max(most, memory)
        now, number = heapq.heappop(running)
        slot = slots[number]
        free, cards, memory = free + min(slot.cores, cores), cards + slot.gpu, memory - slot.memory
        for user in users[number]:
            left[user] -= 1
            if not left[user]:
                ready.append(user)
    return Layout(now, most)

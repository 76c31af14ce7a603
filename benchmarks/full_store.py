"""A store in which every job of a run has ended: each result is a few bytes that name it, its record is a real one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cspine import store
from cspine.cli import request_of
from cspine.fingerprint import module_digests
from cspine.planning import Job


def finish(jobs: Iterable[Job]) -> int:
    """End all ``jobs`` in the working directory, those before others first; returns how many store folders there are.

    Keys, done.json, links and receipts are those of a run, so whatever asks the store finds what it would find then.
    """
    waiting = list(jobs)
    maker = {path: job for job in waiting for paths in job.outputs.values() for path in paths}
    ended: set[Job] = set()
    folders: set[Path] = set()

    def end(job: Job) -> None:
        if job in ended:
            return
        ended.add(job)
        for path in (path for paths in job.inputs.values() for path in paths):
            if path in maker:
                end(maker[path])
        folders.add(_end(job))

    for job in waiting:
        end(job)
    return len(folders)


def _end(job: Job) -> Path:
    request = request_of(job.signature, job.values, job.options)
    folder = store.WORK / job.stage / request.key()
    done = store.lookup(folder)
    if done is None:
        request.record["modules"] = module_digests(job.stage, (request.config or {}).get("family"))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log.txt").write_text(f"{job.stage}\n", encoding="utf-8")
        for name, places in request.outputs.items():
            for position, place in enumerate(places):
                file = folder / store.stored_name(name, place, position if len(places) > 1 else None)
                file.write_text(f"{folder.name} {file.name}\n", encoding="utf-8")
        costs = {"seconds": 1.0, "cpu_seconds": 1.0, "peak_mb": 100.0, "segments": 1}
        done = store.commit(folder, request, {"costs": costs, "versions": {}, "device": "cpu"})
    store.put_in_place(folder, request, done)
    return folder

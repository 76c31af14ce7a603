"""Results and checkpoints made by other code: found, pointed out, and taken over on the user's word.

An edit that cannot matter (a message, a faster way to the same numbers) changes the code fingerprint all the same.
Whether it matters is the user's to say; what was said is in done.json under ``adopted``. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cspine import amounts, progress
from cspine.errors import CspineError
from cspine.fingerprint import module_digests
from cspine.store import Request, elsewhere, key_of_record, locks, needs
from cspine.store.differing import changed_modules
from cspine.store.holdings import Held, holdings
from cspine.store.records import DONE, REQUEST, SCRATCH, WORK, damage, outputs_of, read_done, stat_of, write_json
from cspine.store.roots import FolderRoot

IN_KEY = {"stage", "code", "config", "observed", "inputs"}
WORTH_A_WORD_SECONDS = 60.0  # of work that would be done again


def everywhere(stage: str) -> list[Held]:
    """What this store and the folders of ``resume_from`` hold of a stage; archives are not searched."""
    places = [WORK, *(root.place for root in elsewhere.roots() if isinstance(root, FolderRoot))]
    return [held for place in places for held in holdings([stage], place) if held.record.keys() >= IN_KEY]


def by_other_code(stage: str, code: str, key: str) -> list[Held]:
    """What there is of ``stage`` that would lie at ``key`` if the present code had made it, the best last."""
    found = [h for h in everywhere(stage) if h.folder.name != key and (h.finished or h.begun)]
    return sorted((h for h in found if key_of_record(h.record, code) == key), key=lambda h: (h.finished, h.time))


def hint(request: Request, folder: Path) -> str | None:
    """One line for a stage that is about to run although only a code edit keeps it from what is there; else None."""
    best = worth_adopting(request, folder)
    if best is None:
        return None
    changed = changed_modules(best.record, (request.config or {}).get("family"))
    verb = "takes it over" if best.finished else "lets it go on"
    return (
        f"{best.folder} holds {described(best)}, made by other code (changed: {changed}): stop this run and "
        f"`python -m cspine adopt {request.stage}` {verb}"
    )


def worth_adopting(request: Request, folder: Path) -> Held | None:
    """The best of what other code has made of this request, when doing it again would cost more than a minute or so.

    Checkpoints count when they are further than those the present code has in ``folder``.
    """
    found = by_other_code(request.stage, request.code, folder.name)
    best = next((h for h in reversed(found) if h.begun or h.seconds >= WORTH_A_WORD_SECONDS), None)
    return None if best is None or (best.begun and not _is_further(best.folder, folder)) else best


def described(held: Held) -> str:
    """What is in a folder, in words: how far it is, or what it took."""
    if held.finished:
        return f"a result that took {amounts.duration(held.seconds)}"
    standing = progress.standing(held.folder)
    return f"{standing['done']:,} of {standing['total']:,} {standing['unit']}" if standing else "checkpoints"


def adopt(source: Held, code: str) -> Path:
    """Make of what ``source`` holds a result, or checkpoints, of the present code; returns the new folder.

    The old folder stays. Finished files, which nobody writes to, are linked where they are on the same disk;
    checkpoints are copied.

    Args:
        source: finished, or unfinished with checkpoints.
        code: the present fingerprint of its stage.

    Raises:
        CspineError: a process works on either folder, the old one is damaged, or the new one is as far by itself.
    """
    target = WORK / source.stage / key_of_record(source.record, code)
    if source.folder.parent.parent == WORK and (who := locks.holder(source.folder)):
        raise CspineError(f"{source.folder} is in use by {who}; wait for it or stop it, then adopt")
    if source.finished and (wrong := damage(source.folder, source.record)):
        raise CspineError(f"{wrong}; it cannot be adopted")
    with locks.locked(target, patience=0):
        if read_done(target):
            return target
        record = {**source.record, "key": target.name, "code": code, **_words_on(source, code)}
        (_take_result if source.finished else _take_checkpoints)(source.folder, target, record)
        with (target / "log.txt").open("a", encoding="utf-8") as log:
            print(f"{record['adopted'][-1]['time']} adopted from {source.folder}", file=log)
    return target


def _words_on(source: Held, code: str) -> dict[str, Any]:
    family = (source.record["config"] or {}).get("family")
    modules, old = module_digests(source.stage, family), source.record.get("modules", {})
    note = {
        "key": source.folder.name,
        "code": source.record["code"],
        "changed": sorted(m for m in {*modules, *old} if modules.get(m) != old.get(m)) if old else [],
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    return {"modules": modules, "adopted": [*source.record.get("adopted", []), note]}


def _take_result(source: Path, target: Path, record: dict[str, Any]) -> None:
    for output in outputs_of(record):
        _second_name(source / output["file"], target / output["file"])
    outputs = {
        name: [{**output, **stat_of(target / output["file"])} for output in listed]
        for name, listed in record["outputs"].items()
    }
    far = [output for output in outputs_of(record) if (target / output["file"]).is_symlink()]
    if far:  # in an earlier session's folder
        place = str((target / far[0]["file"]).resolve().parents[2])
        size = sum(output["size"] for output in far)
        needs.record(needs.Need(place, target.parent.name, target.name, len(far), size))
    write_json(target / DONE, {**record, "outputs": outputs})
    (target / REQUEST).unlink(missing_ok=True)


def _take_checkpoints(source: Path, target: Path, record: dict[str, Any]) -> None:
    if not _is_further(source, target):
        raise CspineError(f"{target} is as far by the present code's own checkpoints as {source}")
    coming = target / f"{SCRATCH}.{os.getpid()}.tmp"
    shutil.copytree(source / SCRATCH, coming)
    if (source / "segments").is_dir():  # what they cost
        shutil.copytree(source / "segments", target / "segments", dirs_exist_ok=True)
    if (source / progress.STANDING).exists():
        shutil.copyfile(source / progress.STANDING, target / progress.STANDING)
    write_json(target / REQUEST, record)
    if (target / SCRATCH).exists():
        (target / SCRATCH).rename(target / f"{SCRATCH}.before-{time.strftime('%Y%m%d-%H%M%S')}")
    coming.replace(target / SCRATCH)  # last: from here on they are gone on from


def _is_further(source: Path, target: Path) -> bool:
    return elsewhere.how_far(source / SCRATCH) > elsewhere.how_far(target / SCRATCH)


def _second_name(source: Path, target: Path) -> None:
    """Have the write-protected file, folder or link ``source`` at ``target`` too, as a hard link where that can be."""
    if target.is_symlink() or target.is_file():
        target.unlink()
    if source.is_symlink():
        target.symlink_to(os.path.realpath(source))
    elif source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, copy_function=_linked_or_copied)
    else:
        _linked_or_copied(source, target)


def _linked_or_copied(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


def newest(found: Iterable[Held]) -> Held | None:
    """The one finished, or last worked on, most recently."""
    return max(found, key=lambda h: h.time, default=None)

"""What of work/ is needed, and what may go.

Needed is what results/ shows; where it shows nothing (a run takes away what may have changed, and may be cut off then)
the newest result of the present config and code; what a process works on; and the newest unfinished result of each
stage and wildcards. With each of these all that it was made from is needed: a run after a clean-up makes nothing again.
Recent results are kept as well: a value changed back costs nothing only while the old result is there.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cspine import amounts
from cspine.errors import CspineError
from cspine.faults import fault_point
from cspine.store import locks, receipts
from cspine.store.differing import Block, departures
from cspine.store.holdings import Held, disk_files, holdings, recorded_size
from cspine.store.records import WORK

RESULTS = Path("results")
GONE = WORK / ".gone"  # folders on their way out: at no address any more, whatever of them is left
IN_USE, FITTING, AT_WORK = "in use", "of the present config", "being worked on"
UNFINISHED, NEEDED, RECENT = "unfinished, the newest", "needed by what is kept", "recent"
KEEP_DAYS = 1.0
DAY_SECONDS = 86400.0


@dataclass(frozen=True)
class Fate:
    """What becomes of one folder, and why it is kept ("" = it may go)."""

    held: Held
    why: str


def fates(found: list[Held], block: Block, keep_days: float = KEEP_DAYS) -> list[Fate]:
    """What becomes of each of ``found``, which must be all that the store holds.

    Args:
        found: see ``holdings``.
        block: gives the present config block of a stage; raises KeyError where it is gone.
        keep_days: finished results younger than this are kept too.
    """
    why = _roots(found, block, keep_days)
    producers: dict[str, list[Held]] = {}
    for held in found:
        for digest in held.digests:
            producers.setdefault(digest, []).append(held)
    todo = [held for held in found if held.folder in why]
    while todo:
        for digest in _inputs(todo.pop()):
            makers = producers.get(digest, [])
            if makers and not any(m.folder in why for m in makers):
                newest = max(makers, key=lambda m: m.time)
                why[newest.folder] = NEEDED
                todo.append(newest)
    return [Fate(held, why.get(held.folder, "")) for held in found]


def remove(held: Held) -> None:
    """Take a folder out of the store by one rename, then delete it: cut off anywhere, no half result looks whole."""
    GONE.mkdir(exist_ok=True)
    place = GONE / f"{held.stage}-{held.folder.name}-{os.getpid()}"
    held.folder.rename(place)
    fault_point("gc-after-rename")
    shutil.rmtree(place)


def clear_remains() -> None:
    """Delete what an interrupted ``remove`` has left."""
    if GONE.is_dir() and not GONE.is_symlink():
        shutil.rmtree(GONE)


def bytes_of(groups: Iterable[Iterable[Held]]) -> list[int]:
    """Bytes on the disk of each group; a file that two folders share counts for the first."""
    seen: dict[tuple[int, int], int] = {}
    sizes = []
    for group in groups:
        files = {inode: size for held in group for inode, size in disk_files(held.folder).items()}
        sizes.append(sum(size for inode, size in files.items() if inode not in seen))
        seen.update(files)
    return sizes


def warning(max_gb: float, block: Block) -> str | None:
    """One line when work/ is larger than ``store.max_gb``, with what a clean-up would free; None when it is not.

    Sizes are those that the records tell: nothing below a finished result is listed.
    """
    if max_gb <= 0:
        return None
    found = holdings()
    total = recorded_size(found)
    if total <= max_gb * 1e9:
        return None
    going = [fate.held for fate in fates(found, block, keep_days=0) if not fate.why]
    stages = {stage: recorded_size(h for h in going if h.stage == stage) for stage in {h.stage for h in going}}
    largest = ", ".join(f"{s} {amounts.size(n)}" for s, n in sorted(stages.items(), key=lambda pair: -pair[1])[:3])
    frees = f"`python -m cspine gc --keep-days 0` frees {amounts.size(recorded_size(going))} of it ({largest})"
    return f"work/ holds {amounts.size(total)}, more than store.max_gb ({max_gb:g} GB); " + (
        frees if going else "all of it is needed"
    )


def _roots(found: list[Held], block: Block, keep_days: float) -> dict[Path, str]:
    shown = {folder for _, folder in receipts.outputs(RESULTS)}
    used = {(held.stage, held.at) for held in found if held.finished and held.folder in shown}
    fitting = _newest(h for h in found if h.finished and (h.stage, h.at) not in used and _fits(h, block))
    begun = _newest(held for held in found if held.begun)
    why = {}
    for held in found:
        if held.folder in shown and held.finished:
            why[held.folder] = IN_USE
        elif held.folder in fitting:
            why[held.folder] = FITTING
        elif locks.holder(held.folder):
            why[held.folder] = AT_WORK
        elif held.folder in begun:
            why[held.folder] = UNFINISHED
        elif held.finished and time.time() - held.time < keep_days * DAY_SECONDS:
            why[held.folder] = RECENT
    return why


def _newest(found: Iterable[Held]) -> set[Path]:
    """The folder of the newest at each stage and wildcards."""
    newest = {(held.stage, held.at): held for held in sorted(found, key=lambda held: held.time)}
    return {held.folder for held in newest.values()}


def _fits(held: Held, block: Block) -> bool:
    try:
        return not departures(held.record, held.at, block)
    except (KeyError, TypeError, CspineError):
        return False


def _inputs(held: Held) -> list[str]:
    return [recorded["digest"] for listed in held.record.get("inputs", {}).values() for recorded in listed]

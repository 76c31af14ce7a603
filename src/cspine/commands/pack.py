"""One archive of everything the next session needs."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from pathlib import Path

from cspine import amounts
from cspine.errors import CspineError
from cspine.signature import known_stages
from cspine.store import packing
from cspine.store.packing import Item
from cspine.store.records import WORK

TRIES = 3


def main(
    output: str = "",
    leave_out: list[str] | None = None,
    only: list[str] | None = None,
    include_linked: bool = False,
    dry_run: bool = False,
) -> int:
    """Pack what the next session needs into one archive without links: name it in `resume_from` there.

    It holds what results/ shows, all that was made from, and unfinished work with its newest checkpoint. An archive is
    plain tar: `tar xf` makes a work/ folder of it.

    Args:
        output: the archive to write (default: cspine-work.tar)
        leave_out: stages to leave out, e.g. ingest (the pixel cache, by far the largest, made again from the CT)
        only: stages to pack, and no others
        include_linked: also pack large files that lie in an earlier session's folder and are only linked to here
        dry_run: only say what would be packed
    """
    place = Path(output or "cspine-work.tar")
    selection = packing.Selection(_stages(leave_out), _stages(only), include_linked)
    if not place.parent.is_dir():
        raise CspineError(f"--output {place}: found no folder {place.parent}; expected one to write the archive into")
    if place.resolve().is_relative_to(WORK.resolve()):
        raise CspineError(f"--output {place}: lies in {WORK}/, which is what is packed; expected another place")
    for attempt in range(TRIES):
        items = packing.items(selection)
        try:
            packed = _told(items)
            if not dry_run:
                _write(place, packed, items)
            break
        except FileNotFoundError as error:  # a run is at work and has finished or replaced something
            if attempt + 1 == TRIES:
                raise CspineError(
                    f"{error.filename} was taken away while it was packed; let the run end first"
                ) from None
    print(f"{place} would be written" if dry_run else f"{place}: {amounts.size(place.stat().st_size)}")
    return 0


def _stages(given: list[str] | None) -> frozenset[str]:
    names = {name for word in given or [] for name in word.split(",") if name}
    if unknown := sorted(names - set(known_stages())):
        raise CspineError(f"no stage {unknown[0]!r}; the stages are: {', '.join(known_stages())}")
    return frozenset(names)


def _told(items: list[Item]) -> list[Item]:
    """The items that are packed; prints a table of them, and what is left out."""
    packed = [item for item in items if item.files]
    if not packed:
        raise CspineError(f"{WORK}/ holds nothing to pack{_left_out(items)}")
    rows = [("stage", "finished", "unfinished", "size")]
    for stage in sorted({item.held.stage for item in packed}):
        rows.append(_row(stage, [item for item in packed if item.held.stage == stage]))
    for line in amounts.table([*rows, _row("packed", packed)]):
        print(line)
    print(_left_out(items).removeprefix("; "), end="")
    return packed


def _row(name: str, items: list[Item]) -> tuple[str, str, str, str]:
    finished = sum(item.held.finished for item in items)
    return name, str(finished), str(len(items) - finished), amounts.size(sum(item.bytes for item in items))


def _left_out(items: list[Item]) -> str:
    groups = Counter((item.held.stage, item.why_not) for item in items if item.why_not)
    lines = []
    for (stage, why), number in sorted(groups.items()):
        size = sum(item.bytes for item in items if (item.held.stage, item.why_not) == (stage, why))
        lines.append(f"left out: {stage}, {amounts.counted(number, 'folder')}, {amounts.size(size)}: {why}\n")
    return "".join(lines)


def _write(place: Path, packed: list[Item], items: list[Item]) -> None:
    size, free = sum(item.bytes for item in packed), shutil.disk_usage(place.parent).free
    full = (
        f"no room for {place}: it takes {amounts.size(size)}, {amounts.size(free)} are free; free some, write it to "
        "another disk (--output), or leave a stage out (--leave-out ingest)"
    )
    if size > free:
        raise CspineError(full)
    try:
        packing.write(place, items)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CspineError(full) from None
        raise

"""What of work/ goes into an archive for the next session, and what stays out of it, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cspine.present import present
from cspine.store import archives, elsewhere, keeping, needs, records
from cspine.store.holdings import Held, holdings

LINKED = "in an earlier session's folder: mount that too, or --include-linked"
OF_A_RESULT = (records.DONE, "log.txt")
OF_UNFINISHED = (records.REQUEST, "log.txt", "progress.json", "segments")


@dataclass(frozen=True)
class Item:
    """One folder of the store: the files it gives to the archive, or why it gives none."""

    held: Held
    files: list[tuple[str, Path]] = field(default_factory=list)  # name below work/, and the file
    why_not: str = ""

    @property
    def bytes(self) -> int:
        """Of the files packed; of a result left out, as its record has it."""
        return sum(path.stat().st_size for _, path in self.files) if self.files else _recorded_bytes(self.held)


@dataclass(frozen=True)
class Selection:
    """Which stages to pack, and whether files in an earlier session's folder come along."""

    leave_out: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()
    linked: bool = False

    def refuses(self, stage: str) -> str:
        """Why this stage stays out, in words; "" when it does not."""
        if stage in self.leave_out:
            return "--leave-out"
        return "not among --only" if self.only and stage not in self.only else ""


def items(selection: Selection) -> list[Item]:
    """Every folder of the store in the order of stage and key.

    Packed is what results/ shows (where a run took outputs away and was cut off, the newest of the present config), all
    it was made from, and the newest unfinished work with its newest checkpoint; where there is no results/, every
    finished result.
    """
    fates = keeping.fates(holdings(), present().block, keep_days=0)
    shown = any(fate.held.finished and fate.why for fate in fates)
    found = []
    for fate in fates:
        held = fate.held
        needed = bool(fate.why) or (held.finished and not shown)
        why_not = "" if needed else "nothing in results/ needs it" if held.finished else "nothing to go on from"
        found.append(_item(held, selection, why_not))
    return sorted(found, key=lambda item: (item.held.stage, item.held.folder.name))


def write(path: Path, packed: list[Item]) -> None:
    """Write the archive; equal results give equal bytes.

    Raises:
        OSError: the disk is full, or the like; nothing of the attempt is left behind.
    """
    missing = [_need(item.held) for item in packed if item.why_not == LINKED]
    head = json.dumps(needs.as_json(missing), indent=1).encode()
    files = [(f"{records.WORK}/{name}", file) for item in packed for name, file in item.files]
    archives.write(path, [(f"{records.WORK}/{records.NEEDS}", head), *files])


def _item(held: Held, selection: Selection, why_not: str) -> Item:
    why_not = why_not or selection.refuses(held.stage)
    if why_not:
        return Item(held, why_not=why_not)
    if not held.finished:
        files = list(_unfinished(held.folder))
        return Item(held, files) if files else Item(held, why_not="nothing to go on from")
    if wrong := records.damage(held.folder, held.record):
        return Item(held, why_not=wrong)
    outputs = [held.folder / output["file"] for output in records.outputs_of(held.record)]
    if any(path.is_symlink() for path in outputs) and not selection.linked:
        return Item(held, why_not=LINKED)
    return Item(held, [*_files(held.folder, OF_A_RESULT), *_files(held.folder, [path.name for path in outputs])])


def _unfinished(folder: Path) -> Iterator[tuple[str, Path]]:
    """The request, the costs so far and the scratch folder; of several checkpoints only the newest whole one."""
    scratch = list(elsewhere.whole(folder / records.SCRATCH))
    steps = sorted(name for name in scratch if elsewhere.STEP.search(name))
    kept = [name for name in scratch if name not in steps[:-1]]
    if kept:
        yield from _files(folder, OF_UNFINISHED)
        yield from _files(folder, [f"{records.SCRATCH}/{name}" for name in kept])


def _files(folder: Path, names: list[str] | tuple[str, ...]) -> list[tuple[str, Path]]:
    """Name below work/ and path of these files, of folders among them everything inside."""
    found = []
    for path in (folder / name for name in sorted(names)):
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path] * path.is_file()
        found += [(f"{folder.parent.name}/{folder.name}/{p.relative_to(folder).as_posix()}", p) for p in inside]
    return found


def _need(held: Held) -> needs.Need:
    outputs = records.outputs_of(held.record)
    root = elsewhere.end_of_links(held.folder / outputs[0]["file"]).parents[2]
    return needs.Need(str(root), held.stage, held.folder.name, len(outputs), _recorded_bytes(held))


def _recorded_bytes(held: Held) -> int:
    """Of all outputs, here or in an earlier session's folder."""
    return sum(output["size"] for output in records.outputs_of(held.record)) if held.finished else 0

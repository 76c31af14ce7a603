"""Everything work/ holds: finished results, unfinished ones with their checkpoints, and remains that are neither.

Standard library only: a stage that is not found in the store asks here what else there is of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cspine import progress
from cspine.amounts import pairs_of
from cspine.store.records import SCRATCH, WORK, outputs_of, read_done, read_request

KEY = re.compile(r"[0-9a-f]{20}")  # nothing else in work/ is a result, whatever it holds


@dataclass(frozen=True)
class Held:
    """One folder work/{stage}/{key}."""

    folder: Path
    record: dict[str, Any]  # of done.json or request.json; empty for remains
    finished: bool

    @property
    def stage(self) -> str:
        return self.folder.parent.name

    @property
    def at(self) -> str:
        """The wildcards it was made for first, ``method=semi_supervised,fold=0``."""
        return self.record.get("at", "")

    @cached_property
    def time(self) -> float:
        """When it was finished, or last worked on; seconds since 1970."""
        names = ("done.json",) if self.finished else ("request.json", progress.STANDING, SCRATCH)
        return max((_mtime(self.folder / name) for name in names), default=0.0)

    @property
    def seconds(self) -> float:
        """What a finished result took to make."""
        return self.record.get("costs", {}).get("seconds", 0.0)

    @property
    def digests(self) -> set[str]:
        """Of the contents of its outputs."""
        return {output["digest"] for output in outputs_of(self.record)} if self.finished else set()

    @property
    def begun(self) -> bool:
        """Whether it is unfinished and has something to go on from."""
        scratch = self.folder / SCRATCH
        return not self.finished and bool(self.record) and scratch.is_dir() and any(scratch.iterdir())

    def recorded_bytes(self) -> int:
        """Size of a finished result as its record has it, of anything else as the disk has it; no file elsewhere."""
        if not self.finished:
            return sum(disk_files(self.folder).values())
        fetched = "from" in self.record
        here = (o for o in outputs_of(self.record) if not (fetched and (self.folder / o["file"]).is_symlink()))
        return sum(output["size"] for output in here)


def holdings(stages: Iterable[str] | None = None, work: Path = WORK) -> list[Held]:
    """The folders of these stages (default: of all), in the order of their names; those that are links are left out."""
    return [held(folder) for folder in _folders(work, stages)]


def held(folder: Path) -> Held:
    """What one folder of the store holds."""
    if done := read_done(folder):
        return Held(folder, done, True)
    asked = read_request(folder)
    return Held(folder, asked if isinstance(asked, dict) and "inputs" in asked else {}, False)


def recorded_size(found: Iterable[Held]) -> int:
    """Bytes of all of these, as far as their records tell; cheap enough before every plan."""
    return sum(h.recorded_bytes() for h in found)


def disk_files(folder: Path) -> dict[tuple[int, int], int]:
    """Bytes by (device, inode) of every file below ``folder``: one that has two names in the store counts once."""
    files = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                found = Path(parent, name).lstat()
            except FileNotFoundError:  # a run is at work
                continue
            files[found.st_dev, found.st_ino] = found.st_size
    return files


def at_place(record: dict[str, Any], path: Path) -> str | None:
    """The wildcards under which this result would lie at ``path``; None when it would not.

    One result may serve several methods, and its record names the first it was made for.
    """
    pairs = pairs_of(record.get("at", "")).items()
    places = [place for listed in record.get("places", {}).values() for place in listed]
    if path.as_posix() in places:
        return record["at"]
    for place in places:
        pattern, rest = "", place
        for _, value in pairs:
            before, found, after = _cut(rest, value)
            if not found:
                break
            pattern, rest = pattern + re.escape(before) + (r"(\d+)" if value.isdecimal() else r"(\w+)"), after
        else:
            if match := re.fullmatch(pattern + re.escape(rest), path.as_posix()):
                return ",".join(f"{name}={value}" for (name, _), value in zip(pairs, match.groups(), strict=True))
    return None


def inputs_at(record: dict[str, Any], at: str) -> list[tuple[Path, str]]:
    """Path and digest of what a result is made from, as the paths are under the wildcards ``at``."""
    old, new = pairs_of(record.get("at", "")), pairs_of(at)
    other = {value: new[name] for name, value in old.items() if new.get(name, value) != value}
    found = [(r["path"], r["digest"]) for listed in record["inputs"].values() for r in listed]
    for value, instead in other.items():
        found = [(f"{before}{instead if there else ''}{after}", digest)
                 for path, digest in found for before, there, after in [_cut(path, value)]]  # fmt: skip
    return [(Path(path), digest) for path, digest in found]


def _cut(text: str, value: str) -> tuple[str, bool, str]:
    found = re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text)
    return (text[: found.start()], True, text[found.end() :]) if found else (text, False, "")


def _folders(work: Path, stages: Iterable[str] | None) -> Iterator[Path]:
    try:
        parents = [work / s for s in stages] if stages is not None else [Path(e.path) for e in os.scandir(work)]
    except FileNotFoundError:
        return
    for parent in sorted(parents):
        if parent.is_dir() and not parent.is_symlink():
            with os.scandir(parent) as entries:
                names = [e.name for e in entries if KEY.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
            yield from (parent / name for name in sorted(names))


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0

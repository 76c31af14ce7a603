"""The places that ``resume_from`` names: work/ folders of earlier sessions, and archives of ``cspine pack``.

They are only ever read: not even a lock or a probe is written there. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from cspine.errors import CspineError
from cspine.progress import say
from cspine.store import archives, records

VARIABLE = "CSPINE_RESUME_FROM"  # a JSON list of absolute paths, written by the workflow's main process
COPY_MB = "CSPINE_COPY_MB"  # results up to this size are copied, larger ones linked to
EXPECTED = "expected the work/ folder of an earlier session, a folder that holds it, or an archive of `cspine pack`"
MOST_NAMES = 8
DEEPEST = 3  # levels below an entry in which a work/ folder is looked for, to suggest it


class Root(Protocol):
    """Results and unfinished work of an earlier session; ``folder`` is work/{stage}/{key} as it would be here."""

    name: str
    unpacks: bool  # what ``opened`` gives is a copy that may be moved away

    def done(self, folder: Path) -> dict[str, Any] | None:
        """done.json of a finished result, or None; no file is looked at."""

    def names(self, folder: Path) -> dict[str, int]:
        """Size (bytes) by name, relative to the folder, of every file there."""

    def holds(self, folder: Path, file: str) -> bool:
        """Whether the file or folder of that name is there; a link counts when it leads somewhere."""

    def opened(self, folder: Path) -> contextlib.AbstractContextManager[Path]:
        """A folder to read its files from."""

    def needs(self) -> Any:
        """The content of its needs.json, or None."""


class FolderRoot:
    """A work/ folder."""

    unpacks = False

    def __init__(self, place: Path) -> None:
        self.place, self.name = place, str(place)

    def _at(self, folder: Path) -> Path:
        return self.place / folder.parent.name / folder.name

    def done(self, folder: Path) -> dict[str, Any] | None:
        """See ``Root``."""
        done = records.read_done(self._at(folder))
        if done is None and (self._at(folder) / records.DONE).exists():
            say(f"{self._at(folder) / records.DONE} is torn or no record of a result; it is left aside")
        return done

    def names(self, folder: Path) -> dict[str, int]:
        """See ``Root``."""
        files = (path for path in self._at(folder).rglob("*") if path.is_file())
        return {path.relative_to(self._at(folder)).as_posix(): path.stat().st_size for path in files}

    def holds(self, folder: Path, file: str) -> bool:
        """See ``Root``."""
        return (self._at(folder) / file).exists()

    @contextlib.contextmanager
    def opened(self, folder: Path) -> Iterator[Path]:
        """See ``Root``."""
        yield self._at(folder)

    def needs(self) -> Any:
        """See ``Root``."""
        return records.read_json(self.place / records.NEEDS)


class ArchiveRoot:
    """An archive of ``cspine pack``: a folder is unpacked when it is asked for, and no other."""

    unpacks = True

    def __init__(self, place: Path) -> None:
        self.place, self.name = place, str(place)

    def done(self, folder: Path) -> dict[str, Any] | None:
        """See ``Root``."""
        return records.as_done(self._json(f"{_member(folder)}/{records.DONE}"))

    def names(self, folder: Path) -> dict[str, int]:
        """See ``Root``."""
        return archives.names_below(self.place, _member(folder))

    def holds(self, folder: Path, file: str) -> bool:
        """See ``Root``."""
        return any(name.split("/")[0] == file for name in self.names(folder))

    @contextlib.contextmanager
    def opened(self, folder: Path) -> Iterator[Path]:
        """See ``Root``."""
        with archives.unpacked(self.place, _member(folder), folder / "unpacked.tmp") as there:
            yield there

    def needs(self) -> Any:
        """See ``Root``."""
        return self._json(f"{records.WORK}/{records.NEEDS}")

    def _json(self, name: str) -> Any:
        content = archives.read(self.place, name)
        with contextlib.suppress(ValueError):
            return json.loads(content) if content else None


def roots() -> list[Root]:
    """The places of ``resume_from``, in its order."""
    return [_root(place) for place in json.loads(os.environ.get(VARIABLE, "[]"))]


@cache
def _root(place: str) -> Root:
    return ArchiveRoot(Path(place)) if Path(place).is_file() else FolderRoot(Path(place))


def _member(folder: Path) -> str:
    return f"{records.WORK}/{folder.parent.name}/{folder.name}"


def places_of(given: str | list[str], base: Path, inside: Path = Path()) -> list[str]:
    """The stores that the config key ``resume_from`` names, as absolute paths.

    Args:
        given: the key's value.
        base: the folder from which relative paths count: where the user called.
        inside: the run's own folder below ``base`` when it is an experiment's; an entry that holds an earlier session
            of the same experiment gives that as well.

    Raises:
        CspineError: an entry is not there, holds no results, or is this run's own store.
    """
    own, found = base / inside / records.WORK, []
    for entry in [given] if isinstance(given, str) else given:
        place = Path(os.path.normpath(base / Path(entry).expanduser()))
        stores = _stores(place, inside)
        if not stores:
            raise CspineError(f"resume_from: {entry}: {_found(place)}; {EXPECTED}{_suggestion(place)}")
        others = [store for store in stores if not (own.exists() and store.samefile(own))]
        if not others:
            raise CspineError(f"resume_from: {entry}: found the store that this run works in; leave it out")
        found += [store for store in others if store not in found]
    return [str(place) for place in found]


def _stores(place: Path, inside: Path) -> list[Path]:
    if place.is_file():
        return [place] if archives.is_archive(place) else []
    candidates = dict.fromkeys([place / inside / records.WORK, place / records.WORK, place])
    return [candidate for candidate in candidates if is_store(candidate)]


def is_store(folder: Path) -> bool:
    """Whether ``folder`` is a work/ folder with a result, or the beginning of one, in it."""
    return any(any(folder.glob(f"*/*/{name}")) for name in (records.DONE, records.REQUEST))


def _found(place: Path) -> str:
    if place.is_file():
        return "found a file that is no archive of `cspine pack`"
    if place.is_dir():
        return f"found a folder without results: it holds {_listed(place)}"
    parent = next(folder for folder in place.parents if folder.is_dir())
    return f"found no {place}; {parent} holds {_listed(parent)}"


def _listed(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (", ".join(names[:MOST_NAMES]) or "nothing") + more


def _suggestion(place: Path) -> str:
    for depth in range(1, DEEPEST + 1):
        for path in sorted(place.glob("/".join("*" * depth))):
            if (path.is_dir() and path.name == str(records.WORK) and is_store(path)) or (
                path.suffix == ".tar" and archives.is_archive(path)
            ):
                return f". Did you mean {path}?"
    return ""

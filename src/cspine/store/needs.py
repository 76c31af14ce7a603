"""What this work/ only links to: files of earlier sessions that were too large to copy (work/needs.json).

The next session must have those folders mounted as well, or the results are made again. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from cspine import amounts
from cspine.store import locks, records
from cspine.store.roots import Root


@dataclass(frozen=True, order=True)
class Need:
    """A result whose files lie in another place."""

    root: str  # the work/ folder they lie in
    stage: str
    key: str
    files: int
    bytes: int


def record(need: Need) -> None:
    """Add ``need`` to work/needs.json; several jobs may do so at once."""
    with locks.locked(records.WORK):
        kept = [
            n
            for n in parsed(records.read_json(records.WORK / records.NEEDS))
            if (n.stage, n.key) != (need.stage, need.key)
        ]
        records.write_json(records.WORK / records.NEEDS, as_json([*kept, need]))


def as_json(needs: Iterable[Need]) -> dict[str, Any]:
    """The content of a needs.json."""
    return {"needs": [asdict(need) for need in sorted(needs)]}


def parsed(content: Any) -> list[Need]:
    """The needs that the content of a needs.json lists; nothing where it is torn or of another form."""
    try:
        return [Need(**entry) for entry in content["needs"]]
    except (KeyError, TypeError):
        return []


def read() -> list[Need]:
    """What this work/ links to elsewhere now; results that were made here since do not count."""
    needs = parsed(records.read_json(records.WORK / records.NEEDS))
    return sorted(need for need in needs if _elsewhere(records.WORK / need.stage / need.key))


def by_root(needs: Iterable[Need]) -> list[tuple[str, str, str]]:
    """(root, "64 files, 14.2 GB", "ingest, train") for each root."""
    return [(root, *_sizes(list(group))) for root, group in groupby(sorted(needs), attrgetter("root"))]


def unmet(given: list[Root]) -> list[str]:
    """One line for each place that a root of ``resume_from`` links to and that none of ``given`` can stand in for."""
    lines = []
    for root in given:
        lost = [need for need in parsed(root.needs()) if not any(_holds(other, need) for other in given)]
        lines += [
            f"{root.name} needs {what} of {place}: mount it and add it to resume_from, or {stages} is made again"
            for place, what, stages in by_root(lost)
        ]
    return lines


def _sizes(needs: list[Need]) -> tuple[str, str]:
    files, size = sum(need.files for need in needs), sum(need.bytes for need in needs)
    return f"{amounts.counted(files, 'file')}, {amounts.size(size)}", ", ".join(sorted({need.stage for need in needs}))


def _elsewhere(folder: Path) -> bool:
    """Whether a finished result has files that are not here, even where the links to them are gone."""
    done = records.read_done(folder)
    files = [folder / output["file"] for output in records.outputs_of(done)] if done else []
    return any(path.is_symlink() or not path.exists() for path in files)


def _holds(root: Root, need: Need) -> bool:
    """Whether the result is whole in ``root``, by the names of its files."""
    folder = records.WORK / need.stage / need.key
    done = root.done(folder)
    return done is not None and all(root.holds(folder, output["file"]) for output in records.outputs_of(done))

"""Why an output would be made again: the first causes, found by following what it was made from upstream.

How the result came about, as the records in work/ have it, is compared with the config, code and raw folder of now.
What lies in results/ does not matter, so the answer is the same before and after a run has taken outputs away.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cspine import amounts, store
from cspine.errors import CspineError
from cspine.store import receipts
from cspine.store.contents import Contents
from cspine.store.differing import Block, departures
from cspine.store.holdings import Held, at_place, inputs_at
from cspine.store.wiring import Wiring


@dataclass(frozen=True)
class Cause:
    """One thing that changed, and the stage whose result it changes."""

    stage: str
    at: str
    what: str

    def __str__(self) -> str:
        return f"{amounts.job(self.stage, self.at)}: {self.what}"


class Causes:
    """The first causes of every result of a store, worked out once each.

    Args:
        found: all that the store holds.
        block: gives the present config block of a stage; raises KeyError where it is gone.
        root: the present raw folder.
        wiring: gives the inputs that the present rules would make an output from.
    """

    def __init__(self, found: list[Held], block: Block, root: Path, wiring: Wiring = lambda path: None) -> None:
        self.block, self.root, self.wiring = block, root, wiring
        self._contents = Contents()
        self._by_digest: dict[str, list[Held]] = {}
        for held in found:
            for digest in held.digests:
                self._by_digest.setdefault(digest, []).append(held)
        self._known: dict[tuple[Path, str], list[Cause]] = {}

    def of(self, held: Held, at: str, path: Path) -> list[Cause]:
        """Why this result is not what the present asks for at ``path``; empty when it is.

        Args:
            held: finished, or unfinished.
            at: the wildcards it has there.
            path: one of its outputs.
        """
        if (held.folder, at) not in self._known:
            self._known[held.folder, at] = []  # while its own inputs are asked: equal files could make a circle
            own = [Cause(held.stage, at, what) for what in [*self._own(held, at), *self._rewired(held, at, path)]]
            inputs = inputs_at(held.record, at)
            upstream = [cause for source, digest in inputs for cause in self._input(held, at, source, digest)]
            self._known[held.folder, at] = list(dict.fromkeys(own + upstream))
        return self._known[held.folder, at]

    def producers(self, path: Path, digest: str) -> list[tuple[Held, str]]:
        """The results that hold this content and belong at ``path``, with the wildcards they have there."""
        found = [(held, at_place(held.record, path)) for held in self._by_digest.get(digest, [])]
        return [(held, at) for held, at in found if at is not None]

    def _own(self, held: Held, at: str) -> list[str]:
        try:
            found = departures(held.record, at, self.block)
        except (KeyError, TypeError, CspineError):
            return ["the present config has no such method, view or stage"]
        damage = store.damage(held.folder, held.record) if held.finished else None
        return found + [what for what in (damage, receipts.other_root(held.record, self.root)) if what]

    def _rewired(self, held: Held, at: str, path: Path) -> list[str]:
        wanted = self.wiring(path)
        recorded = {source.as_posix() for source, _ in inputs_at(held.record, at)}
        if wanted is None:
            return []
        new = [source.as_posix() for sources in wanted.values() for source in sources]
        added, left = [p for p in new if p not in recorded], sorted(recorded - set(new))
        return [f"inputs: {_few(added)} instead of {_few(left)}"] if added or left else []

    def _input(self, held: Held, at: str, path: Path, digest: str) -> list[Cause]:
        producers = [self.of(*producer, path) for producer in self.producers(path, digest)]
        if producers and (causes := min(producers, key=len)):
            return causes
        if (there := self._contents.at(path)) is not None:
            return [] if there == digest else [Cause(held.stage, at, f"input {path}: its content changed")]
        return (
            [] if producers else [Cause(held.stage, at, f"input {path}: it is gone, and so is the result it came from")]
        )


def _few(paths: list[str]) -> str:
    return ", ".join(paths[:2]) + (f" and {len(paths) - 2} more" if len(paths) > 2 else "") if paths else "nothing"


def at_output(found: list[Held], path: Path) -> list[tuple[Held, str]]:
    """Everything the store has, finished or not, that belongs at ``path``, the newest first."""
    places = [(held, at_place(held.record, path)) for held in found]
    return sorted(((h, at) for h, at in places if at is not None), key=lambda pair: -pair[0].time)

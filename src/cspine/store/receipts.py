"""Before planning: which outputs under results/ no longer say what the present config, code and inputs would say.

Snakemake decides by its own records in ``.snakemake``; with those lost it calls a changed config up to date. So the
workflow's main process asks the store's records first and unlinks what does not match. A dry run only reports it.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cspine import lists, store
from cspine.cli import call
from cspine.errors import CspineError
from cspine.store.contents import Contents
from cspine.store.differing import Block, departures
from cspine.store.holdings import at_place, inputs_at
from cspine.store.wiring import Wiring, rewired

LEFT_BEHIND = re.compile(r"\..+\.\d+\.tmp")  # see store.put_in_place
NOTHING: dict[str, Any] = {"inputs": {}}


@dataclass(frozen=True)
class Stale:
    """An output that does not match the present any more, and why ("" = only because what it is made from does not)."""

    path: Path
    stage: str
    why: str


def stale_outputs(results: Path, block: Block, root: Path, wiring: Wiring | None = None) -> list[Stale]:
    """Every output under ``results`` whose record differs from the present, and every output made from one.

    Those made from one must go too: Snakemake does not make a missing intermediate file when what follows is there.

    Args:
        results: the folder of the declared outputs.
        block: gives the present config block of a stage at given wildcards; raises KeyError where it is gone.
        root: the present raw folder, for stages whose input is a folder; skipped where it is not mounted.
        wiring: gives the inputs that the present rules would make an output from, where the rules are known.
    """
    made, contents = dict(outputs(results)), Contents()
    wired = {path: (wiring(path) if wiring else None) or {} for path in made}
    records = {folder: store.read_done(folder) for folder in set(made.values())}
    at = {path: _at(records[folder], path) for path, folder in made.items()}
    jobs = {(made[path], at[path]) for path in made}  # of which many have several outputs, and some hundreds of inputs
    inputs = {(folder, where): inputs_at(records[folder] or NOTHING, where) for folder, where in jobs}
    reasons = {
        job: _why_stale(job[0], records[job[0]], job[1], block, root, _changed(inputs[job], contents)) for job in jobs
    }
    found = {}
    for path, folder in made.items():
        record = records[folder]
        other = rewired(record, wired[path], contents) if record and not reasons[folder, at[path]] else None
        if why := reasons[folder, at[path]] or altered(path) or other or _names_what_is_gone(path):
            found[path] = Stale(path, folder.parent.name, why)
    made_from = {
        path: {source for source, _ in inputs[folder, at[path]]}
        | {source for sources in wired[path].values() for source in sources}
        for path, folder in made.items()
    }
    return list(_with_followers(found, made, made_from).values())


def unlink(stale: list[Stale]) -> None:
    """Take the stale outputs away; what they link to stays in the store."""
    for output in stale:
        output.path.unlink(missing_ok=True)
        store.receipt_path(output.path).unlink(missing_ok=True)


def sweep(results: Path) -> None:
    """Take away what jobs left behind that were killed between making a link and moving it to its place."""
    for parent, _, names in os.walk(results):
        for name in names:
            if LEFT_BEHIND.fullmatch(name):
                Path(parent, name).unlink(missing_ok=True)


def summary(stale: list[Stale], dry: bool) -> list[str]:
    """One line per stage and reason, and one for all that follows from them."""
    verb = "would be" if dry else "will be"
    reasons = Counter((output.stage, output.why) for output in stale if output.why)
    lines = [f"{stage}: {_number(count)} {verb} made again: {why}" for (stage, why), count in reasons.items()]
    followers = Counter(output.stage for output in stale if not output.why)
    if followers:
        lines.append(f"{_number(followers.total())} made from them {verb} looked up or made: {', '.join(followers)}")
    return lines


def _number(count: int) -> str:
    return f"{count} output{'s' * (count > 1)}"


def _with_followers(
    found: dict[Path, Stale], outputs: dict[Path, Path], made_from: dict[Path, set[Path]]
) -> dict[Path, Stale]:
    while True:
        more = {
            path: Stale(path, folder.parent.name, "")
            for path, folder in outputs.items()
            if path not in found and made_from[path] & found.keys()
        }
        if not more:
            return found
        found = {**found, **more}


def outputs(results: Path) -> Iterator[tuple[Path, Path]]:
    """Every output under ``results`` that the store made, with the store folder it comes from."""
    for parent, _, names in os.walk(results):
        for name in sorted(names):
            path = Path(parent) / name
            if path.is_symlink():
                folder = Path(os.path.normpath(path.parent / path.readlink())).parent
                if folder.parent.parent == store.WORK:
                    yield path, folder
            elif receipt := store.read_receipt(path):
                yield path, store.WORK / receipt["stage"] / receipt["key"]


def _at(done: dict[str, Any] | None, path: Path) -> str:
    return (done or {}).get("at", "") and (at_place(done or {}, path) or (done or {})["at"])


def altered(path: Path) -> str | None:
    """Whether an output that is a file of its own is not what its receipt says, in words; None for links."""
    receipt = None if path.is_symlink() else store.read_receipt(path)
    if receipt is not None and store.content_digest(path) != receipt["digest"]:
        return "it was altered since it was made"
    return None


def _names_what_is_gone(path: Path) -> str | None:
    """Whether a list names a file that is not there: whoever is given the list would ask for it in vain."""
    gone = lists.gone(path) if path.suffix == lists.SUFFIX and path.exists() else None
    return f"{gone} is gone" if gone else None


def _why_stale(
    folder: Path, done: dict[str, Any] | None, at: str, block: Block, root: Path, changed_inputs: Iterator[Path]
) -> str | None:
    if done is None:
        return "its result is not in the store"
    try:
        found = departures(done, at, block)
    except (KeyError, CspineError):
        return None  # the method or the stage is gone: nothing asks for this output
    if own := "; ".join(found) or store.damage(folder, done):
        return own
    changed = next(changed_inputs, None)
    return f"{changed} changed" if changed else other_root(done, root)


def changed_inputs(record: dict[str, Any], at: str, contents: Contents) -> Iterator[Path]:
    """The inputs of a result that are there and do not hold any more what it was made from."""
    yield from _changed(inputs_at(record, at), contents)


def _changed(inputs: Iterable[tuple[Path, str]], contents: Contents) -> Iterator[Path]:
    for path, digest in inputs:
        if contents.at(path) not in (None, digest):
            yield path


def other_root(done: dict[str, Any], root: Path) -> str | None:
    """Whether the raw folder that a result was made from is not what it was, in words."""
    glance = done.get("glance")
    if not glance or not root.is_dir():
        return None
    try:
        return f"{root} changed" if call(glance["function"], root) != glance["value"] else None
    except CspineError:
        return None  # half mounted, or a phantom half made: no reason to take anything away, and inventory says more

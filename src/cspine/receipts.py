"""Before planning: which outputs under results/ no longer say what the present config, code and inputs would say.

Snakemake decides by its own records in ``.snakemake``; with those lost it calls a changed config up to date. So the
workflow's main process asks the store's records first and unlinks what does not match. A dry run only reports it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cspine import store
from cspine.cli import call
from cspine.errors import CspineError
from cspine.fingerprint import fingerprint
from cspine.hashing import canonical_json

Block = Callable[..., dict[str, Any]]  # block(stage, **at) -> the present config block


@dataclass(frozen=True)
class Stale:
    """An output that does not match the present any more, and why ("" = only because what it is made from does not)."""

    path: Path
    stage: str
    why: str


def stale_outputs(results: Path, block: Block, root: Path) -> list[Stale]:
    """Every output under ``results`` whose record differs from the present, and every output made from one.

    Those made from one must go too: Snakemake does not make a missing intermediate file when what follows is there.

    Args:
        results: the folder of the declared outputs.
        block: gives the present config block of a stage at given wildcards; raises KeyError where it is gone.
        root: the present raw folder, for stages whose input is a folder; skipped where it is not mounted.
    """
    made = dict(outputs(results))
    records = {folder: store.read_done(folder) for folder in set(made.values())}
    reasons = {folder: _why_stale(record, block, root) for folder, record in records.items()}
    found = {}
    for path, folder in made.items():
        why = reasons[folder] or _altered(path)
        if why:
            found[path] = Stale(path, folder.parent.name, why)
    return list(_with_followers(found, made, records).values())


def unlink(stale: list[Stale]) -> None:
    """Take the stale outputs away; what they link to stays in the store."""
    for output in stale:
        output.path.unlink(missing_ok=True)
        store.receipt_path(output.path).unlink(missing_ok=True)


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
    found: dict[Path, Stale], outputs: dict[Path, Path], records: dict[Path, dict[str, Any] | None]
) -> dict[Path, Stale]:
    made_from = {
        folder: {Path(r["path"]) for recorded in (record or {"inputs": {}})["inputs"].values() for r in recorded}
        for folder, record in records.items()
    }
    while True:
        more = {
            path: Stale(path, folder.parent.name, "")
            for path, folder in outputs.items()
            if path not in found and made_from[folder] & found.keys()
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


def _altered(path: Path) -> str | None:
    receipt = None if path.is_symlink() else store.read_receipt(path)
    if receipt is not None and store.content_digest(path) != receipt["digest"]:
        return "it was altered since it was made"
    return None


def _why_stale(done: dict[str, Any] | None, block: Block, root: Path) -> str | None:
    if done is None:
        return "its result is not in the store"
    stage = done["stage"]
    at = dict(pair.split("=", 1) for pair in done["at"].split(",") if pair)
    try:
        config = block(stage, **at)
        code = fingerprint(stage, config.get("family"))
    except (KeyError, CspineError):
        return None  # the method or the stage is gone: nothing asks for this output
    if canonical_json(config) != canonical_json(done["config"] or {}):
        return "config: " + ", ".join(differences(done["config"] or {}, config))
    if code != done["code"]:
        return "its code changed"
    if why := _other_input(done):
        return why
    glance = done.get("glance")
    if glance and root.is_dir() and call(glance["function"], root) != glance["value"]:
        return f"{root} changed"
    return None


def _other_input(done: dict[str, Any]) -> str | None:
    for recorded in (r for records in done["inputs"].values() for r in records):
        path = Path(recorded["path"])
        if path.exists() and store.content_digest(path) != recorded["digest"]:
            return f"{path} changed"
    return None


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Leaves that differ, as ``path old -> new``."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(set(old) | set(new))
        return [d for k in keys for d in differences(old.get(k), new.get(k), f"{prefix}.{k}" if prefix else str(k))]
    return [] if old == new else [f"{prefix} {old} -> {new}"]

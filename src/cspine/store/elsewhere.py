"""Results and checkpoints of earlier sessions: looked for by key in the places of ``resume_from`` after a local miss.

What is small is copied. What is large stays where it is: work/{stage}/{key}/ then holds links to it, and a done.json
with the stat of what they lead to, so that it is read and digested once and not at every lookup. Nothing is written
there. Standard library only.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cspine import amounts, store
from cspine.hashing import file_digest
from cspine.progress import say
from cspine.store import needs, records
from cspine.store.roots import COPY_MB, Root
from cspine.store.roots import roots as roots

STEP = re.compile(r"step-(\d+)\.pt$")  # see cspine.checkpoint
MEGABYTE = 10**6
OF_THIS_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # no fault of the earlier session's folder


class _DamagedError(OSError):
    """A result that an earlier session finished and that is not whole any more; says what is wrong."""


class _LinkLostError(_DamagedError):
    """A file that is not there: in an output that kept no links, or with a link into a folder that is not mounted."""


def fetch(folder: Path, name: str = "") -> dict[str, Any] | None:
    """done.json of the result for ``folder`` from the first place that has it whole; None when none has.

    Args:
        folder: work/{stage}/{key}, locked by the caller.
        name: the stage, in the words of the person's terminal.
    """
    left_out = []
    for root in roots():
        done = root.done(folder)
        if done is None:
            continue
        try:
            with root.opened(folder) as there:
                how = _bring(folder, done, there, root)
        except OSError as error:
            if error.errno in OF_THIS_DISK:
                raise
            words = f"{error}; it is looked for in the next place of resume_from, or made again"
            if isinstance(error, _LinkLostError) and "from" in done:
                left_out.append(words)  # that session only linked to it: no news when another place has it
            else:
                say(words)
        else:
            say(f"{name or folder.parent.name}: found in {root.name}, {how}")
            return done
    for words in left_out:
        say(words)
    return None


def _bring(folder: Path, done: dict[str, Any], there: Path, root: Root) -> str:
    """Copy or link the files, then write done.json; says which."""
    files = [(output, end_of_links(there / output["file"])) for output in records.outputs_of(done)]
    for output, file in files:
        _check(there / output["file"], file, output)
    size = sum(records.stat_of(file)["size"] for _, file in files)
    copied = root.unpacks or size <= float(os.environ.get(COPY_MB, "64")) * MEGABYTE
    for output, file in files:
        target = folder / output["file"]
        if copied:
            output |= _copied(file, target, output["digest"], shutil.move if root.unpacks else _copy)
        else:
            output |= _linked(file, target, output["digest"])
    if not copied:
        holder = str(files[0][1].parents[2])  # work/ above {stage}/{key}/{file}
        needs.record(needs.Need(holder, folder.parent.name, folder.name, len(files), size))
    _join_logs(there, folder)
    done["from"] = root.name
    store.finish(folder, done)
    return f"{'copied' if copied else 'left there'}: {amounts.size(size)}"


def end_of_links(path: Path) -> Path:
    """Where a chain of links ends: the work/ that really has a file which a later session only links to."""
    for _ in range(records.MOST_LINKS):
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return path


def _check(path: Path, file: Path, output: dict[str, Any]) -> None:
    if not file.exists():
        raise _LinkLostError(f"{path} leads to {file}, which is not there" if file != path else f"{path} is missing")
    found = file.stat().st_size
    if file.is_file() and found != output["size"]:
        raise _DamagedError(f"{file} is damaged: {found} bytes instead of {output['size']}")


def _copied(file: Path, target: Path, digest: str, copy: Callable[[Path, Path], object]) -> dict[str, Any]:
    temporary = target.with_name(f".{target.name}.tmp")
    store.remove(temporary)
    try:
        copy(file, temporary)
        if file_digest(temporary) != digest:
            raise _DamagedError(f"{file} is damaged: its content is not what was recorded")
        store.remove(target)
        temporary.replace(target)
    finally:
        store.remove(temporary)
    return store.protected(target, digest)


def _copy(file: Path, target: Path) -> None:
    if not file.is_dir():
        shutil.copyfile(file, target)
        return
    shutil.copytree(file, target, copy_function=shutil.copyfile)
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        folder.chmod(0o755)  # in a mounted folder nothing may be written; here it may be made again


def _linked(file: Path, target: Path, digest: str) -> dict[str, Any]:
    if file_digest(file) != digest:
        raise _DamagedError(f"{file} is damaged: its content is not what was recorded")
    store.remove(target)
    target.symlink_to(file)
    return {"file": target.name, "digest": digest, **records.stat_of(target)}


# -- unfinished work ---------------------------------------------------------------------------------------------------


def fetch_checkpoints(folder: Path, name: str = "") -> None:
    """Copy the furthest unfinished work for ``folder`` from the places of ``resume_from``, if it is further than here.

    It replaces what is here: checkpoints of two machines are not mixed. A torn one is named and left behind.
    """
    own = _progress(whole(folder / records.SCRATCH))
    found = [(_progress(_scratch_of(root, folder)), root) for root in roots()]
    for progress, root in sorted(found, key=lambda pair: pair[0], reverse=True):
        if progress <= own:
            return
        try:
            with root.opened(folder) as there:
                size = _take_over(folder, there, own)
        except OSError as error:
            if error.errno in OF_THIS_DISK:
                raise
            say(f"{error}; what was begun in {root.name} is left aside")
            continue
        if size:
            say(f"{name or folder.parent.name}: what was begun in {root.name} is copied ({amounts.size(size)})")
            return


def _take_over(folder: Path, there: Path, own: tuple[int, int, int]) -> int:
    """Replace the scratch folder by the one in ``there``, if it is further than ``own``; bytes copied, else 0."""
    copy = folder / f"{records.SCRATCH}.tmp"
    try:
        files = _copy_scratch(there / records.SCRATCH, copy)
        if _progress(files) <= own:
            return 0
        _join_logs(there, folder)
        _add_segments(there / "segments", folder / "segments")
        store.remove(folder / records.SCRATCH)
        copy.rename(folder / records.SCRATCH)
        return sum(files.values())
    finally:
        store.remove(copy)


def how_far(scratch: Path) -> tuple[int, int, int]:
    """How far the unfinished work in a scratch folder is, to be compared: see ``_progress``."""
    return _progress(whole(scratch))


def _progress(files: dict[str, int]) -> tuple[int, int, int]:
    """How far unfinished work is, to be compared: newest step of a checkpoint (-1: none), files, bytes."""
    steps = [int(found[1]) for name in files if (found := STEP.search(name))]
    return max(steps, default=-1), len(files), sum(files.values())


def _scratch_of(root: Root, folder: Path) -> dict[str, int]:
    inside = f"{records.SCRATCH}/"
    names = {name: size for name, size in root.names(folder).items() if name.startswith(inside)}
    return {name: size for name, size in names.items() if not name.endswith(".tmp")}


def whole(scratch: Path) -> dict[str, int]:
    """Size by name of the files in a scratch folder; a checkpoint cut short is none."""
    files = [path for path in scratch.rglob("*") if path.is_file() and path.suffix != ".tmp"]
    return {str(path.relative_to(scratch)): path.stat().st_size for path in files if not _torn(path)}


def _torn(path: Path) -> bool:
    # torch.save writes a zip file, whose directory stands at its end
    return STEP.search(path.name) is not None and not zipfile.is_zipfile(path)


def _copy_scratch(there: Path, copy: Path) -> dict[str, int]:
    store.remove(copy)
    copy.mkdir()
    for path in sorted(there.rglob("*")):
        if not path.is_file() or path.suffix == ".tmp":
            continue
        if _torn(path):
            say(f"checkpoint {path} is cut short; the one before it is used")
            continue
        target = copy / path.relative_to(there)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return whole(copy)


def _join_logs(there: Path, folder: Path) -> None:
    """Put the earlier session's log before what this one has written so far, once."""
    if not (there / "log.txt").is_file():
        return
    earlier, log = (there / "log.txt").read_bytes(), folder / "log.txt"
    own = log.read_bytes() if log.exists() else b""
    if not own.startswith(earlier):
        temporary = log.with_suffix(".tmp")
        temporary.write_bytes(earlier + own)
        temporary.replace(log)


def _add_segments(there: Path, here: Path) -> None:
    """Add the costs of an earlier session's segments to this one's; each counts once."""
    here.mkdir(exist_ok=True)
    known = {_start(path) for path in here.glob("*.json")}
    for path in sorted(there.glob("*.json")):
        if _start(path) not in known:
            shutil.copyfile(path, here / f"{len(list(here.glob('*.json'))):04d}.json")


def _start(segment: Path) -> tuple[Any, Any]:
    try:
        content = json.loads(segment.read_text(encoding="utf-8"))
        return content["host"], content["start"]
    except (ValueError, KeyError, TypeError):
        return segment.name, None  # torn: the meter leaves it out

"""What the store writes down: done.json beside a result, the receipt beside a real file, and whether they still hold.

A file is known again by size, modification time and inode; only where those differ (the store was moved, somebody wrote
into it) are its bytes read and compared with the digest. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cspine.errors import CspineError
from cspine.hashing import file_digest
from cspine.writing import replacing

WORK = Path("work")
DONE = "done.json"
REQUEST = "request.json"  # what is being made, until done.json is there
NEEDS = "needs.json"  # in work/ itself: see cspine.store.needs
SCRATCH = "scratch"  # checkpoints and finished parts, until done.json is there
MOST_LINKS = 40  # from a declared place to the file, as the kernel has it (path_resolution(7))
ALWAYS_RECORDED = ("stage", "key", "code", "config", "observed", "at", "inputs", "outputs")


def read_done(folder: Path) -> dict[str, Any] | None:
    """done.json of a store folder; None when the result is not there, not finished, or the record is damaged."""
    return as_done(read_json(folder / DONE))


def as_done(value: Any) -> dict[str, Any] | None:
    """``value`` when it is the content of a done.json with all that is relied upon, else None."""
    if not isinstance(value, dict) or not all(name in value for name in ALWAYS_RECORDED):
        return None
    try:
        inputs = [recorded for listed in value["inputs"].values() for recorded in listed]
        whole = all(isinstance(r["path"], str) and isinstance(r["digest"], str) for r in inputs)
        for output in (outputs := outputs_of(value)):
            whole = whole and all(isinstance(output[name], str) for name in ("file", "digest"))
            whole = whole and Path(output["file"]).name == output["file"]
            whole = whole and all(isinstance(output[name], int) for name in ("size", "mtime_ns", "inode"))
    except (AttributeError, KeyError, TypeError):
        return None
    return value if whole and outputs else None


def receipt_path(path: Path) -> Path:
    """The receipt beside a real file: which result of the store it is a copy of."""
    return path.with_name(f".{path.name}.receipt.json")


def read_receipt(path: Path) -> dict[str, Any] | None:
    """The receipt beside ``path``, or None."""
    receipt = read_json(receipt_path(path))
    return receipt if isinstance(receipt, dict) and {"stage", "key", "digest"} <= receipt.keys() else None


def read_request(folder: Path) -> dict[str, Any] | None:
    """What an unfinished folder would become (see ``store.begin``), or None."""
    request = read_json(folder / REQUEST)
    return request if isinstance(request, dict) else None


def damage(folder: Path, done: dict[str, Any]) -> str | None:
    """What is wrong with the files of a finished result, in words; None when they are as they were made.

    Size, modification time and inode are compared; the bytes only where those differ (the store was moved), once:
    what is found then is written into done.json.
    """
    moved = []
    for output in outputs_of(done):
        path = folder / output["file"]
        if same_stat(path, output):
            continue
        if not path.exists():
            return (
                f"{path} leads to {path.readlink()}, which is not there" if path.is_symlink() else f"{path} is missing"
            )
        if file_digest(path) != output["digest"]:
            return altered(path)
        moved.append(output)
    if moved:
        _remember(folder, done, moved)
    return None


def content_digest(path: Path) -> str:
    """The digest of what ``path`` leads to: from the store's record where that still holds, else from the bytes."""
    return _digests(path)[0]


def input_digest(path: Path) -> str:
    """The digest of an input of a stage.

    Raises:
        CspineError: it is not there, or it is a file of the store that was altered since it was made.
    """
    if not path.exists():
        raise CspineError(f"input {path} does not exist; ask for it by name: snakemake --cores 4 {path}")
    digest, recorded, stored = _digests(path)
    if recorded is not None and digest != recorded:
        raise CspineError(
            f"input {path}: {altered(stored)}; nothing is made from it. Run the workflow again, which makes it "
            f"again first, or ask for it by name: snakemake --cores 4 {path}"
        )
    return digest


def _digests(path: Path) -> tuple[str, str | None, Path]:
    """Content digest, the digest in the store's record (None: no result of the store), and the store's file.

    A declared place may lead into work/ and from there into the folder of an earlier session: the record of each link
    is asked on the way, so that a file far away is not read again.
    """
    for hop in links(path):
        done = read_done(hop.parent)
        output = next((o for o in outputs_of(done) if o["file"] == hop.name), None) if done else None
        if done and output:
            if not same_stat(hop, output):
                digest = file_digest(hop)
                if digest != output["digest"]:
                    return digest, output["digest"], hop
                _remember(hop.parent, done, [output])
            return output["digest"], output["digest"], hop
    receipt = read_receipt(path)
    if receipt and same_stat(path, receipt):
        return receipt["digest"], None, path
    return file_digest(path), None, path


def links(path: Path) -> Iterator[Path]:
    """``path`` and each place it leads to, link by link, the last one no link."""
    for _ in range(MOST_LINKS):
        path = Path(os.path.realpath(path.parent), path.name)
        yield path
        if not path.is_symlink():
            return
        path = path.parent / path.readlink()


def write_json(path: Path, value: Any) -> None:
    """Write so that a reader, or a crash at any moment, sees the old file or the new one, never half of it."""
    with replacing(path, path.with_name(f"{path.name}.{os.getpid()}.tmp")) as stream:
        stream.write(json.dumps(value, indent=1, ensure_ascii=False).encode())


def outputs_of(done: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """The records of all files of a result: file, digest, size, mtime_ns, inode."""
    return [output for outputs in done["outputs"].values() for output in outputs]


def stat_of(path: Path) -> dict[str, int]:
    """Size (bytes), modification time (ns) and inode by which a file is known again; of a folder, over its files."""
    found = path.stat()
    size, latest = found.st_size, found.st_mtime_ns
    if stat.S_ISDIR(found.st_mode):
        size = 0
        for entry in _below(path):
            size += entry.st_size if stat.S_ISREG(entry.st_mode) else 0
            latest = max(latest, entry.st_mtime_ns)
    return {"size": size, "mtime_ns": latest, "inode": found.st_ino}


def _below(folder: Path | str) -> Iterator[os.stat_result]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.stat()
            if entry.is_dir():
                yield from _below(entry.path)


def same_stat(path: Path, recorded: dict[str, Any]) -> bool:
    """Whether ``path`` still has the size, modification time and inode that were recorded."""
    try:
        return all(recorded.get(name) == value for name, value in stat_of(path).items())
    except OSError:
        return False


def _remember(folder: Path, done: dict[str, Any], outputs: Sequence[dict[str, Any]]) -> None:
    """Record the present stat of files whose digests were found right; nothing is written outside of work/."""
    now = read_done(folder)
    if Path(os.path.realpath(folder)).parents[1] != Path(os.path.realpath(WORK)) or not now:
        return
    if now["outputs"] != done["outputs"]:
        return  # made again in the meantime
    for output in outputs:
        output.update(stat_of(folder / output["file"]))
    with contextlib.suppress(OSError):  # a store that may only be read is compared by its digests each time
        write_json(folder / DONE, done)


def altered(path: Path) -> str:
    """The words for a file that is not what it was."""
    return f"{path} was altered since it was made"


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None where there is none or it is torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except ValueError:  # torn or altered by something other than us (not UTF-8, not JSON): as good as absent
        return None

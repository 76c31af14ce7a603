"""What the fingerprint knows of each module, kept between processes: hundreds of jobs need not parse the same files.

The workflow's main process writes it when it has read all modules; a job believes an entry while the file's size,
modification time and inode are those it was read at. Without it, or with a damaged one, the modules are read again.
Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

MEMORY = Path("work/modules.json")
Facts = tuple[str, tuple[str, ...]]  # a module's digest, and every name it imports


def recall(module: str, path: Path, reader: Path) -> Facts | None:
    """What was remembered of ``module``, if its file and the ``reader`` that took the digest are still the same."""
    memory = _memory()
    entry = memory.get(module)
    if entry is None or memory.get("") != [_stat(reader)] or entry[0] != _stat(path):
        return None
    return str(entry[1]), tuple(entry[2])


def remember(facts: dict[str, tuple[Path, Facts]], reader: Path) -> None:
    """Write down ``facts`` (module -> file, and what is known of it), whole or not at all."""
    earlier = _memory() if _memory().get("") == [_stat(reader)] else {}
    new = {module: [_stat(path), digest, list(imports)] for module, (path, (digest, imports)) in facts.items()}
    entries = {**earlier, "": [_stat(reader)], **new}
    if entries == earlier:
        return
    MEMORY.parent.mkdir(exist_ok=True)
    temporary = MEMORY.with_name(f"{MEMORY.name}.{os.getpid()}.tmp")
    with contextlib.suppress(OSError):  # a full disk costs time only
        temporary.write_text(json.dumps(entries, sort_keys=True), encoding="utf-8")
        temporary.replace(MEMORY)


@cache
def _memory() -> dict[str, list[Any]]:
    try:
        found = json.loads(MEMORY.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _stat(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ino]

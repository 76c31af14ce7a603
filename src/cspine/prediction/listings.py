"""The files of a study as they are now, and a digest that tells them from others."""

from __future__ import annotations

import os
from pathlib import Path

from cspine.hashing import digest_of


def files_below(folder: Path) -> list[tuple[str, int, int]]:
    """(name below ``folder``, bytes, modification time in ns) of every file, by name; -1 for a broken link."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)  # noqa: PTH118 - hundreds of thousands of them
            try:
                stat = os.stat(path)  # noqa: PTH116
                found.append((os.path.relpath(path, folder), stat.st_size, stat.st_mtime_ns))
            except OSError:
                found.append((os.path.relpath(path, folder), -1, -1))
    return sorted(found)


def listing_digest(files: list[tuple[str, int, int]]) -> str:
    """What tells these files from others, without reading them."""
    return digest_of([list(file) for file in files])

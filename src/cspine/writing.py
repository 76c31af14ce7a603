"""Files written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from cspine.faults import fault_point


def write_whole(path: Path, content: bytes | memoryview, what: str = "file") -> None:
    """Write ``content`` so that a reader, or a crash at any moment, sees the old file or the new one, never half of it.

    Plain Python writes the bytes: a full disk is an ``OSError`` here, whatever library made them.

    Args:
        path: its folder exists.
        content: all of it.
        what: names the places where a test can kill the process, ``<what>-half-written`` and ``<what>-before-rename``.

    Raises:
        OSError: the disk is full, or the like; nothing of the attempt is left behind.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            half = len(content) // 2
            stream.write(content[:half])
            stream.flush()
            fault_point(f"{what}-half-written")
            stream.write(content[half:])
            stream.flush()
            os.fsync(stream.fileno())
        fault_point(f"{what}-before-rename")
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # write() does not say so itself
        raise
    flush(path.parent)


def flush(path: Path) -> None:
    """Have a file's bytes, or the names in a folder, on the disk, also when the power fails (fsync(2))."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

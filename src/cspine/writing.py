"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

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
    with replacing(path, path.with_name(f"{path.name}.tmp"), f"{what}-before-rename") as stream:
        half = len(content) // 2
        stream.write(content[:half])
        stream.flush()
        fault_point(f"{what}-half-written")
        stream.write(content[half:])


@contextlib.contextmanager
def replacing(path: Path, temporary: Path, before_rename: str = "") -> Iterator[BinaryIO]:
    """A stream into ``temporary``, which takes the place of ``path`` by one rename when all is on the disk.

    Several processes that may write the same file at once need a temporary each.

    Raises:
        OSError: the disk is full, or the like; nothing of the attempt is left behind.
    """
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if before_rename:
            fault_point(before_rename)
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

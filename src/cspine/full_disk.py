"""A disk that is full, and the like: what could not be written, how much is free, and what to do about it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from cspine.amounts import size

WHY = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota on this disk is used up",
    errno.EFBIG: "a file may not be that large here (`ulimit -f`, or the file system's own limit)",
}


def is_full(error: BaseException) -> bool:
    """Whether this error, or one that it came from, says that there is no room for more bytes."""
    return any(True for _ in _causes(error))


def words(error: BaseException) -> str:
    """For the person: the file, how much is free beside it, and how to go on."""
    causes = list(_causes(error))
    places = [place for cause in causes for place in (cause.filename2, cause.filename) if isinstance(place, str)]
    place = Path(places[0] if places else "work")
    free = shutil.disk_usage(_standing(place)).free
    return (
        f"error: cannot write {_shown(place)}: {WHY[causes[0].errno or 0]}; {size(free)} are free there. Make space "
        "(`python -m cspine gc --dry-run` says what can go) and run the same command again: what is finished stays, "
        "what was begun goes on."
    )


def name(error: BaseException, place: Path) -> None:
    """Have ``error`` say where it happened, where it does not: libraries and ``write()`` leave it out."""
    for cause in _causes(error):
        cause.filename = cause.filename or str(place)


def _causes(error: BaseException | None) -> Iterator[OSError]:
    while error is not None:
        if isinstance(error, OSError) and error.errno in WHY:
            yield error
        error = error.__cause__ or error.__context__


def _standing(place: Path) -> Path:
    """``place`` or the nearest folder above it that is there."""
    return next(folder for folder in [place, *place.absolute().parents] if folder.exists())


def _shown(place: Path) -> str:
    return os.path.relpath(place) if place.absolute().is_relative_to(Path.cwd()) else str(place)

"""The archive of ``cspine pack``: an uncompressed tar of plain files below work/, without links.

Uncompressed, because caches, weights and checkpoints do not shrink, and so that one folder can be read out of the
middle. Standard library only.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath

from cspine.errors import CspineError
from cspine.store.records import DONE, REQUEST, WORK

Member = tuple[str, Path | bytes]  # name in the archive, and the file or the bytes it holds


def write(path: Path, members: Iterable[Member]) -> None:
    """Write ``members`` in their order to ``path``: whole or not at all; equal content gives equal bytes.

    A file is opened before its size is written down, so that one that is replaced meanwhile is still packed whole.

    Raises:
        OSError: the disk is full, or the like; nothing of the attempt is left behind.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with tarfile.open(temporary, "w:", format=tarfile.GNU_FORMAT) as archive:
            for name, source in members:
                with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
                    entry = tarfile.TarInfo(name)  # mode 0644, no owner, no time
                    entry.size = stream.seek(0, io.SEEK_END)
                    stream.seek(0)
                    archive.addfile(entry, stream)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_archive(path: Path) -> bool:
    """Whether ``path`` is an archive of ``cspine pack``."""
    try:
        return any(PurePosixPath(name).name in (DONE, REQUEST) for name in _members(path))
    except CspineError:
        return False


def read(path: Path, name: str) -> bytes | None:
    """The content of the member ``name``, or None."""
    member = _members(path).get(name)
    if member is None:
        return None
    with tarfile.open(path, "r:") as archive, archive.extractfile(member) or io.BytesIO() as stream:
        return stream.read()


def names_below(path: Path, folder: str) -> dict[str, int]:
    """Size (bytes) of every member below ``folder`` by its name relative to it."""
    inside = {PurePosixPath(name): member for name, member in _members(path).items() if name.startswith(f"{folder}/")}
    return {name.relative_to(folder).as_posix(): member.size for name, member in inside.items()}


@contextlib.contextmanager
def unpacked(path: Path, folder: str, place: Path) -> Iterator[Path]:
    """The files below ``folder`` in the archive, unpacked into ``place``, which is taken away at the end."""
    shutil.rmtree(place, ignore_errors=True)
    try:
        with tarfile.open(path, "r:") as archive:
            for name in names_below(path, folder):
                target = place / name
                target.parent.mkdir(parents=True, exist_ok=True)
                member = _members(path)[f"{folder}/{name}"]
                with archive.extractfile(member) or io.BytesIO() as stream, target.open("wb") as written:
                    shutil.copyfileobj(stream, written, 2**20)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@cache
def _members(path: Path) -> dict[str, tarfile.TarInfo]:
    """Every member by name. Only plain files below work/ are taken, so nothing can be unpacked to another place.

    Raises:
        CspineError: the file is no tar, is cut short, or holds something else.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            members = {member.name: member for member in archive.getmembers()}
    except (tarfile.TarError, OSError) as error:
        raise CspineError(f"{path} cannot be read as an archive of `cspine pack`: {error}") from error
    for name, member in members.items():
        parts = PurePosixPath(name).parts
        if not member.isreg() or ".." in parts or parts[0] != str(WORK):
            raise CspineError(f"{path}: found {name}; an archive of `cspine pack` holds plain files below {WORK}/ only")
    return members

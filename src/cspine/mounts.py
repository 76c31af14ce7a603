"""What lies below a folder of mounted inputs, such as /kaggle/input, found without walking through a million images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from cspine.store import archives, records, roots

NOT_ENTERED = frozenset({"train_images", "test_images", "segmentations", str(records.WORK)})


def walk(below: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """(folder, names of its folders, names of its files) for each folder below, but not inside images and stores."""
    for folder, inner, names in os.walk(below):
        yield Path(folder), sorted(inner), sorted(names)
        inner[:] = sorted(set(inner) - NOT_ENTERED)


def files(below: Path, pattern: str) -> list[Path]:
    """The files below of a name like ``pattern`` (``*.whl``)."""
    return [folder / name for folder, _, names in walk(below) for name in names if fnmatch(name, pattern)]


def sessions(below: Path) -> list[str]:
    """What `resume_from` can name below: work/ folders of earlier sessions, then archives of `cspine pack`.

    Their order changes no result: a result is the same wherever it lies, and of unfinished work the furthest counts.
    """
    stores = [folder / records.WORK for folder, inner, _ in walk(below) if str(records.WORK) in inner]
    found = [store for store in stores if roots.is_store(store)]
    return [str(path) for path in [*found, *filter(archives.is_archive, files(below, "*.tar"))]]

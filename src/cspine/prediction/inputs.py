"""What is to be predicted: one study's folder, a folder of such folders, or what a sample submission asks for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cspine.errors import CspineError
from cspine.raw_folder import COHORTS, numeric_aware

PREAMBLE, MARK = 128, b"DICM"  # PS3.10 7.1
ASKED = 5  # files of a folder that are looked into before it is taken for no study


@dataclass(frozen=True)
class StudyInput:
    """One study to predict.

    Attributes:
        uid: the name of ``folder``, in the competition's data its StudyInstanceUID.
        folder: None where there is none.
    """

    uid: str
    folder: Path | None


def studies_at(path: Path, asked: Iterable[str] | None = None) -> list[StudyInput]:
    """The studies at ``path``.

    Args:
        path: a study (a folder with DICOM files in it), a folder of studies, or the competition's folder, whose
            test_images are meant.
        asked: the StudyInstanceUIDs of a sample submission, in its order; each is looked for by its folder's name.

    Raises:
        CspineError: no such folder, or nothing in it that could be a study.
    """
    if not path.is_dir():
        raise CspineError(f"{path}: found no such folder; expected a study's folder or a folder of studies")
    base = _base(path)
    if asked is not None:
        return [_asked(base, uid) for uid in dict.fromkeys(asked)]
    if is_study(base):
        return [StudyInput(base.name, base)]
    folders = sorted(_folders(base), key=_by_name)
    if not folders:
        raise CspineError(f"{base}: found neither DICOM files nor folders; expected a study or a folder of studies")
    return [StudyInput(folder.name, folder) for folder in folders]


def is_study(folder: Path) -> bool:
    """Whether DICOM files lie in ``folder`` itself; tables and notes beside studies are none."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    named = [p for p in files if p.suffix.lower() in (".dcm", ".dicom", ".ima")]
    return bool(named) or any(_is_dicom(p) for p in files[:ASKED])


def not_asked_for(path: Path, asked: Iterable[str]) -> list[str]:
    """The names of the folders at ``path`` that are none of ``asked``."""
    return sorted({folder.name for folder in _folders(_base(path))} - set(asked))


def _base(path: Path) -> Path:
    """The folder that is meant by ``path``, with a name of its own: a study has its folder's, and "." has none."""
    place = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would give a link the name of what it leads to
    test = place / COHORTS["test"]
    return test if test.is_dir() else place


def _folders(base: Path) -> list[Path]:
    return [p for p in base.iterdir() if p.is_dir() and not p.name.startswith(".")]


def _asked(base: Path, uid: str) -> StudyInput:
    inside = base / uid
    alone = base.name == uid  # the study's own folder was named
    return StudyInput(uid, inside if inside.is_dir() else base if alone else None)


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(PREAMBLE + len(MARK))[PREAMBLE:] == MARK
    except OSError:
        return False


def _by_name(path: Path) -> tuple[list[str | int], str]:
    return numeric_aware(path.name)

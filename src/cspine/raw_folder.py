"""The Kaggle folder as it lies on this machine: what must be in it, what is in it, and a digest of both.

Standard library only: the Snakefile asks here before anything is planned, and the store before anything is imported.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cspine.errors import CspineError
from cspine.studies import LABELS

COHORTS = {"train": "train_images", "test": "test_images"}  #: cohort -> its folder
MASKS = "segmentations"
CSV_COLUMNS: dict[str, tuple[str, ...]] = {
    "train.csv": ("StudyInstanceUID", *LABELS),
    "train_bounding_boxes.csv": ("StudyInstanceUID", "x", "y", "width", "height", "slice_number"),
    "test.csv": ("row_id", "StudyInstanceUID", "prediction_type"),
    "sample_submission.csv": ("row_id", "fractured"),
}
OPTIONAL = ("test.csv",)  #: the hidden test of a scoring run may come with sample_submission.csv alone
PROBE_BYTES = 4096
MASK_PROBES = 16  # masks of one scanner have one size, so they are told apart by more of their content


class RawFile(NamedTuple):
    """One file below a study's folder (or one mask)."""

    cohort: str  # train | test | segmentations
    StudyInstanceUID: str
    file: str  # posix path below the study's folder
    size: int  # bytes; -1 where the file could not be looked at (a broken link)
    digest: str  # sha256, 64 hex digits; "" where the content was not looked at


def check_raw_folder(root: Path) -> None:
    """Raise one CspineError that names every missing file, folder and column of the Kaggle folder ``root``.

    Reads the first line of each CSV only.
    """
    if not root.is_dir():
        raise CspineError(
            f"data folder {root} is not there; point `data.root` of the configuration to the unpacked competition"
            " (the folder with train.csv and train_images/), or make the phantom"
        )
    wrong = [f"no folder {folder}/" for folder in COHORTS.values() if not (root / folder).is_dir()]
    for name, columns in CSV_COLUMNS.items():
        path = root / name
        if not path.is_file():
            wrong += [] if name in OPTIONAL else [f"no file {name}"]
            continue
        missing = [c for c in columns if c not in _header(path)]
        wrong += [f"{name} has no column {c}" for c in missing]
    if wrong:
        raise CspineError(
            f"data folder {root} is not a complete competition folder: {'; '.join(wrong)}."
            " Download and unpack rsna-2022-cervical-spine-fracture-detection again, or correct `data.root`"
        )


def study_folders(root: Path) -> dict[str, list[str]]:
    """The study folders of each cohort, sorted: {"train": [uid, ...], "test": [uid, ...]}. One scandir per cohort."""
    folders = {}
    for cohort, name in COHORTS.items():
        if not (root / name).is_dir():
            raise CspineError(f"{root} has no folder {name}/")
        with os.scandir(root / name) as entries:
            folders[cohort] = sorted(e.name for e in entries if e.is_dir())
    return folders


def listing(root: Path, manifest: Path | None = None) -> Iterator[RawFile]:
    """Every file of every study folder, by cohort, study and numeric-aware name.

    The first, middle and last file of a study carry a probe digest (sha256 of their middle 4 kB). With a
    ``manifest`` (columns path,size,digest; paths below ``root``) a file of the size written there carries that
    full digest instead, and any other file is probed: the manifest is never believed against the disk.
    """
    known = _read_manifest(manifest)
    for cohort, uids in study_folders(root).items():
        for uid in uids:
            folder = root / COHORTS[cohort] / uid
            files = sorted(_walk(folder), key=lambda item: numeric_aware(item[0]))
            probed = {0, len(files) // 2, len(files) - 1}
            for i, (name, size) in enumerate(files):
                digest = known.get((f"{COHORTS[cohort]}/{uid}/{name}", size), "")
                if not digest and (known or i in probed):
                    digest = probe(folder / name, size)
                yield RawFile(cohort, uid, name, size, digest)


def masks(root: Path, manifest: Path | None = None) -> list[RawFile]:
    """The segmentations, sorted by study; none when the folder is absent. Every mask carries a digest."""
    if not (root / MASKS).is_dir():
        return []
    known = _read_manifest(manifest)
    found = []
    for name, size in _walk(root / MASKS):
        if not name.endswith((".nii", ".nii.gz")):
            continue
        uid = name.removesuffix(".gz").removesuffix(".nii")
        digest = known.get((f"{MASKS}/{name}", size), "") or probe(root / MASKS / name, size, MASK_PROBES)
        found.append(RawFile(MASKS, uid, name, size, digest))
    return sorted(found, key=lambda f: (f.StudyInstanceUID, f.file))


def observe(root: Path, manifest: Path | None = None) -> str:
    """Digest of all that ``inventory`` reads: CSV bytes, folder names, files' names, sizes and digests, masks."""
    check_raw_folder(root)
    digest = hashlib.sha256(observe_names(root).encode())
    for file in [*listing(root, manifest), *masks(root, manifest)]:
        digest.update(("\0".join(map(str, file)) + "\n").encode())
    return digest.hexdigest()


def observe_names(root: Path) -> str:
    """Digest of the CSVs' bytes and the study folders' names: cheap enough to ask whenever jobs are planned."""
    digest = hashlib.sha256()
    for name in CSV_COLUMNS:
        path = root / name
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"
        digest.update(f"{name}\0{content}\n".encode())
    for cohort, uids in study_folders(root).items():
        digest.update(("\0".join([cohort, *uids]) + "\n").encode())
    return digest.hexdigest()


def read_rows(path: Path, columns: Sequence[str], absent: str = "") -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV as (line number, {column: text}); only ``columns``, all of which must be there.

    ``absent`` stands for the cells that a line is too short to have.
    """
    if not path.is_file():
        raise CspineError(f"{path} is not there; it must have the columns {', '.join(columns)}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, restval=absent)
            missing = [c for c in columns if c not in (reader.fieldnames or [])]
            if missing:
                found = ", ".join(reader.fieldnames or []) or "nothing"
                raise CspineError(f"{path} has no column {', '.join(missing)}; it has {found}")
            return [(reader.line_num, {c: (row[c] or "").strip() for c in columns}) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CspineError(f"{path} cannot be read as a UTF-8 CSV: {error}; unpack it again") from error


def files_by_study(shards: Iterable[Path]) -> dict[str, list[str]]:
    """The files of each study in the inventory's ``shards`` (StudyInstanceUID, file), in their order."""
    files: dict[str, list[str]] = {}
    for shard in shards:
        for _, row in read_rows(shard, ("StudyInstanceUID", "file")):
            files.setdefault(row["StudyInstanceUID"], []).append(row["file"])
    return files


def numeric_aware(name: str) -> tuple[list[str | int], str]:
    """Sort key under which 2.dcm comes before 10.dcm."""
    parts: list[str | int] = [int(p) if p.isdecimal() else p for p in re.split(r"(\d+)", name)]
    return parts, name


def probe(path: Path, size: int, blocks: int = 1) -> str:
    """sha256 of ``blocks`` 4 kB pieces spread over a file, the middle one when there is one; "" if unreadable."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            for block in range(blocks):
                stream.seek(max(0, size * (2 * block + 1) // (2 * blocks) - PROBE_BYTES // 2))
                digest.update(stream.read(PROBE_BYTES))
    except OSError:
        return ""
    return digest.hexdigest()


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        return next(csv.reader(stream), [])


def _walk(folder: Path, below: str = "") -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(folder / entry.name, f"{below}{entry.name}/")
                continue
            try:
                size = entry.stat().st_size
            except OSError:
                size = -1
            yield below + entry.name, size


def _read_manifest(manifest: Path | None) -> Mapping[tuple[str, int], str]:
    if manifest is None:
        return {}
    rows = read_rows(manifest, ("path", "size", "digest"))
    return {(row["path"], int(row["size"])): row["digest"] for _, row in rows}

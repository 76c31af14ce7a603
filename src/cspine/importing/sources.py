"""What there is to import: the rows of the CSVs in the competition's words, and the folders and masks by name."""

from __future__ import annotations

import csv
import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cspine.errors import CspineError
from cspine.importing.columns import Columns, check_given, guessed, recognised
from cspine.raw_folder import CSV_COLUMNS
from cspine.studies import LABELS, UID

BOX_NUMBERS = CSV_COLUMNS["train_bounding_boxes.csv"][1:]
#: how a label is written -> in train.csv; any case
WORDS = {
    **dict.fromkeys(("0", "0.0", "false", "no", "negative"), "0"),
    **dict.fromkeys(("1", "1.0", "true", "yes", "positive"), "1"),
    **dict.fromkeys(("", "na", "n/a", "nan", "null", "unknown"), ""),
}
DELIMITERS = ",;\t"


class LabelRow(NamedTuple):
    """One row of the CSV of labels."""

    line: int
    study: str  # as the file names it
    labels: dict[str, str]  # by LABELS: "0", "1" or "" (unknown)


class BoxRow(NamedTuple):
    """One row of the CSV of boxes."""

    line: int
    study: str
    numbers: dict[str, str]  # by BOX_NUMBERS, as written
    readable: bool  # all of them are finite numbers


@dataclass(frozen=True)
class Found:
    """Folders or masks by the study's name, and how many other entries lie beside them."""

    paths: dict[str, Path]
    others: int


def header_of(path: Path) -> list[str]:
    """The names of a CSV's columns."""
    if not path.is_file():
        raise CspineError(f"found no file {path}; expected a CSV with a header")
    return [name.strip() for name in next(iter(_lines(path)), (0, []))[1]]


def label_columns(path: Path, images: Path, given: Columns) -> dict[str, str]:
    """The column of the study and of each label; ``given``: what the options say of them.

    Raises:
        CspineError: a column that cannot be told; lists those found, and a command to complete.
    """
    header, wanted = header_of(path), (UID, *LABELS)
    columns = recognised(header, wanted, given)
    check_given(path, header, columns)
    missing = [name for name in wanted if name not in columns]
    if not missing and not columns[UID]:
        raise CspineError(f"--study: found nothing, expected the column of {path} that names the study folders")
    if missing:
        free = [column for column in header if column not in columns.values()]
        guesses = {name: columns.get(name, guessed(name, free)) for name in wanted}
        study = guesses.pop(UID) or "COLUMN"
        words = ["python", "-m", "cspine", "import", str(path), str(images), "--study", study, "--columns"]
        pasteable = shlex.join([*words, *(f"{name}={column}" for name, column in guesses.items())])
        raise CspineError(
            f"{path}: found no column for {', '.join(missing)}; its columns: {', '.join(header)}. Say which is which "
            "(NAME= with nothing after it: there is none, and the label is unknown of every study), e.g.\n"
            f"  {pasteable}"
        )
    return columns


def box_columns(path: Path, study: str, given: Columns) -> dict[str, str]:
    """The same of the boxes; their study's column is by default called as that of the labels, ``study``."""
    header, wanted = header_of(path), CSV_COLUMNS["train_bounding_boxes.csv"]
    named = {UID: study} if study in header else {}
    columns = recognised(header, wanted, {**named, **given})
    check_given(path, header, columns)
    missing = [name for name in wanted if not columns.get(name)]
    if missing:
        guesses = " ".join(f"{name}={guessed(name, header) or 'COLUMN'}" for name in missing)
        raise CspineError(
            f"{path}: found no column for {', '.join(missing)}; its columns: {', '.join(header)}. Say which is which, "
            f"e.g. --box-columns {guesses}"
        )
    return columns


def label_rows(path: Path, columns: Columns) -> list[LabelRow]:
    """Every row of the CSV of labels.

    Raises:
        CspineError: a value that is no label, or a line that is too short; names line and column.
    """
    rows = []
    for line, cells in _rows(path):
        labels = {}
        for name in LABELS:
            value = cells[columns[name]] if columns[name] else ""
            if value.lower() not in WORDS:
                raise CspineError(
                    f"{path}, line {line}: column {columns[name]} is {value!r}; expected 0 or 1, true or false, yes or "
                    "no, positive or negative, or, where it is unknown, a blank or NA"
                )
            labels[name] = WORDS[value.lower()]
        rows.append(LabelRow(line, cells[columns[UID]], labels))
    return rows


def box_rows(path: Path, columns: Columns) -> list[BoxRow]:
    """Every row of the CSV of boxes; what is no number is for a finding."""
    rows = []
    for line, cells in _rows(path):
        numbers = {name: cells[columns[name]] for name in BOX_NUMBERS}
        rows.append(BoxRow(line, cells[columns[UID]], numbers, all(map(_is_number, numbers.values()))))
    return rows


def study_folders(folder: Path, option: str) -> Found:
    """The study folders in a folder, links to folders included."""
    if not folder.is_dir():
        raise CspineError(f"{option}: found no folder {folder}; expected one with a folder for each study in it")
    entries = sorted(folder.absolute().iterdir())
    return Found({p.name: p for p in entries if p.is_dir()}, sum(not p.is_dir() for p in entries))


def mask_files(folder: Path) -> Found:
    """The masks in a folder: <study>.nii or <study>.nii.gz."""
    if not folder.is_dir():
        raise CspineError(f"--masks: found no folder {folder}; expected one with <study>.nii.gz files in it")
    entries = sorted(folder.absolute().iterdir())
    masks = [p for p in entries if p.name.endswith((".nii", ".nii.gz")) and p.is_file()]
    paths = {p.name.removesuffix(".gz").removesuffix(".nii"): p for p in masks}
    return Found(paths, len(entries) - len(paths))


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows under the header, as dicts; empty lines are none."""
    header = header_of(path)
    for line, cells in list(_lines(path))[1:]:
        if not any(cells):
            continue
        if len(cells) < len(header):
            raise CspineError(f"{path}, line {line}: {len(cells)} cells, expected {len(header)} as in the header")
        yield line, dict(zip(header, cells, strict=False))


def _lines(path: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Line number and stripped cells; separated by whichever of comma, semicolon and tab the header has most of."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            reader = csv.reader(stream, delimiter=max(DELIMITERS, key=first.count))
            for cells in reader:
                yield reader.line_num, [cell.strip() for cell in cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CspineError(f"{path} cannot be read as a UTF-8 CSV: {error}") from error


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False

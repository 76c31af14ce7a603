"""Which column of another data set's CSV is which of the competition's."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from cspine.errors import CspineError

Columns = Mapping[str, str]  # the competition's name -> the file's; "" where the file has none


def assignments(option: str, words: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """``C1=fx_c1 C2=`` as a dict; "" says that the file has no such column.

    Raises:
        CspineError: a word without ``=``, or before it a name that is none of ``known``.
    """
    given = {}
    for word in words:
        name, equals, column = word.partition("=")
        if not equals or name not in known:
            raise CspineError(f"{option}: found {word!r}, expected NAME=COLUMN with a NAME of {', '.join(known)}")
        given[name] = column
    return given


def recognised(header: Sequence[str], wanted: Sequence[str], given: Columns) -> dict[str, str]:
    """The column of each of ``wanted``: as given, else of that name, else the only one that differs in spelling.

    Spelling is case, blanks, underscores and other signs. What cannot be told is absent from the result.
    """
    found = {}
    for name in wanted:
        alike = [column for column in header if _plain(column) == _plain(name)]
        if name in given:
            found[name] = given[name]
        elif name in header:
            found[name] = name
        elif len(alike) == 1:
            found[name] = alike[0]
    return found


def check_given(path: Path, header: Sequence[str], columns: Columns) -> None:
    """Each named column is there, and none is two things.

    Raises:
        CspineError: names the file, the column and what there is.
    """
    used = [column for column in columns.values() if column]
    for name, column in columns.items():
        if column and column not in header:
            near = difflib.get_close_matches(column, header, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise CspineError(f"{path} has no column {column} (for {name}); {meant}it has {', '.join(header)}")
        if used.count(column) > 1 or header.count(column) > 1:
            raise CspineError(f"{path}: column {column} is there twice, or given for several names; expected one each")


def guessed(name: str, header: Sequence[str]) -> str:
    """The column that ``name`` may mean, for a person to look at; "" if none looks like it."""
    signs = {"StudyInstanceUID": "study|uid|accession|series|case", "patient_overall": "overall|patient|any"}
    pattern = signs.get(name, f"{re.escape(name)}(?![0-9])")
    alike = [column for column in header if re.search(pattern, column, re.IGNORECASE)]
    return next(iter([*alike, *difflib.get_close_matches(name, header, n=1)]), "")


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())

"""The numbers of each study's stack of slices: size, field of view, extent, and what is missing between the slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.studies import UID

WIDE_GAP = 1.5  #: times the study's usual distance: as the reader's own finding ``uneven-spacing``
KEY = ["cohort", UID]
COLUMNS = ["cohort", UID, "z_index", "slice_number", "position", "rows", "columns", "row_spacing", "column_spacing"]
MOST_RANGES = 5  #: of missing numbers, in a finding's detail


def stack_numbers(slices: pd.DataFrame, left_out: Mapping[str, Sequence[int]]) -> pd.DataFrame:
    """One row for each study that has slices.

    Args:
        slices: index/slices.parquet (COLUMNS and crc32), each study's rows together and in the order of z_index.
        left_out: by study, the file numbers that gave no slice; they are not missing.

    Returns:
        cohort, StudyInstanceUID and
        rows, columns: of the middle slice;
        height_mm, width_mm: its field of view;
        extent_mm: from the first to the last slice;
        missing: file numbers between the lowest and the highest that no file has;
        missing_numbers: the same as text, "41-43, 57";
        missing_by_gap: slices that fit into gaps wider than WIDE_GAP times the usual one;
        in_order: file numbers only rise or only fall from head to feet;
        pixels: digest of the cached slices' checksums, equal for equal pictures; "" where all slices are one picture.
    """
    starts = np.flatnonzero(slices["z_index"].to_numpy() == 0)
    ends = np.append(starts, len(slices))[1:]
    first = slices.iloc[starts]
    middle = slices.iloc[(starts + ends - 1) // 2]
    numbers, positions = slices["slice_number"].to_numpy(np.int64), slices["position"].to_numpy(np.float64)
    table = first[KEY].reset_index(drop=True)
    for name in ("rows", "columns"):
        table[name] = middle[name].to_numpy(np.int32)
    table["height_mm"] = middle["rows"].to_numpy(np.float64) * middle["row_spacing"].to_numpy(np.float64)
    table["width_mm"] = middle["columns"].to_numpy(np.float64) * middle["column_spacing"].to_numpy(np.float64)
    table["extent_mm"] = positions[starts] - positions[ends - 1]
    holes = [
        _without(_holes(numbers[a:b]), left_out.get(uid, ()))
        for uid, a, b in zip(first[UID], starts, ends, strict=True)
    ]
    table["missing"] = np.array([sum(high - low + 1 for low, high in ranges) for ranges in holes], np.int32)
    table["missing_numbers"] = pd.Series([_as_text(ranges) for ranges in holes], dtype="str")
    gaps = [_slices_in_gaps(positions[a:b]) for a, b in zip(starts, ends, strict=True)]
    table["missing_by_gap"] = np.array(gaps, np.int32)
    table["in_order"] = np.array([_in_order(numbers[a:b]) for a, b in zip(starts, ends, strict=True)], bool)
    checksums = slices["crc32"].to_numpy(np.uint32)
    table["pixels"] = pd.Series([_digest(checksums[a:b]) for a, b in zip(starts, ends, strict=True)], dtype="str")
    return table


def _digest(checksums: NDArray[np.uint32]) -> str:
    if len(checksums) > 1 and (checksums == checksums[0]).all():
        return ""
    return blake2b(checksums.tobytes(), digest_size=8).hexdigest()


Ranges = list[tuple[int, int]]  # of numbers, both ends included


def _holes(numbers: NDArray[np.int64]) -> Ranges:
    """The ranges of numbers that are absent between the lowest and the highest."""
    known = np.sort(numbers[numbers >= 0])
    before = np.flatnonzero(np.diff(known) > 1)
    return [(int(known[i]) + 1, int(known[i + 1]) - 1) for i in before]


def _without(ranges: Ranges, numbers: Sequence[int]) -> Ranges:
    """``ranges`` without the single ``numbers``."""
    for number in numbers:
        split: Ranges = []
        for low, high in ranges:
            pieces = [(low, number - 1), (number + 1, high)] if low <= number <= high else [(low, high)]
            split += [(a, b) for a, b in pieces if a <= b]
        ranges = split
    return ranges


def _as_text(ranges: Ranges) -> str:
    words = [str(low) if low == high else f"{low}-{high}" for low, high in ranges]
    more = [f"and {len(words) - MOST_RANGES} more ranges"] if len(words) > MOST_RANGES else []
    return ", ".join(words[:MOST_RANGES] + more)


def _slices_in_gaps(positions: NDArray[np.float64]) -> int:
    gaps = np.abs(np.diff(positions))
    usual = float(np.median(gaps)) if len(gaps) > 1 else 0.0
    if not usual > 0:
        return 0
    wide = gaps[gaps > WIDE_GAP * usual]
    return int(np.rint(wide / usual - 1).sum())


def _in_order(numbers: NDArray[np.int64]) -> bool:
    steps = np.diff(numbers[numbers >= 0])
    return bool((steps > 0).all() or (steps < 0).all())

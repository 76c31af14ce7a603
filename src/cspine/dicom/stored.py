"""The numbers of one slice as its file holds them, and what they stand for when somebody asks.

What a stored 16-bit pattern means (bits in use, sign, padding, rescale) hangs on the pattern alone. So whatever is
computed pixel by pixel, Hounsfield units or the grey levels of a window, is computed once for all 65,536 patterns, by
the same functions, and then looked up: exact, in one pass over the slice, and nothing but the patterns is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cspine.dicom.hounsfield import junk_mask, padding_mask, stored_values, to_hounsfield

Rescale = tuple[float, float]  #: slope and intercept
#: Hounsfield values (any shape) -> grey levels of the same shape, each value by itself; hashable by what it does
Levels = Callable[[NDArray[Any]], NDArray[np.uint8]]


@dataclass(frozen=True)
class Coding:
    """What the bit patterns of a slice mean."""

    bits: int  # BitsStored
    high_bit: int
    signed: bool
    padding: tuple[int, ...] = ()  # patterns of PixelPaddingValue and maybe PixelPaddingRangeLimit


@dataclass(frozen=True)
class _Flags:
    """Yes (1) or no (0) for each pattern, and how many yes there are below each number that a pattern stands for."""

    by_pattern: NDArray[np.uint8]
    below: list[int]
    lowest: int  # number that ``below`` begins with

    @classmethod
    def of_mask(cls, mask: NDArray[np.bool_], signed: bool) -> _Flags:
        flags = mask.reshape(-1).view(np.uint8)
        by_value = np.roll(flags, 32768) if signed else flags
        return cls(flags, [0, *np.cumsum(by_value, dtype=np.int64).tolist()], -32768 if signed else 0)

    def any(self, low: int, high: int) -> bool:
        """Whether any number from ``low`` to ``high`` is flagged."""
        return self.below[high - self.lowest + 1] > self.below[low - self.lowest]


@dataclass(frozen=True)
class StoredPixels:
    """One slice: bit patterns (rows, columns) uint16 as in the file, and their meaning."""

    patterns: NDArray[np.uint16]
    coding: Coding

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        rows, columns = self.patterns.shape
        return rows, columns

    @property
    def signed(self) -> bool:
        """Whether the stored numbers have a sign."""
        return self.coding.signed

    def hounsfield(self, rescale: Rescale) -> NDArray[Any]:
        """stored * slope + intercept, padding set to air: (rows, columns), int16 where that is exact, else float32."""
        coding, patterns, padded = self.coding, self.patterns, None
        if coding.padding:
            padded = padding_mask(patterns, coding.padding, coding.bits, coding.signed)
        if padded is not None:
            patterns = np.where(padded, np.uint16(0), patterns)
        return to_hounsfield(stored_values(patterns, coding.bits, coding.high_bit, coding.signed), *rescale, padded)

    def grey_levels(self, rescale: Rescale, levels: Levels) -> NDArray[np.uint8]:
        """``levels`` of the Hounsfield values: equal to ``levels(self.hounsfield(rescale))``, in one pass."""
        return look_up(self.patterns, _level_table(self.coding, rescale, levels))

    @cached_property
    def value_range(self) -> tuple[int, int]:
        """The smallest and the largest pattern, read as numbers; (0, 0) of nothing."""
        values = self.patterns.view(np.int16) if self.signed else self.patterns
        return (int(values.min()), int(values.max())) if values.size else (0, 0)

    def holds_padding(self) -> bool:
        """Whether any pixel is padding."""
        flags = _padding(self.coding)
        low, high = self.value_range
        return flags.any(low, low) or flags.any(high, high) or self._count(flags) > 0

    def count_junk(self) -> int:
        """How many pixels, padding aside, have bits set above those in use."""
        return self._count(_junk(self.coding))

    def _count(self, flags: _Flags) -> int:
        """Pixels whose pattern is flagged; mostly their range tells that there is none."""
        return int(np.count_nonzero(look_up(self.patterns, flags.by_pattern))) if flags.any(*self.value_range) else 0


def look_up(patterns: NDArray[np.uint16], table: NDArray[Any]) -> NDArray[Any]:
    """The table's entry for each pattern; ``table`` has 65,536."""
    if _CV2_TAKES_16_BITS:
        return np.asarray(cv2.LUT(patterns, table))
    found = np.empty(patterns.shape, table.dtype)
    np.take(table, patterns, mode="clip", out=found)
    return found


def _can_look_up_16_bits() -> bool:
    """OpenCV's look-up is 2.5 times as fast as numpy's, and takes 16-bit numbers from version 5 on."""
    try:
        return int(cv2.LUT(np.array([[65535]], np.uint16), np.arange(65536, dtype=np.uint16))[0, 0]) == 65535
    except cv2.error:
        return False


_CV2_TAKES_16_BITS = _can_look_up_16_bits()


def _every_pattern(coding: Coding) -> StoredPixels:
    return StoredPixels(np.arange(65536, dtype=np.uint16).reshape(256, 256), coding)


@lru_cache(maxsize=64)  # 4 MB; the slices of a study mostly share one
def _level_table(coding: Coding, rescale: Rescale, levels: Levels) -> NDArray[np.uint8]:
    return levels(_every_pattern(coding).hounsfield(rescale)).reshape(-1)


@lru_cache(maxsize=64)
def _padding(coding: Coding) -> _Flags:
    mask = padding_mask(_every_pattern(coding).patterns, coding.padding, coding.bits, coding.signed)
    return _Flags.of_mask(np.zeros(65536, bool) if mask is None else mask, coding.signed)


@lru_cache(maxsize=64)
def _junk(coding: Coding) -> _Flags:
    junk = junk_mask(_every_pattern(coding).patterns, coding.bits, coding.high_bit, coding.signed)
    return _Flags.of_mask(junk.reshape(-1) & (_padding(coding).by_pattern == 0), coding.signed)

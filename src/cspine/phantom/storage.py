"""How a study's slices are stored: pixel formats and transfer syntaxes, and how often each occurs.

The host says that some files are JPEG-compressed, and published solutions meet signed and unsigned pixels of 12 and
16 bits with several rescales; how often is not known. ASSUME: the shares below.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from cspine.phantom.draws import apportion, count_of, pick

IMPLICIT, EXPLICIT, JPEG_LOSSLESS = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.70"
IMPLICIT_SHARE = 0.2  # of the uncompressed studies


@dataclass(frozen=True)
class PixelFormat:
    """Stored = (HU - intercept) / slope, exactly: every slope divides 1 HU."""

    bits_stored: int
    signed: bool
    intercept: int
    slope: float = 1.0
    padding: int | None = None  # stored outside the round field of view, and declared as PixelPaddingValue


#: format -> share of the studies
FORMATS = {
    PixelFormat(12, signed=False, intercept=-1024): 0.25,
    PixelFormat(16, signed=False, intercept=-1024): 0.25,
    PixelFormat(16, signed=True, intercept=0): 0.15,
    PixelFormat(16, signed=True, intercept=-1024, padding=-2000): 0.15,
    PixelFormat(16, signed=False, intercept=-8192): 0.1,
    PixelFormat(16, signed=False, intercept=-1024, slope=0.5): 0.1,
}
#: SliceThickness of the headers, mm: 11 values from 0.488 to 1.0 as in the real set, those between ASSUME. It is a
#: label only: here, as there, the distance between the slices is another.
THICKNESSES = (0.488, 0.5, 0.55, 0.6, 0.625, 0.65, 0.7, 0.75, 0.8, 0.9, 1.0)


def draw_storage(studies: int, compressed: Collection[int], rng: np.random.Generator) -> list[tuple[str, PixelFormat]]:
    """Transfer syntax and pixel format of each study; formats are dealt to compressed and other studies alike."""
    plain = [i for i in range(studies) if i not in compressed]
    implicit = pick(rng, plain, count_of(IMPLICIT_SHARE, len(plain)))
    formats: dict[int, PixelFormat] = {}
    for group in (sorted(compressed), plain):
        dealt = np.repeat(np.arange(len(FORMATS)), apportion(len(group), list(FORMATS.values())))
        formats |= {i: list(FORMATS)[n] for i, n in zip(group, rng.permutation(dealt), strict=True)}
    syntaxes = dict.fromkeys(plain, EXPLICIT) | dict.fromkeys(implicit, IMPLICIT)
    syntaxes |= dict.fromkeys(compressed, JPEG_LOSSLESS)
    return [(syntaxes[i], formats[i]) for i in range(studies)]

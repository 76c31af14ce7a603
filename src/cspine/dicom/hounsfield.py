"""From the numbers stored in a file to Hounsfield units, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

AIR = -1024  # Hounsfield value given to pixels that a file declares to be outside the image
# A padding value among tissue values (0 in a signed file is water) is not believed: only below air or absurdly high.
PADDING_BELOW, PADDING_ABOVE = -1000, 16_000


def bit_patterns(pixels: NDArray[Any]) -> NDArray[np.uint16] | None:
    """Decoded pixels (any integer type) as 16-bit patterns, without changing a bit; None if they do not fit."""
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype.itemsize == 2:
        return pixels.view(np.uint16)
    if pixels.dtype.itemsize == 1:
        return pixels.view(np.uint8).astype(np.uint16)
    if pixels.size and (pixels.min() < -32768 or pixels.max() > 65535):
        return None
    return pixels.astype(np.int64).astype(np.uint16)


def padding_mask(
    patterns: NDArray[np.uint16], padding: Sequence[int], bits: int, signed: bool
) -> NDArray[np.bool_] | None:
    """Which pixels are padding; ``padding`` is PixelPaddingValue and maybe PixelPaddingRangeLimit, as 16-bit patterns.

    A signed 12-bit file may hold its padding with or without the sign extended; both are found. None if there is none.
    """
    if not padding:
        return None
    mask = patterns == padding[0]
    if signed and bits < 16:
        low = (1 << bits) - 1
        mask |= (patterns & low) == (padding[0] & low)
    if len(padding) > 1:
        values = patterns.view(np.int16) if signed else patterns
        low, high = sorted(as_value(p, signed) for p in padding[:2])
        mask |= (values >= low) & (values <= high)
    return mask if mask.any() else None


def as_value(pattern: int, signed: bool) -> int:
    """A 16-bit pattern as the number it stands for."""
    return pattern - 65536 if signed and pattern > 32767 else pattern


def stored_values(patterns: NDArray[np.uint16], bits: int, high_bit: int, signed: bool) -> NDArray[Any]:
    """The stored numbers (int16 or uint16) in 16-bit patterns of which ``bits`` up to ``high_bit`` count.

    What is set in the bits above is masked away (``junk_mask`` tells where), but for an extended sign.
    """
    patterns = _shifted(patterns, bits, high_bit)
    if bits == 16:
        return patterns.view(np.int16) if signed else patterns
    if not signed:
        return patterns & np.uint16((1 << bits) - 1)
    values = patterns.view(np.int16)
    reach = 1 << (bits - 1)
    if values.min() >= -reach and values.max() < reach:
        return values  # sign already extended, the usual way
    extended = (patterns << np.uint16(16 - bits)).view(np.int16) >> np.int16(16 - bits)
    # all ones above: a negative number extended to 16 bits, kept even if it needs more than ``bits``
    return np.where(patterns >> np.uint16(bits) == 0xFFFF >> bits, values, extended)


def junk_mask(patterns: NDArray[np.uint16], bits: int, high_bit: int, signed: bool) -> NDArray[np.bool_]:
    """Which patterns have anything but an extended sign in the bits above those that count."""
    above = np.right_shift(_shifted(patterns, bits, high_bit).astype(np.uint32), bits)
    return (above != 0) & (above != 0xFFFF >> bits) if signed else above != 0


def _shifted(patterns: NDArray[np.uint16], bits: int, high_bit: int) -> NDArray[np.uint16]:
    return patterns >> np.uint16(high_bit + 1 - bits) if high_bit + 1 > bits else patterns


def is_padding(ends: Sequence[int], slope: float, intercept: float) -> bool:
    """Whether declared padding (a value, or the two ends of a range) lies where no tissue does, so it may be air."""
    hounsfield = [end * slope + intercept for end in ends]
    below, above = all(h <= PADDING_BELOW for h in hounsfield), all(h >= PADDING_ABOVE for h in hounsfield)
    return hounsfield[0] != AIR and (below or above)


def to_hounsfield(
    stored: NDArray[Any], slope: float, intercept: float, padded: NDArray[np.bool_] | None = None
) -> NDArray[Any]:
    """stored * slope + intercept, with ``padded`` pixels set to air: int16 where that is exact, else float32."""
    if padded is not None:
        stored = stored.copy()
        stored[padded] = np.clip(round((AIR - intercept) / slope), 0, np.iinfo(stored.dtype).max)
    hounsfield: NDArray[Any]
    if slope == 1 and float(intercept).is_integer() and _fits(stored, int(intercept)):
        # 16-bit sums wrap, and so end at the right number even where uint16 does not fit int16
        hounsfield = stored.astype(np.int16) + np.int16((int(intercept) + 32768) % 65536 - 32768)
    else:
        hounsfield = (stored.astype(np.float64) * slope + intercept).astype(np.float32)
    if padded is not None:
        hounsfield[padded] = AIR
    return hounsfield


def _fits(stored: NDArray[Any], intercept: int) -> bool:
    return int(stored.min()) + intercept >= -32768 and int(stored.max()) + intercept <= 32767

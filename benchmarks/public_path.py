"""The path that public solutions take from a DICOM file to a small 8-bit slice; what ours is compared with."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from noisy_slices import CENTER, WIDTH
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID


def public_slice(path: Path, pixels: int) -> NDArray[np.uint8]:
    """pydicom's pixel_array, Hounsfield units in float64, clipped to the window, scaled, 8 bits, cv2.resize."""
    ds = dcmread(path)
    hounsfield = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    low, high = CENTER - WIDTH / 2, CENTER + WIDTH / 2
    levels = (np.clip(hounsfield, low, high) - low) / (high - low) * 255
    return np.asarray(cv2.resize(levels.astype(np.uint8), (pixels, pixels), interpolation=cv2.INTER_AREA), np.uint8)


def public_decoder(syntax: str) -> str:
    """The plugins that pydicom has here for a transfer syntax; it takes the first that decodes."""
    if not UID(syntax).is_encapsulated:
        return "none (uncompressed)"
    return ", ".join(get_decoder(UID(syntax)).available_plugins) or "none"

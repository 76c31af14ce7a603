"""Evidence laid over a picture of a slice: bright where masking a place weakens an answer."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

MOST_OPAQUE = 0.6  # of what is laid over

Picture = NDArray[np.uint8]


def with_evidence(panel: Picture, evidence: NDArray[np.float32]) -> Picture:
    """A picture (side, side, 3) with the cells of a map (cells, cells), 0..1, smoothly over it."""
    size = (panel.shape[1], panel.shape[0])
    smooth = cv2.resize(evidence, size, interpolation=cv2.INTER_CUBIC).clip(0, 1)[..., None]
    opaque = MOST_OPAQUE * smooth
    return np.asarray(panel * (1 - opaque) + inferno(smooth[..., 0]) * opaque, np.uint8)


def inferno(values: NDArray[np.float32]) -> Picture:
    """Values 0..1 (rows, columns) as colours, RGB."""
    coloured = cv2.applyColorMap((255 * values).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(coloured[..., ::-1], np.uint8)

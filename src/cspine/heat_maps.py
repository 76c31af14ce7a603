"""Which places of an image drove a network's answer: those whose masking weakens it (Zeiler and Fergus, ECCV 2014).

It asks the network itself, whatever it is made of. Maps of gradients and features (Grad-CAM, LayerCAM) cost less, and
on the phantom's fractures lay less of their evidence into the true boxes: docs/predict.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

CELLS = 10  # of the map, a side; a mask covers two by two of them


def evidence_map(
    logits: Callable[[Tensor], Tensor], image: Tensor, output: int, at_once: int = 32
) -> NDArray[np.float32]:
    """How much weaker one answer becomes when places of the image are blurred away.

    Args:
        logits: images (n, channels, rows, columns), 0..255 -> (n, outputs).
        image: (1, channels, rows, columns), on the network's device.
        output: which answer.
        at_once: masked images that go through the network together.

    Returns:
        float32 (CELLS, CELLS): a cell's mean over the masks that cover it, divided by the largest; all 0 where no mask
        weakens the answer.
    """
    edges = np.linspace(0, image.shape[-1], CELLS + 1).round().astype(int)
    shown, blurred = image.float(), _blurred(image.float())
    corners = [(row, column) for row in range(CELLS - 1) for column in range(CELLS - 1)]
    with torch.inference_mode():
        whole = logits(shown)[0, output]
        found = []
        for start in range(0, len(corners), at_once):
            masked = shown.repeat(len(corners[start : start + at_once]), 1, 1, 1)
            for one, (row, column) in zip(masked, corners[start : start + at_once], strict=True):
                place = (..., slice(edges[row], edges[row + 2]), slice(edges[column], edges[column + 2]))
                one[place] = blurred[0][place]
            found.append(whole - logits(masked)[:, output])
    drops = torch.cat(found).clamp_min(0).float().cpu().numpy().reshape(CELLS - 1, CELLS - 1)
    cells = _over_cells(drops)
    return cells / cells.max() if cells.max() > 0 else cells


def _blurred(image: Tensor) -> Tensor:
    """What a mask shows: the mean of the surroundings, a fifth of the image wide; it brings no edge of its own."""
    width = max(3, image.shape[-1] // 5) | 1
    return functional.avg_pool2d(image, width, stride=1, padding=width // 2, count_include_pad=False)


def _over_cells(drops: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each cell's mean over the masks of two by two cells that cover it."""
    padded = np.pad(drops, 1, constant_values=np.nan)
    around = np.stack([padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]])
    return np.nanmean(around, axis=0).astype(np.float32)  # every cell is covered by one mask at least

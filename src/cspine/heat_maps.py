"""Which places of an image drove a network's answer: those whose masking weakens it (Zeiler and Fergus, ECCV 2014).

It asks the network itself, whatever it is made of. Maps of gradients and features (Grad-CAM, LayerCAM) cost less, and
on the phantom's fractures lay less of their evidence into the true boxes: docs/predict.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Place = tuple[slice, slice, slice]  # channels, rows, columns
CELLS = 10  # of the map, a side; a mask covers two by two of them


def evidence_map(
    logits: Callable[[Tensor], Tensor],
    image: Tensor,
    output: int,
    at_once: int = 32,
    channels: slice = slice(None),
) -> NDArray[np.float32]:
    """How much weaker one answer becomes when places of the image are blurred away.

    Args:
        logits: images (n, channels, rows, columns), 0..255 -> (n, outputs).
        image: (1, channels, rows, columns), on the network's device.
        output: which answer.
        at_once: masked images that go through the network together.
        channels: those that are masked; of a stack of slices some may be of another place.

    Returns:
        float32 (CELLS, CELLS): a cell's mean over the masks that cover it, divided by the largest; all 0 where no mask
        weakens the answer.
    """
    edges = np.linspace(0, image.shape[-1], CELLS + 1).round().astype(int)
    corners = [(row, column) for row in range(CELLS - 1) for column in range(CELLS - 1)]
    places = [
        (channels, slice(edges[row], edges[row + 2]), slice(edges[column], edges[column + 2]))
        for row, column in corners
    ]
    drops = _drops(logits, image, output, places, at_once).reshape(CELLS - 1, CELLS - 1)
    return _of_largest(_over_cells(drops))


def evidence_along(
    logits: Callable[[Tensor], Tensor], stack: Tensor, output: int, at_once: int = 32
) -> NDArray[np.float32]:
    """How much weaker one answer becomes when neighbouring slices of a stack are blurred away as a whole.

    Args:
        logits: stacks (n, slices, rows, columns), 0..255 -> (n, outputs).
        stack: (1, slices, rows, columns), on the network's device, two slices at least.
        output: which answer.
        at_once: masked stacks that go through the network together.

    Returns:
        float32 (cells,), at most CELLS of them, each of as many slices (``slices_of_cell``): as of ``evidence_map``.
    """
    cells = min(CELLS, stack.shape[1])
    edges = np.linspace(0, stack.shape[1], cells + 1).round().astype(int)
    places = [(slice(edges[cell], edges[cell + 2]), slice(None), slice(None)) for cell in range(cells - 1)]
    drops = np.pad(_drops(logits, stack, output, places, at_once), 1, constant_values=np.nan)
    return _of_largest(np.nanmean([drops[:-1], drops[1:]], axis=0).astype(np.float32))


def slices_of_cell(cell: int, cells: int, slices: int) -> slice:
    """The slices of a stack that a cell of ``evidence_along`` stands for."""
    edges = np.linspace(0, slices, cells + 1).round().astype(int)
    return slice(int(edges[cell]), int(edges[cell + 1]))


def _drops(
    logits: Callable[[Tensor], Tensor], image: Tensor, output: int, places: Sequence[Place], at_once: int
) -> NDArray[np.float32]:
    """By how much masking each of ``places`` weakens the answer, (places,); 0 where it does not."""
    shown, blurred = image.float(), _blurred(image.float())
    with torch.inference_mode():
        whole = logits(shown)[0, output]
        found = []
        for start in range(0, len(places), at_once):
            masked = shown.repeat(len(places[start : start + at_once]), 1, 1, 1)
            for one, place in zip(masked, places[start : start + at_once], strict=True):
                one[place] = blurred[0][place]
            found.append(whole - logits(masked)[:, output])
    return np.asarray(torch.cat(found).clamp_min(0).float().cpu().numpy())


def _of_largest(cells: NDArray[np.float32]) -> NDArray[np.float32]:
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

"""What drove a network's answer about a vertebra, whatever it reads: a slice, the slices of a vertebra, or a volume.

Nothing is asked of a family but to predict: what goes into its network meanwhile is what the network reads, and masking
parts of that is what ``heat_maps`` does. A stack is first searched along its slices, then across the slice that counts
most: two hundred images instead of the thousand that masking every block of it would take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cspine.heat_maps import evidence_along, evidence_map, slices_of_cell
from cspine.members import mean_of_members
from cspine.precision import Precision

Floats = NDArray[np.float32]
OCCLUSION = "occlusion"
NOWHERE = "masking weakens the answer nowhere"
UNKNOWN_FORM = "no map: this family's network reads its pixels in a form that is not known here"


@dataclass(frozen=True)
class Reading:
    """A member's network, and what it was given to judge one vertebra.

    Attributes:
        network: on its device, in evaluation mode.
        pixels: (n, channels, rows, columns), 0..255, or another form.
        precision: with which numbers it computes.
    """

    network: nn.Module
    pixels: Tensor
    precision: Precision

    def logits(self, pixels: Tensor) -> Tensor:
        """The network's answers, float32."""
        with self.precision.autocast():
            answers: Tensor = self.network(pixels)
        return answers.float()


@dataclass(frozen=True)
class Explained:
    """One slice of what the networks read, and what in it drove the answer; the mean of the members.

    Attributes:
        image: uint8 (rows, columns), the slice that counts most.
        number: of that slice in what is read, from the head.
        slices: that are read.
        how: ``OCCLUSION``, or why there is no map.
        map: (cells, cells) over the image, 0..1; (0, 0) where there is none.
        along: (cells,) over the slices that are read, from the head; (0,) of a single one.
    """

    image: NDArray[np.uint8]
    number: int
    slices: int
    how: str
    map: Floats = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    along: Floats = field(default_factory=lambda: np.zeros(0, np.float32))


def reading_of(network: nn.Module, predict: Callable[[], Iterable[object]], precision: Precision) -> Reading | None:
    """What ``network`` reads while ``predict`` runs; None where it is not asked (it judges other vertebrae)."""
    seen: list[Tensor] = []
    hook = network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        for _ in predict():
            pass
    finally:
        hook.remove()
    return Reading(network, torch.cat(seen), precision) if seen else None


def explain(readings: Sequence[Reading], output: int, slices: int, at_once: int) -> Explained:
    """The slice and the place in it that drove the answer, over all members.

    Args:
        readings: of the members that judge the vertebra, one at least.
        output: which answer.
        slices: that stand for what is judged: 1, the slices of a vertebra, or those of a volume.
        at_once: masked images, or stacks, that go through a network together.
    """
    pixels = readings[0].pixels
    if pixels.ndim != 4 or len({reading.pixels.shape[:2] for reading in readings}) != 1:
        return _without_map(pixels, UNKNOWN_FORM)
    if len(pixels) == slices:  # slice by slice
        return _slices_apart(readings, output, at_once)
    if len(pixels) == 1 and pixels.shape[1] == slices:
        return _stack(readings, output, at_once)
    return _without_map(pixels, UNKNOWN_FORM)


def _slices_apart(readings: Sequence[Reading], output: int, at_once: int) -> Explained:
    """Each slice has an answer of its own, and the most certain one is explained."""
    pixels = readings[0].pixels
    count = len(pixels)
    along = mean_of_members([_answers(reading, output) for reading in readings])
    peak = int(along.argmax())
    maps = [evidence_map(r.logits, r.pixels[peak : peak + 1], output, at_once) for r in readings]
    middle = pixels.shape[1] // 2  # of a slice and its neighbours, or of copies of it
    return _explained(pixels[peak, middle], peak, count, maps, along if count > 1 else along[:0])


def _answers(reading: Reading, output: int) -> Floats:
    """(n,) probabilities of the slices, one after the other: what else is in its batch moves one's last bits."""
    with torch.inference_mode():
        found = [torch.sigmoid(reading.logits(one[None])[:, output]) for one in reading.pixels]
    return np.asarray(torch.cat(found).cpu().numpy())


def _stack(readings: Sequence[Reading], output: int, at_once: int) -> Explained:
    """All slices have one answer: masking shows which of them count, and then where in these."""
    pixels = readings[0].pixels
    count = pixels.shape[1]
    along = mean_of_members([evidence_along(r.logits, r.pixels, output, at_once) for r in readings])
    cell = int(along.argmax()) if along.any() else len(along) // 2
    own = slices_of_cell(cell, len(along), count)
    width = own.stop - own.start  # a mask of the slices themselves leaves what their neighbours show of the fracture
    masked = slice(max(0, own.start - width), own.stop + width)
    maps = [evidence_map(r.logits, r.pixels, output, at_once, masked) for r in readings]
    peak = (own.start + own.stop - 1) // 2
    return _explained(pixels[0, peak], peak, count, maps, along)


def _explained(image: Tensor, number: int, slices: int, maps: list[Floats], along: Floats) -> Explained:
    shown, evidence = np.asarray(image.cpu().numpy(), np.uint8), np.mean(maps, axis=0)
    if not evidence.any():
        return Explained(shown, number, slices, NOWHERE, along=along)
    return Explained(shown, number, slices, OCCLUSION, evidence, along)


def _without_map(pixels: Tensor, why: str) -> Explained:
    """The middle one of the slices that are read, whatever their form."""
    planes = pixels.reshape(-1, *pixels.shape[-2:])
    middle = len(planes) // 2
    return Explained(np.asarray(planes[middle].cpu().numpy(), np.uint8), middle, len(planes), why)

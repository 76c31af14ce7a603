"""Where the pixels of a training lie and where they are augmented: what config and machine say, put in force."""

from __future__ import annotations

from typing import Literal

import torch

from cspine.examples import Examples
from cspine.progress import say
from cspine.runtime import runtime


def arrange(train: Examples, select: Examples, augment_on: Literal["cpu", "device"], device: torch.device) -> None:
    """Let examples be finished on ``device`` as far as ``training.augment_on`` and ``runtime.pixels_in`` say.

    Pixels that cannot lie there stay where they are, and a line says why: ``runtime`` changes no result.

    Raises:
        CspineError: these examples are augmented on the CPU only.
    """
    if augment_on == "device":
        train.augment_on_device()
    settings = runtime()
    if settings.pixels_in == "device":
        for role, data in (("train", train), ("select", select)):
            if why_not := data.hold_pixels(device, settings.loader_workers):
                say(f"train: runtime.pixels_in: device: the pixels of {role} stay in RAM: {why_not}")

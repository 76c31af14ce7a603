"""How many slices go through a network together where nothing is learnt.

Equal batches give equal numbers to the last bit, so the workflow and ``cspine predict`` have to ask the same place.
"""

from __future__ import annotations

from typing import Literal

AT_ONCE = 32  # without gradients this fits any device, and more are hardly faster


def slices_at_once(batch_size: int | Literal["auto"]) -> int:
    """The method's ``batch_size``; of ``auto`` AT_ONCE, since what it comes to in training is the training's own."""
    return AT_ONCE if batch_size == "auto" else batch_size

"""Where torch computes."""

from __future__ import annotations

import torch

from cspine.errors import CspineError
from cspine.progress import note, say


def device_of(wanted: str) -> torch.device:
    """The device for ``runtime.device`` (auto | cpu | cuda | cuda:1), noted for done.json.

    ``cuda`` is tried out, not believed: a torch built without the card's architecture says it is there and then fails.

    Raises:
        CspineError: a device named by the user cannot compute; ``auto`` says so and takes the CPU.
    """
    device = _tried(wanted)
    note("device", str(device))
    return device


def _tried(wanted: str) -> torch.device:
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    device = torch.device("cuda" if wanted == "auto" else wanted)
    try:
        (torch.ones(2, device=device) * 2).sum().item()
    except Exception as error:
        text = f"runtime.device: {wanted}: torch cannot compute there ({str(error).splitlines()[0]})"
        if wanted != "auto":
            raise CspineError(f"{text}; use another device or runtime.device: cpu") from error
        say(f"{text}; the CPU is used")
        return torch.device("cpu")
    return device

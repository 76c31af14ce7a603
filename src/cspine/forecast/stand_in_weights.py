"""``python -m cspine.forecast.stand_in_weights NAME FILE …``: random weights where a rehearsal needs a weights file.

A step costs the same whatever the weights are, and a rehearsal fetches nothing. A process of its own: it needs torch.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(words: list[str]) -> None:
    """Write a file for each pair of a network of timm and a path."""
    import safetensors.torch
    import timm

    for name, path in zip(words[::2], words[1::2], strict=True):
        tensors = timm.create_model(name, pretrained=False).state_dict()
        safetensors.torch.save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, Path(path))


if __name__ == "__main__":
    main(sys.argv[1:])

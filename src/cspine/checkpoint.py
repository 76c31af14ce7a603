"""Checkpoints of a running training, and finished models that carry what is needed to rebuild them.

Nothing but tensors and plain values is unpickled (``weights_only``); finished models are safetensors.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cspine.errors import CspineError
from cspine.faults import fault_point
from cspine.progress import say

KEPT = 2
METADATA = "cspine"


class Checkpoints:
    """The checkpoints of one training in one folder: written whole or not at all, the last two kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, state: dict[str, Any], step: int) -> None:
        """Save ``state`` (tensors, numbers, texts, lists, dicts) as the checkpoint of ``step``."""
        path = self.folder / f"step-{step:08d}.pt"
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        fault_point("checkpoint-before-rename")
        temporary.replace(path)
        for old in self._paths()[:-KEPT]:
            old.unlink()

    def latest(self) -> dict[str, Any] | None:
        """The newest readable checkpoint, or None; an unreadable one is named and the one before it is taken."""
        for path in reversed(self._paths()):
            try:
                return torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:  # a torn file raises many kinds
                say(f"checkpoint {path.name} cannot be read ({type(error).__name__}); the one before it is used")
        return None

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"))


def save_model(network: torch.nn.Module, path: Path, description: dict[str, Any]) -> None:
    """Weights as safetensors with ``description`` (how to build the network, where it came from) in the header.

    One metadata key only: safetensors orders several at random, and equal models must be equal bytes.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, path, metadata={METADATA: json.dumps(description, sort_keys=True)})


def read_model(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and description of a model saved by ``save_model``."""
    try:
        with safe_open(path, framework="pt") as stream:
            description = json.loads((stream.metadata() or {})[METADATA])
            return {name: stream.get_tensor(name) for name in stream.keys()}, description  # noqa: SIM118
    except KeyError:
        raise CspineError(f"{path} is not a model of cspine: its header has no {METADATA!r} entry") from None

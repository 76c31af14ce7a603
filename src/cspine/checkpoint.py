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
from cspine.hashing import file_digest
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

    def begun(self) -> bool:
        """Whether a checkpoint was saved before."""
        return bool(self._paths())

    def remember(self, name: str, value: int) -> None:
        """Keep a number that is decided once and then holds for the whole training."""
        path = self.folder / f"{name}.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(value), encoding="utf-8")
        temporary.replace(path)

    def remembered(self, name: str) -> int | None:
        """The number of that name, or None."""
        path = self.folder / f"{name}.json"
        return int(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"))


def take_over(network: torch.nn.Module, source: Path) -> dict[str, Any]:
    """Copy into ``network`` every tensor of a finished model that has the same name and shape; one line says which.

    Another number of outputs leaves the final layer as it is, another number of channels the first one.

    Returns:
        Where the weights came from, for the new model's description: the source's digest and own description.

    Raises:
        CspineError: no weight fits, or the file is not a model of cspine.
    """
    tensors, description = read_model(source)
    own = network.state_dict()
    fitting = {name: tensor for name, tensor in tensors.items() if name in own and own[name].shape == tensor.shape}
    weights = {name for name, _ in network.named_parameters()}
    if not weights & fitting.keys():
        of = description.get("network", {}).get("name", "unknown")
        raise CspineError(
            f"init_from: no weight of {source} ({of}) has a name and shape of this network; expected a model of "
            "the same network.name"
        )
    network.load_state_dict(fitting, strict=False)
    left = sorted(weights - fitting.keys())
    more = f" and {len(left) - 4} more" if len(left) > 4 else ""
    say(
        f"init_from: {len(weights & fitting.keys())} of {len(weights)} weight tensors taken from {source}"
        + (f"; left as they were: {', '.join(left[:4])}{more}" if left else "")
    )
    return {"sha256": file_digest(source), "description": description}


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

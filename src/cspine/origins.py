"""Where a network's first weights come from: a finished model, the end of a training, or one of its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cspine.checkpoint import read_checkpoint
from cspine.end_state import read_end
from cspine.errors import CspineError
from cspine.hashing import file_digest
from cspine.model_headers import read_header
from cspine.models import Tensors, read_model
from cspine.progress import say


def take_over(network: torch.nn.Module, source: Path) -> dict[str, Any]:
    """Copy into ``network`` every tensor of ``source`` that has the same name and shape; one line says which.

    Another number of outputs leaves the final layer as it is, another number of channels the first one.

    Args:
        network: changed in place.
        source: a finished model, the end of a training (state.safetensors) or a checkpoint (step-*.pt), of which the
            averaged weights are taken where there are any.

    Returns:
        Where the weights came from, for the new model's description: the source's digest and own description.

    Raises:
        CspineError: no weight fits, or the file is nothing of cspine's.
    """
    tensors, description = _read(source)
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


def description_of(source: Path) -> dict[str, Any]:
    """What a model, the end of a training or a checkpoint says about itself."""
    if source.suffix == ".pt":
        return described(read_checkpoint(source))
    header = read_header(source)
    return header["description"] if "state" in header else header


def described(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's description with how far its training was."""
    at = checkpoint["progress"]
    return {**checkpoint["description"], "epochs": at["epoch"], "steps": at["total_steps"]}


def judged(state: dict[str, Any]) -> Tensors:
    """Of what was kept of a training the weights that were evaluated: the averaged ones where there are any."""
    found: Tensors = state.get("average", state["network"])
    return found


def _read(source: Path) -> tuple[Tensors, dict[str, Any]]:
    if source.suffix == ".pt":
        checkpoint = read_checkpoint(source)
        return judged(checkpoint), described(checkpoint)
    if "state" in read_header(source):
        end = read_end(source)
        return judged(end.state), end.description
    return read_model(source)

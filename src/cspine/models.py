"""Finished models: safetensors whose header says how to rebuild the network and how it came about."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from safetensors import safe_open

from cspine.model_headers import METADATA, read_header
from cspine.writing import write_whole

Tensors = dict[str, torch.Tensor]
Network = TypeVar("Network", bound=torch.nn.Module)


def save_model(network: torch.nn.Module, path: Path, description: dict[str, Any]) -> None:
    """Weights as safetensors with ``description`` (how to build the network, where it came from) in the header."""
    write_tensors(path, network.state_dict(), description, "model")


def write_tensors(path: Path, tensors: Tensors, header: dict[str, Any], what: str) -> None:
    """Tensors with a header. Equal content gives equal bytes.

    One metadata key only: safetensors orders several at random.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_whole(path, safetensors.torch.save(plain, {METADATA: json.dumps(header, sort_keys=True)}), what)


def load_model(path: Path, rebuild: Callable[[dict[str, Any]], Network]) -> Network:
    """The network that ``rebuild`` makes of a finished model's description, with the model's weights."""
    tensors, description = read_model(path)
    network = rebuild(description)
    network.load_state_dict(tensors)
    return network


def read_model(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Tensors and header of a file written by ``write_tensors``.

    Raises:
        CspineError: it is no such file.
    """
    header = read_header(path)
    with safe_open(path, framework="pt") as stream:
        return {name: stream.get_tensor(name) for name in stream.keys()}, header  # noqa: SIM118

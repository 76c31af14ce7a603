"""Where a training ended, as a file, and going on from there with other settings.

It holds what a model does not: the weights that were trained beside their average, and the optimiser's memory. That is
kept by the names of the weights: the optimiser's own numbering depends on which of them decay.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cspine.errors import CspineError
from cspine.models import Tensors, read_model, write_tensors
from cspine.optimisation import Optimisation
from cspine.progress import say

State = dict[str, Any]


@dataclass(frozen=True)
class End:
    """The end of a training, read from a file."""

    state: State  # of ``end_of``, with the figures so far as `history` and the batch as `batch_size`
    description: dict[str, Any]  # of the model it gave


def end_of(optimisation: Optimisation, steps: int) -> State:
    """Everything another training needs to go on from here, after ``steps`` steps: tensors, and plain values."""
    saved = optimisation.optimiser.state_dict()
    memory = {_names(optimisation)[number]: values for number, values in saved["state"].items()}
    # Some optimisers count their steps in the group: what a new one does not have. All groups are stepped together.
    counters = {k: v for k, v in saved["param_groups"][0].items() if k not in optimisation.settings}
    found: State = {
        "network": optimisation.network.state_dict(),
        "optimiser": {"name": optimisation.config.optimizer, "memory": memory, "counters": counters},
        "scaler": optimisation.scaler.state_dict(),
    }
    if optimisation.average is not None:
        found["average"] = optimisation.average.module.state_dict()
        found["averaged"] = optimisation.averaged_before + steps
    return _copied(found)


def go_on_from(optimisation: Optimisation, state: State) -> None:
    """Weights, averaged weights and the optimiser's memory of ``state``; learning rate and all else stay as they are.

    What cannot be taken over begins anew, and a line says so: the memory of another optimiser, an average that was
    not kept before.
    """
    optimisation.network.load_state_dict(state["network"])
    if optimisation.average is not None:
        optimisation.average.module.load_state_dict(state.get("average", state["network"]))
        optimisation.averaged_before = state.get("averaged", 0)
        if "average" not in state:
            say("train: the averaged weights begin here, with the network's: the part before kept none")
    elif "average" in state:
        say("train: the averaged weights end here (ema: 0); the network's own go on")
    before, now = state["optimiser"], optimisation.config.optimizer
    if before["name"] == now:
        _remember(optimisation, before)
    else:
        say(f"train: {now} begins without memory: the part before was trained with {before['name']}")
    if optimisation.scaler.is_enabled() and state["scaler"]:
        optimisation.scaler.load_state_dict(state["scaler"])


def write_end(path: Path, state: State, description: dict[str, Any]) -> None:
    """Write ``state`` as safetensors: tensors by their place in it, everything else in the header."""
    tensors: Tensors = {}
    plain = _without_tensors(state, "", tensors)
    write_tensors(path, tensors, {"state": plain, "description": description}, "state")


def read_end(path: Path) -> End:
    """The end of a training.

    Raises:
        CspineError: the file is something else.
    """
    tensors, header = read_model(path)
    if "state" not in header:
        raise CspineError(f"{path} is a model and not the end of a training; expected the state.safetensors beside it")
    return End(_with_tensors(header["state"], tensors), header["description"])


def _names(optimisation: Optimisation) -> list[str]:
    """The names of the optimiser's weights, by its numbers."""
    names = {id(weights): name for name, weights in optimisation.network.named_parameters()}
    return [names[id(weights)] for group in optimisation.optimiser.param_groups for weights in group["params"]]


def _remember(optimisation: Optimisation, before: dict[str, Any]) -> None:
    # Copies: an optimiser counts up what it is given, and two groups must not count the same number.
    memory = {i: _copied(before["memory"][n]) for i, n in enumerate(_names(optimisation)) if n in before["memory"]}
    groups = [_copied(before["counters"]) | group for group in optimisation.optimiser.state_dict()["param_groups"]]
    optimisation.optimiser.load_state_dict({"state": memory, "param_groups": groups})


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list | tuple) else value


def _without_tensors(value: Any, place: str, tensors: Tensors) -> Any:
    """``value`` as JSON can hold it: each tensor is put into ``tensors``, and its name stands where it was."""
    if isinstance(value, torch.Tensor):
        tensors[place] = value
        return {"tensor": place}
    if isinstance(value, dict):
        return {key: _without_tensors(inner, f"{place}/{key}".lstrip("/"), tensors) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_tensors(inner, f"{place}/{i}", tensors) for i, inner in enumerate(value)]
    return value


def _with_tensors(value: Any, tensors: Tensors) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"tensor"} and isinstance(value["tensor"], str):
            return tensors[value["tensor"]]
        return {key: _with_tensors(inner, tensors) for key, inner in value.items()}
    return [_with_tensors(inner, tensors) for inner in value] if isinstance(value, list) else value

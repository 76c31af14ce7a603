"""A stage's parameters, read from its source text: a store lookup must not import pandas or torch."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cspine.errors import CspineError

STAGES = Path(__file__).parent / "stages"
KINDS = ("InPath", "OutPath", "OutCopy", "RawFolder", "Scratch")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a stage: its name, its word of ``cspine.stage`` and whether it takes many or may be left out."""

    name: str
    kind: str  # one of KINDS, or "config"
    many: bool
    optional: bool


@dataclass(frozen=True)
class Signature:
    """What the runner needs to know of a stage before it imports it."""

    stage: str
    parameters: tuple[Parameter, ...]
    observe: str | None  # "module:function" that digests a raw folder, from the stage's OBSERVE constant
    glance: str | None  # the same, cheap enough to be asked each time before planning, from GLANCE
    uses_gpu: bool  # whether it computes with torch, from USES_GPU: then the launcher takes a GPU for it
    shares_devices: bool  # whether several processes can do it together, from SHARES_DEVICES

    def of_kind(self, *kinds: str) -> list[Parameter]:
        """The parameters of these kinds, in the order of the signature."""
        return [p for p in self.parameters if p.kind in kinds]


def known_stages() -> list[str]:
    """The names of all stages: their files' names."""
    return sorted(p.stem for p in STAGES.glob("*.py") if p.stem != "__init__")


@cache
def signature_of(stage: str) -> Signature:
    """Read the signature of ``stage`` from src/cspine/stages/<stage>.py.

    Raises:
        CspineError: there is no such stage; the message lists the known ones.
    """
    if stage not in known_stages():
        raise CspineError(f"no stage {stage!r}; the stages are: {', '.join(known_stages())}")
    tree = ast.parse((STAGES / f"{stage}.py").read_text(encoding="utf-8"))
    constants: dict[str, Any] = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == stage:
            places = constants.get("OBSERVE"), constants.get("GLANCE")
            uses = constants.get("USES_GPU", False), constants.get("SHARES_DEVICES", False)
            return Signature(stage, _parameters(stage, node), *places, *uses)
    raise CspineError(f"src/cspine/stages/{stage}.py defines no function {stage}()")


def _parameters(stage: str, function: ast.FunctionDef) -> tuple[Parameter, ...]:
    arguments = function.args
    pairs = list(zip(arguments.args, _padded(arguments), strict=True))
    pairs += list(zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True))
    return tuple(_parameter(stage, argument, default) for argument, default in pairs)


def _padded(arguments: ast.arguments) -> list[ast.expr | None]:
    missing = len(arguments.args) - len(arguments.defaults)
    return [None] * missing + list(arguments.defaults)


def _parameter(stage: str, argument: ast.arg, default: ast.expr | None) -> Parameter:
    words = {n.id for n in ast.walk(argument.annotation) if isinstance(n, ast.Name)} if argument.annotation else set()
    kinds = [k for k in KINDS if k in words]
    if argument.arg == "config":
        kinds = ["config"]
    if len(kinds) != 1:
        raise CspineError(
            f"stage {stage}: parameter {argument.arg} needs exactly one of {', '.join(KINDS)} as its type"
        )
    return Parameter(argument.arg, kinds[0], many="list" in words, optional=default is not None)

"""Blocks of the config laid over each other: presets, `extends:`, a method's teacher and student."""

from __future__ import annotations

from typing import Any

from cspine.errors import CspineError

Config = dict[str, Any]


def extended(methods: Config, name: str, seen: tuple[str, ...] = ()) -> Config:
    """The block ``name`` over the block it ``extends``, and so on; circles and unknown names are errors."""
    block = methods[name]
    parent = block.get("extends") if isinstance(block, dict) else None
    if parent is None:
        return block
    if parent not in methods or name in seen:
        why = "extends itself" if name in seen else f"extends {parent!r}; the methods are: {', '.join(sorted(methods))}"
        raise CspineError(f"methods.{name}: {why}")
    own = {k: v for k, v in block.items() if k != "extends"}
    return merged(extended(methods, parent, (*seen, name)), own)


def merged(base: Config, differences: Config) -> Config:
    """``differences`` laid over ``base``, block by block."""
    result = dict(base)
    for key, value in differences.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def in_round(method: Config, round: int) -> Config:
    """A method's block as it is in ``round``, the differences of teacher or student laid over it."""
    return merged(method, method.get("student" if round > 0 else "teacher", {}))


def is_phantom(config: Config) -> bool:
    """Whether the workflow makes its own data: data.root is the phantom's place."""
    return str(config["data"]["root"]).rstrip("/") == "data/phantom"

"""Blocks of the config laid over each other: presets, `extends:`, a method's teacher and student, parts of a training.

Blocks are laid over each other key by key; anything else, lists too, is replaced as a whole.
"""

from __future__ import annotations

from typing import Any

from cspine.errors import CspineError
from cspine.methods.registry import unit_of

Config = dict[str, Any]


def extended(blocks: Config, name: str, kind: str = "methods", seen: tuple[str, ...] = ()) -> Config:
    """The block ``name`` over the block it ``extends``, and so on; circles and unknown names are errors."""
    block = blocks[name]
    parent = block.get("extends") if isinstance(block, dict) else None
    if parent is None:
        return block
    if parent not in blocks or name in seen:
        why = "extends itself" if name in seen else f"extends {parent!r}; the {kind} are: {', '.join(sorted(blocks))}"
        raise CspineError(f"{kind}.{name}: {why}")
    own = {k: v for k, v in block.items() if k != "extends"}
    return merged(extended(blocks, parent, kind, (*seen, name)), own)


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


def teacher_of(methods: Config, name: str) -> str:
    """The first method whose round 0 is ``name``'s, so that one job makes it for all of them; often ``name`` itself."""
    own = _teaching(methods[name])
    return next(other for other, block in methods.items() if _teaching(block) == own)


def _teaching(method: Config) -> Config:
    """All that decides a teacher's weights."""
    made_by = (
        "family",
        "view",
        "targets",
        "labels",
        "init_from",
        "network",
        "training",
        "augment",
        "continued",
        "members",
    )
    block = in_round(method, 0)
    return {key: block.get(key) for key in made_by}


#: what a method of a family that has no such key is: one round, one part, taught its studies' labels
ABSENT: Config = {"rounds": 1, "init_from": "none", "continued": [], "targets": "study"}


def completed(method: Config) -> Config:
    """A method's block with ABSENT for what its family has no key for, and ``members`` where it has but one."""
    return {**ABSENT, "members": [], **method}


def in_member(block: Config, member: int) -> Config:
    """A method's block (of a round) as one of its members has it.

    Raises:
        KeyError: there is no such member.
    """
    if not 0 <= member < len(block["members"]):
        raise KeyError(f"member {member}")
    return merged(block, block["members"][member])


def taught_presence(block: Config) -> str:
    """Whence a round is taught what a slice shows, beside its targets: masks, localized (a localizer), or none."""
    return str(block["labels"]["presence"]) if block["training"]["presence_weight"] > 0 else "none"


def taught_by_localizer(block: Config) -> bool:
    """Whether what a round is taught, or is taught beside it, is what a localizer sees."""
    return block["targets"] == "shown" or taught_presence(block) == "localized"


def last_part(block: Config) -> int:
    """The number of the last part of a training, from the block of its round; 0 for one that is not continued."""
    return len(block["continued"])


def in_part(block: Config, part: int) -> Config:
    """The block of a round as it is in a part of its training: the differences of all parts up to it, one by one.

    Raises:
        KeyError: there is no such part.
    """
    if part > last_part(block):
        raise KeyError(f"part {part}")
    for differences in block["continued"][:part]:
        block = merged(block, differences)
    return block


def steps_of(block: Config) -> int:
    """Optimiser steps of a round's training, all its parts; 0 where an epoch is a pass over the data."""
    parts = [in_part(block, part)["training"] for part in range(last_part(block) + 1)]
    whole = all(training["epoch_steps"] for training in parts)
    return sum(training["epochs"] * training["epoch_steps"] for training in parts) if whole else 0


def localizers_to_judge(config: Config, method: str) -> list[str]:
    """The localizers that a method asks before it can judge a study, those of its crops included, sorted."""
    block = config["methods"][method]
    asked = [block["labels"]["localizer"]] if unit_of(block["family"]) == "vertebra" else []
    return sorted({*asked, config["views"][block["view"]].get("localizer")} - {None})


def localizers_compared(config: Config) -> list[str]:
    """All that a compared method needs to judge a new study, in the order of their names."""
    return sorted({name for method in config["compare"]["methods"] for name in localizers_to_judge(config, method)})


def is_phantom(config: Config) -> bool:
    """Whether the workflow makes its own data: data.root is the phantom's place."""
    return str(config["data"]["root"]).rstrip("/") == "data/phantom"

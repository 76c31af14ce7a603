"""How a model came about, step by step back to random or published weights: read from the file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cspine.amounts import counted
from cspine.errors import CspineError

Description = dict[str, Any]

SHOWN = ("optimizer", "learning_rate", "schedule", "batch_size", "ema", "keep")  #: settings that are always said
OWN = ("training", "augment")  #: blocks of settings that a part may change


def main(model: str) -> int:
    """Say how a model came about: trained how, for how many steps, from which weights, and so on back.

    Args:
        model: a model.safetensors or state.safetensors under results/, or a checkpoint (step-*.pt) under work/train/.
    """
    from cspine.hashing import file_digest
    from cspine.origins import description_of

    path = Path(model)
    if not path.is_file():
        raise CspineError(f"no file {path}; expected a model, e.g. results/<method>/fold-0/round-0/model.safetensors")
    lines = lineage(description_of(path))
    print("\n".join([f"{path} (sha256 {file_digest(path)[:12]})", *lines]))
    return 0


def lineage(description: Description, indent: str = "  ") -> list[str]:
    """A description in words, and what it came from under it, further to the right."""
    before = description.get("continued_from")
    lines = [f"{indent}{_what(description)}", f"{indent}{_how(description, before and before['description'])}"]
    for word, origin in (("goes on from the state", before), ("starts from", description.get("init_from"))):
        if origin:
            lines.append(f"{indent}{word} (sha256 {origin['sha256'][:12]})")
            lines += lineage(origin["description"], indent + "  ")
    if not before:
        over = "where nothing of that fits: " if description.get("init_from") else "starts from "
        lines.append(f"{indent}{over}{_weights(description)}")
    return lines


def _what(description: Description) -> str:
    """``part 1 of a training: 2 epochs, 800 steps: test_efficientnet, 15 outputs``"""
    network = description["network"]
    part = f"part {description['part']} of a training" if description.get("part") else "a training"
    so_far = f"{counted(description.get('epochs', 0), 'epoch')}, {counted(description.get('steps', 0), 'step')}"
    end = ", not at its end" if "key" in description else ""  # a checkpoint
    trained = " (its last layer)" if network.get("trainable") == "head" else ""
    return f"{part}: {so_far}{end}: {network['name']}{trained}, {counted(len(description['outputs']), 'output')}"


def _how(description: Description, before: Description | None) -> str:
    """The settings: the most telling ones, or, of a part that goes on from another, the changed ones."""
    if before is None:
        return ", ".join(f"{key} {description['training'][key]}" for key in SHOWN)
    changed = [
        f"{key} {before.get(block, {}).get(key)} -> {value}"
        for block in OWN
        for key, value in description.get(block, {}).items()
        if before.get(block, {}).get(key) != value
    ]
    return "changed: " + (", ".join(changed) or "nothing")


def _weights(description: Description) -> str:
    source = description["network"]["weights"]
    if source == "none":
        return f"random weights (seed {description['seed']})"
    if source == "hub":
        return f"timm's published weights of {description['network']['name']}"
    return f"the weights in {source} (sha256 {(description.get('weights_sha256') or 'unknown')[:12]})"

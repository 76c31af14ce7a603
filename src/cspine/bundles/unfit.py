"""What a bundle cannot hold yet: methods that judge more than single slices, and those of several models."""

from __future__ import annotations

from cspine.layers import Config
from cspine.methods.registry import unit_of


def why_unfit(methods: Config, name: str) -> str:
    """Why the models of the method ``name`` cannot be bundled, with the key and what can be; "" where they can.

    Args:
        methods: every method's block, complete.
        name: one of them.
    """
    why = _reason(methods[name])
    if not why:
        return ""
    fit = [other for other, block in methods.items() if not _reason(block)]
    choices = ", ".join(fit) or "a method of one model that judges slices"
    return f"methods.{name}.{why}, which a bundle cannot hold yet; expected as submission.method: {choices}"


def _reason(block: Config) -> str:
    """The key that is in the way and what it stands for."""
    unit = unit_of(block["family"])
    if unit != "slice":
        return f"family: {block['family']} judges a {unit} as a whole"
    if block["members"]:
        return f"members: found {len(block['members'])} models, whose mean is taken slice by slice"
    if block["targets"] == "presence":
        return "targets: presence says nothing of fractures"
    return ""

"""Families of models by name, as text: reading this imports no torch, and a new line changes no other family's key."""

from __future__ import annotations

from cspine.errors import CspineError

FAMILIES = {
    "slice_cnn": "cspine.methods.slice_cnn",
}


def module_of(family: str) -> str:
    """The module that implements ``family``; an unknown name is answered with the known ones."""
    if family not in FAMILIES:
        raise CspineError(f"methods: no family {family!r}; the known families are: {', '.join(sorted(FAMILIES))}")
    return FAMILIES[family]

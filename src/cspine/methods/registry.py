"""Families of models by name, as text: reading this imports no torch, and a new line changes no other family's key.

A family of methods (config: ``methods``) judges fractures, one of localizers (``localizers``) says which vertebrae a
slice shows, and where; the schema has a definition for each of the two, ``<family>`` and ``localizer_<family>``.
"""

from __future__ import annotations

from cspine.errors import CspineError

FAMILIES = {
    "slice_cnn": "cspine.methods.slice_cnn",
    "slice_localizer": "cspine.methods.slice_localizer",
    "volume_segmenter": "cspine.methods.volume_segmenter",
}
#: families of localizers that are taught the voxels of the masks, and not only counts and places
TAUGHT_VOXELS = frozenset({"volume_segmenter"})


def module_of(family: str) -> str:
    """The module that implements ``family``; an unknown name is answered with the known ones."""
    if family not in FAMILIES:
        raise CspineError(f"methods: no family {family!r}; the known families are: {', '.join(sorted(FAMILIES))}")
    return FAMILIES[family]

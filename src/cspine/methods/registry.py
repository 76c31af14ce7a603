"""Families of models by name, as text: reading this imports no torch, and a new line changes no other family's key.

A family of methods (config: ``methods``) judges fractures, one of localizers (``localizers``) says which vertebrae a
slice shows, and where. The schema may have a definition of a family's block, ``<family>`` or ``localizer_<family>``;
the block of a family of methods without one is checked against the unit's (``methods_of_<unit>``) and against what the
family's own dataclasses have (``cspine.family_keys``).
"""

from __future__ import annotations

from dataclasses import dataclass

from cspine.errors import CspineError

UNITS = ("slice", "vertebra", "study")


@dataclass(frozen=True)
class Family:
    """Where a family is, and what the workflow has to know of it before it imports it.

    Attributes:
        module: that implements it.
        unit: what one example of it is, and one judgement: a slice, a vertebra of a study, or a study.
        taught_voxels: it is a localizer that is taught the voxels of the masks, and not only counts and places.
    """

    module: str
    unit: str = "slice"
    taught_voxels: bool = False


FAMILIES = {
    "presence_cnn": Family("cspine.methods.presence_cnn"),
    "slice_cnn": Family("cspine.methods.slice_cnn"),
    "vertebra_sequence": Family("cspine.methods.vertebra_sequence", unit="vertebra"),
    "vertebra_crop": Family("cspine.methods.vertebra_crop", unit="vertebra"),
    "slice_localizer": Family("cspine.methods.slice_localizer"),
    "volume_cnn": Family("cspine.methods.volume_cnn", unit="study"),
    "volume_segmenter": Family("cspine.methods.volume_segmenter", taught_voxels=True),
}


def family_of(name: str) -> Family:
    """The family called ``name``; an unknown name is answered with the known ones."""
    if name not in FAMILIES:
        raise CspineError(f"methods: no family {name!r}; the known families are: {', '.join(sorted(FAMILIES))}")
    return FAMILIES[name]


def module_of(name: str) -> str:
    """The module that implements the family; an unknown name is answered with the known ones."""
    return family_of(name).module


def unit_of(name: str) -> str:
    """What one example of the family is: one of UNITS."""
    return family_of(name).unit

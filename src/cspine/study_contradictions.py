"""What the block of a method that judges whole studies allows key by key, and its keys together do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cspine.layers import Config, merged
from cspine.methods.registry import unit_of
from cspine.schema import Mistake

OWN = "own"  # patients.OWN; a config is checked without importing numpy


def of_patient(path: list[Any], block: Config) -> Iterator[Mistake]:
    """Only who judges whole studies has an answer of its own for the patient."""
    unit = unit_of(block["family"])
    if OWN in block["aggregate"]["patient"] and unit != "study":
        text = f"own is the answer of a model for the patient, and {block['family']} judges a {unit}"
        yield path, f"{text}; expected max, noisy_or or noisy_or_of_<n>"


def of_volumes(path: list[Any], block: Config, view: Config | None) -> Iterator[Mistake]:
    """Of each member: weights that nobody publishes, outputs that only slices have, a view of something else."""
    for member in block["members"] or [{}]:
        own = merged(block, member)
        if own["network"]["weights"] == "hub":
            text = "found hub; nobody publishes any for these networks: expected none or the path of a model"
            yield [*path, "network", "weights"], text
        for key in ("patient_term", "presence_weight", "any_fracture_weight"):
            if own["training"][key]:
                text = "a model of whole studies has eight outputs, one of them the patient's, and none by slice"
                yield [*path, "training", key], f"found {own['training'][key]}; {text}: expected {_off(own, key)}"
        if view is not None:
            yield from _of_view(path, own, view)


def _of_view(path: list[Any], block: Config, view: Config) -> Iterator[Mistake]:
    """Cubes are read, and more than the network's blocks halve away."""
    if view.get("kind", "slice") != "volume":
        yield [*path, "view"], f"{block['view']} is a view of the kind {view.get('kind', 'slice')}, expected volume"
        return
    blocks = len(block["network"]["channels"])
    if view["pixels"] < 2**blocks:
        text = f"{blocks} blocks halve the {view['pixels']} cells of a side to nothing; expected fewer"
        yield [*path, "network", "channels"], text


def _off(block: Config, key: str) -> str:
    return "false" if isinstance(block["training"][key], bool) else "0"

"""Values of a method that judges vertebrae which do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cspine.layers import Config, merged
from cspine.schema import Mistake

#: families of localizers that say how much of a vertebra a slice shows, and those that give each a box of its own
RATIOS, OWN_BOXES = ("slice_localizer", "volume_segmenter"), ("volume_segmenter",)
LOSSES = ("bce", "competition")
SLICE_TERMS = ("patient_term", "presence_weight", "any_fracture_weight")


def of_vertebrae(path: list[Any], block: Config, config: Config) -> Iterator[Mistake]:
    """A localizer that cannot say where a vertebra is, a view without crops, slices that fill no image, and losses."""
    yield from _of_localizer(path, block, config["localizers"])
    view = config["views"].get(block["view"])
    if view is None or view.get("kind", "slice") != "crop":
        known = ", ".join(name for name, own in config["views"].items() if own.get("kind") == "crop") or "none"
        yield [*path, "view"], f"{block['view']} is no view of the kind crop; those are: {known}"
    for number, member in enumerate(block["members"] or [{}]):
        place = [*path, *(["members", number] if block["members"] else [])]
        yield from _of_member(place, merged(block, member))


def _of_localizer(path: list[Any], block: Config, localizers: Config) -> Iterator[Mistake]:
    name = block["labels"]["localizer"]
    if name not in localizers:
        return  # said of every method
    needed = OWN_BOXES if block["vertebrae"]["box"] == "vertebra" else RATIOS
    if localizers[name]["family"] not in needed:
        fitting = ", ".join(sorted(key for key, own in localizers.items() if own["family"] in needed)) or "none"
        what = "where each vertebra is by itself" if needed == OWN_BOXES else "how much of a vertebra a slice shows"
        yield [*path, "labels", "localizer"], f"{name} does not say {what}; those that do: {fitting}"


def _of_member(path: list[Any], block: Config) -> Iterator[Mistake]:
    network, training, slices = block["network"], block["training"], block["vertebrae"]["slices"]
    if slices % network.get("stacks", 1):
        text = f"found {network['stacks']}; expected a divisor of vertebrae.slices, {slices}: whole images only"
        yield [*path, "network", "stacks"], text
    if training["loss"] not in LOSSES:
        yield [*path, "training", "loss"], f"found {training['loss']}; of one vertebra: expected {' or '.join(LOSSES)}"
    for key in SLICE_TERMS:
        if training[key]:
            text = f"found {training[key]}; an example is one vertebra, no slice and no patient: expected 0 or false"
            yield [*path, "training", key], text

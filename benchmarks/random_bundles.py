"""Bundles of untrained networks in the form of a preset: they cost what trained ones cost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from measuring import ROOT
from snakemake.utils import update_config

from cspine.bundles.layout import MANIFEST, model_name
from cspine.bundles.manifest import Bundle, read_bundle, write_manifest
from cspine.bundles.points import Point
from cspine.config import complete_config, read_yaml
from cspine.methods import slice_cnn
from cspine.models import save_model
from cspine.predictions import Combination
from cspine.studies import LABELS, VERTEBRAE

#: network -> the preset over config.yaml that has it
PRESETS = {"test_efficientnet": "", "tf_efficientnetv2_s": "presets/rsna.yaml"}


def settings(name: str) -> tuple[slice_cnn.NetworkConfig, dict[str, Any], int]:
    """Of a network of PRESETS: how it is made, its view, and the threads it is given."""
    config = read_yaml(ROOT / "config.yaml")
    if preset := PRESETS[name]:
        update_config(config, read_yaml(ROOT / preset))
    config = complete_config(config, read_yaml(ROOT / "workflow/schemas/config.schema.yaml"))
    block, view = config["methods"]["semi_supervised"], config["views"]["slice"]
    network = block["network"] | {"weights": "none", "trainable": "all"}
    assert network["name"] == name, f"{preset or 'config.yaml'} has {network['name']}"
    return slice_cnn.NetworkConfig(**network), view, block["training"]["threads"]


def untrained(name: str) -> slice_cnn.SliceNetwork:
    """A network with random weights whose features are as large as a trained one's: its norms have seen some noise."""
    torch.manual_seed(0)
    config, view, _ = settings(name)
    network = slice_cnn.build(config).train()
    side = view["pixels"]
    with torch.no_grad():
        for _ in range(4):
            network(torch.randint(0, 256, (8, config.channels, side, side), dtype=torch.uint8))
    return network.eval()


def write_bundle(folder: Path, name: str) -> Bundle:
    """A bundle of one such network. Every patient is suspicious for one vertebra: each study has one picture."""
    folder.mkdir(parents=True)
    config, view, threads = settings(name)
    save_model(untrained(name), folder / model_name(0), {"network": asdict(config), "outputs": list(VERTEBRAE)})
    chosen = asdict(Combination("mean_of_3", "noisy_or", "none", 0.001))
    aggregation = {"chosen": chosen, "platt": None, "fallback": "", "select_studies": 0}
    least = {"patient": 0.0, "vertebra": 1.0}
    points = {kind: asdict(Point(value, None, None, 0, 0, "for a picture")) for kind, value in least.items()}
    content = {
        **{"method": "untrained", "family": "slice_cnn", "phantom": False, "size": "smoke"},
        **{"batch_size": "auto", "precision": "auto", "threads": threads},
        "view": {key: view[key] for key in ("pixels", "codec", "centre", "window_center", "window_width")},
        "models": [{"file": model_name(0), "fold": 0, "network": name, "aggregation": aggregation}],
        "prior": dict.fromkeys(LABELS, 0.1),
        "clip": 0.001,
        "points": points,
        "requires": [],
        "versions": {},
    }
    write_manifest(folder / MANIFEST, content, {model_name(0): folder / model_name(0)})
    return read_bundle(folder)

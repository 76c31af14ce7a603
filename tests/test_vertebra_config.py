"""Methods that judge vertebrae: which stage hangs on which key, what does not go together, the source's size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cspine.blocks import block
from cspine.config import read_yaml
from cspine.layers import Config, completed, extended, in_member, merged
from cspine.methods import vertebra_crop
from cspine.studies import VERTEBRAE
from cspine.vertebra_contradictions import of_vertebrae

ROOT = Path(__file__).parent.parent
DEFAULT = read_yaml(ROOT / "config.yaml")
VIEWS = {"slice": {"kind": "slice"}, "crop": {"kind": "crop"}}
STAGES = ("place_vertebrae", "build_study_set", "train", "predict_studies", "aggregate_studies")


def config_of(**changes: Any) -> Config:
    """The shipped config with ``changes`` of both methods that judge vertebrae."""
    methods = {
        name: completed(merged(DEFAULT["methods"][name], changes)) for name in ("cnn_lstm", "resnet_per_vertebra")
    }
    localizers = {name: extended(DEFAULT["localizers"], name, "localizers") for name in DEFAULT["localizers"]}
    return {**DEFAULT, "views": VIEWS, "methods": methods, "localizers": localizers}


def mistakes(method: str = "cnn_lstm", **changes: Any) -> dict[str, str]:
    config = config_of(**changes)
    found = of_vertebrae(["methods", method], config["methods"][method], config)
    return {".".join(map(str, path[2:])): text for path, text in found}


def blocks_of(config: Config) -> dict[str, Config]:
    at = {"method": "cnn_lstm", "fold": "0"}
    return {
        stage: block(config, stage, **at, **({} if stage == "place_vertebrae" else {"round": "0"})) for stage in STAGES
    }


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({"vertebrae": {"slices": 12}}, {"place_vertebrae"}),
        ({"vertebrae": {"ratio": 0.3}}, {"place_vertebrae"}),
        ({"vertebrae": {"box": "vertebra"}}, {"place_vertebrae"}),
        ({"vertebrae": {"margin": 0.5}}, {"place_vertebrae"}),
        ({"network": {"stacks": 1}}, {"train"}),
        ({"network": {"hidden": 8}}, {"train"}),
        ({"augment": {"rotation": 5}}, {"train"}),
        ({"training": {"learning_rate": 1e-4}}, {"train"}),
        ({"training": {"batch_size": 8}}, {"train", "predict_studies"}),
        ({"aggregate": {"patient": ["max"]}}, {"aggregate_studies"}),
        ({"labels": {"localizer": "segmentation"}}, set()),  # an input, by its content
    ],
)
def test_a_key_is_in_the_block_of_the_stages_that_depend_on_it_and_of_no_other(
    changes: dict[str, Any], stages: set[str]
) -> None:
    before, after = blocks_of(config_of()), blocks_of(config_of(**changes))
    assert {stage for stage in STAGES if before[stage] != after[stage]} == stages


def test_what_is_shipped_goes_together() -> None:
    assert mistakes() == {} and mistakes("resnet_per_vertebra") == {}


@pytest.mark.parametrize(
    ("method", "changes", "place", "words"),
    [
        ("cnn_lstm", {"view": "slice"}, "view", "slice is no view of the kind crop; those are: crop"),
        (
            "cnn_lstm",
            {"labels": {"localizer": "presence"}},
            "labels.localizer",
            "presence does not say how much of a vertebra a slice shows; those that do: box_ratio, segmentation",
        ),
        (
            "resnet_per_vertebra",
            {"labels": {"localizer": "box_ratio"}},
            "labels.localizer",
            "box_ratio does not say where each vertebra is by itself; those that do: segmentation",
        ),
        (
            "cnn_lstm",
            {"network": {"stacks": 5}},
            "network.stacks",
            "found 5; expected a divisor of vertebrae.slices, 24",
        ),
        ("cnn_lstm", {"training": {"loss": "focal"}}, "training.loss", "found focal; of one vertebra: expected bce or"),
        (
            "resnet_per_vertebra",
            {"training": {"presence_weight": 0.1}},
            "members.0.training.presence_weight",
            "found 0.1; an example is one vertebra",
        ),
    ],
)
def test_what_does_not_go_together_is_answered_before_the_first_job(
    method: str, changes: dict[str, Any], place: str, words: str
) -> None:
    assert mistakes(method, **changes)[place].startswith(words)


def test_every_vertebra_has_a_member_of_its_own_and_no_two_share_a_seed() -> None:
    config = config_of()
    method = config["methods"]["resnet_per_vertebra"]
    at = {"method": "resnet_per_vertebra", "fold": "0", "round": "0"}
    trained = [block(config, "train", **at, member=str(number)) for number in range(len(method["members"]))]
    assert tuple(one["network"]["vertebra"] for one in trained) == VERTEBRAE
    assert len({one["seed"] for one in trained}) == len(VERTEBRAE)


def test_at_the_sources_size_the_network_has_its_158_million_weights() -> None:
    source = read_yaml(ROOT / "presets/rsna.yaml")["methods"]["resnet_per_vertebra"]
    own = in_member(completed(merged(DEFAULT["methods"]["resnet_per_vertebra"], source)), 2)["network"]
    with torch.device("meta"):  # nothing is computed
        network = vertebra_crop.build(vertebra_crop.NetworkConfig(**{**own, "weights": "none"}))
    assert round(sum(weights.numel() for weights in network.parameters()) / 1e6) == 158

"""A mistake in the config stops before the first job and says what to write instead; what is shipped is valid."""

from __future__ import annotations

import copy
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from snakemake.cli import parse_config

from cspine.blocks import BLOCKS, block, method_of
from cspine.config import complete_config, read_yaml
from cspine.errors import CspineError
from cspine.hashing import canonical_json
from cspine.layers import Config, merged, teacher_of
from cspine.running import function_of, typed_config
from cspine.signature import known_stages
from cspine.study_contradictions import of_volumes

ROOT = Path(__file__).parent.parent
SCHEMA = read_yaml(ROOT / "workflow/schemas/config.schema.yaml")
DEFAULT = read_yaml(ROOT / "config.yaml")
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))
AT = {
    "method": "semi_supervised",
    "fold": "0",
    "round": "1",
    "view": "slice",
    "cohort": "train",
    "shard": "0",
    "localizer": "box_ratio",
    "inner": "1",
}
METHODS = {"place_vertebrae": "cnn_lstm"}  # of stages that the method of AT has not
WILDCARDS = {
    "plan_cache": ("view",),
    "ingest": ("view", "cohort", "shard"),
    "place_crops": ("view", "fold"),
    "plan_crops": ("view", "fold"),
    "ingest_crops": ("view", "fold", "cohort", "shard"),
    "plan_volumes": ("view",),
    "ingest_volumes": ("view", "cohort", "shard"),
    "score": ("method",),
    "write_pseudo_quality": ("method",),
    "write_pseudo_pages": ("method",),
    **dict.fromkeys(("choose_cases", "explain_cases", "gather_studies"), ("method",)),
    "lay_masks": ("view", "shard"),
    "localize_slices": ("localizer", "fold"),
    **dict.fromkeys(("build_localizer_set", "predict_localizer"), ("localizer", "fold", "inner")),
    **dict.fromkeys(("assign_boxes", "measure_labels", "place_vertebrae"), ("method", "fold")),
    **dict.fromkeys(
        (
            "build_training_set",
            "build_study_set",
            "train",
            "predict_slices",
            "predict_studies",
            "pseudo_label",
            "measure_pseudo_labels",
            "aggregate_studies",
        ),
        ("method", "fold", "round"),
    ),
}


def complete(setting: str = "", **more: Any) -> Config:
    raw = {**copy.deepcopy(DEFAULT), **more}
    return complete_config(raw | {"set": setting}, SCHEMA, {"config.yaml": DEFAULT})


def at(stage: str) -> dict[str, str]:
    kind = next((kind for kind in ("crop", "volume") if kind in stage), "slice")
    own = {**AT, "view": kind, "method": METHODS.get(stage, AT["method"])}
    return {name: own[name] for name in WILDCARDS.get(stage, ())}


def test_a_block_in_a_setting_is_json_for_snakemake_reads_other_blocks_as_its_own() -> None:
    wrong, right = "views.slice.step_down=[{codec: jpeg-90}]", 'views.slice.step_down=[{"codec":"jpeg-90"}]'
    with pytest.raises(CspineError, match=r"--config set: found \{.*expected a text; write blocks as JSON"):
        complete_config({**copy.deepcopy(DEFAULT), **parse_config([f"set={wrong}"])}, SCHEMA)
    found = complete_config({**copy.deepcopy(DEFAULT), **parse_config([f"set={right}"])}, SCHEMA)
    assert found["views"]["slice"]["step_down"] == [{"codec": "jpeg-90"}]


@pytest.mark.parametrize("preset", [None, *PRESETS], ids=lambda p: p.name if p else "config.yaml")
def test_every_shipped_config_is_valid_and_fits_every_stage(preset: Path | None) -> None:
    config = complete_config(merged(DEFAULT, read_yaml(preset)) if preset else DEFAULT, SCHEMA)
    for stage in known_stages():
        if stage == "weigh_evidence" and "evidence" not in config:
            continue
        if "config" in get_type_hints(function_of(stage)):
            typed = typed_config(stage, block(config, stage, **at(stage)))
            assert is_dataclass(typed)
            given = set(block(config, stage, **at(stage)))
            assert given <= {f.name for f in fields(typed)}, stage
        else:
            assert stage not in BLOCKS, f"{stage} takes no config, yet a block is made for it"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (
            "folds.cuont=3",
            "folds.cuont: unknown key; did you mean folds.count? known here: count, run, select",
        ),
        ("datta.root=x", "datta: unknown key; did you mean data?"),
        (
            "methods.semi_supervised.training.learning_rate=fast",
            "config.yaml: methods.semi_supervised.training.learning_rate: found 'fast' (text), expected a number",
        ),
        (
            "labels.unfractured=some",
            "labels.unfractured: found 'some' (text), expected one of boxed, all or an integer",
        ),
        ("data.subset=0", "data.subset: found 0.0 (number), expected a number at most 1 and above 0"),
        ("size=big", "size: found 'big' (text), expected one of smoke, demo, study"),
        ("folds.run=[7]", "folds.run: fold 7 does not exist: folds.count is 5"),
        (
            "compare.methods=[semi_supervised,unet]",
            "compare.methods: no method 'unet'; the methods are: cnn_3d",
        ),
        ("compare.reference=unet", "compare.reference: found unet, expected one of compare.methods: semi_supervised"),
        ("compare.published={semi_supervised: {score: 0.3}}", "compare.published.semi_supervised.where: missing"),
        ("compare.methods=[]", "compare.methods: found [] (list), expected a list of at least 1 items"),
        (
            "methods.semi_supervised.family=slice_cn",
            "no family 'slice_cn'; the known families are: ",
        ),
        ("methods.semi_supervised.network.trainable=head", "head needs network.weights"),
        (
            "methods.semi_supervised.view=volume",
            "methods.semi_supervised.view: 'volume' is no view of the kind slice; those are: slice",
        ),
        (
            "methods.semi_supervised.network.colour=learned",
            "methods.semi_supervised.network.colour: learned maps a slice alone to three channels; expected "
            "neighbours: 0, found 1",
        ),
        (
            "localizers.presence.network.colour=learned localizers.presence.network.neighbours=0 "
            "localizers.presence.network.trainable=head localizers.presence.network.weights=hub",
            "localizers.presence.network.colour: learned with trainable: head would never be learnt",
        ),
        (
            "methods.semi_supervised.aggregate.evidence=[fracture,localized] "
            "methods.semi_supervised.student.training.presence_weight=0",
            "methods.semi_supervised.aggregate.evidence: localized weighs by what the network says a slice shows; "
            "expected training.presence_weight above 0, found 0.0 in round 1",
        ),
        (
            "methods.b={extends: semi_supervised, rounds: 1, targets: shown, labels: {assign: all, localizer: spine}}",
            "methods.b.labels.localizer: no localizer 'spine'; the localizers are: ",
        ),
        (
            "methods.b={extends: semi_supervised, labels: {assign: all, presence: localized, localizer: spine}}",
            "methods.b.labels.localizer: no localizer 'spine'; the localizers are: ",
        ),
        (
            "methods.b={extends: semi_supervised, targets: study}",
            "study leaves nothing to pseudo-label; expected rounds",
        ),
        (
            "methods.b={extends: semi_super}",
            "methods.b: extends 'semi_super'; the methods are: b, cnn_3d, ",
        ),
        ("methods.b={extends: b}", "methods.b: extends itself"),
        ("methods.semi_supervised.init_from=previous_round", "the teacher has no previous round"),
        ("methods.semi_supervised.init_from=semi_supervised", "would start from semi_supervised"),
        (
            "methods.b={extends: semi_supervised, init_from: c} methods.c={extends: b, init_from: b}",
            "methods.b.init_from: b would start from c, which starts from b",
        ),
        ("methods.semi_supervised.targets=truth", "truth leaves nothing to pseudo-label; expected rounds: 1, found 2"),
        (
            "data.root=data/x methods.b={extends: semi_supervised, targets: truth, rounds: 1}",
            "methods.b.targets: truth is known of the phantom only",
        ),
        (
            "methods.b={extends: semi_supervised, targets: presence, rounds: 1} submission.method=b",
            "submission.method: its targets are vertebrae, not fractures",
        ),
        ("phantom.slices=[9]", "phantom.slices: found [9] (list), expected a list of at least 2 items"),
        ("folds.count", "'folds.count' is not of the form path.to.key=value"),
        (
            "methods.semi_supervised.family=slice_localizer",
            "methods.semi_supervised.family: slice_localizer is no family of methods; those are: slice_cnn",
        ),
        ("localizers.presence.training.keep=best", "localizers.presence.training.keep: found best; an inner model"),
        (
            "localizers.box_ratio.training.patience=2",
            "localizers.box_ratio.training.patience: found 2; an inner model of a localizer is watched on the studies "
            "it will be measured on, and may choose nothing there: expected 0",
        ),
        ("localizers.box_ratio.training.mixup=0.5", "localizers.box_ratio.training.mixup: found 0.5"),
        (
            "localizers.b={extends: presense}",
            "localizers.b: extends 'presense'; the localizers are: b, box_ratio, pres",
        ),
        ("localizers.presence.rounds=2", "localizers.presence.rounds: unknown key"),
        (
            "methods.x={extends: semi_supervised, labels: {assign: localized, localizer: spine}}",
            "methods.x.labels.localizer: no localizer 'spine'; the localizers are: box_ratio, presence",
        ),
        (
            "methods.x={extends: semi_supervised, pseudo_labels: {evidence: both, localizer: spine}}",
            "methods.x.pseudo_labels.localizer: no localizer 'spine'",
        ),
        (
            "methods.semi_supervised.pseudo_labels.threshold=best",
            "methods.semi_supervised.pseudo_labels.threshold: f",
        ),
        (
            "localizers.segmentation.network.cube=30",
            "localizers.segmentation.network.cube: found 30; 3 levels of channels halve it 2 times, expected a mul",
        ),
        ("localizers.segmentation.network.weights=hub", "localizers.segmentation.network.weights: found hub; monai"),
        ("localizers.segmentation.network.neighbours=1", "localizers.segmentation.network.neighbours: unknown key"),
        ("localization.inner=1", "localization.inner: found 1 (integer), expected an integer at least 2"),
        ("views.volume.kind=cube", "views.volume.kind: no kind 'cube' of views; those are: slice, crop, volume"),
        ("views.slice.kind=crop", "views.slice.kind: found 'crop' (text), expected slice"),
        ("views.large={pixels: 96}", "views.large.kind: missing; expected another value"),
        ("views.crop.centre=0.5", "views.crop.centre: unknown key"),
        ("views.large={extends: slic}", "views.large: extends 'slic'; the views are: crop, large, slice, volume"),
        (
            "views.crop.localizer=presence",
            "views.crop.localizer: 'presence' says which vertebrae, not where; those that say where are: box_",
        ),
        ("views.crop.localizer=spine", "views.crop.localizer: 'spine' is no localizer; those that say where are: box_"),
        ("views.volume.clamp=[100, 100]", "views.volume.clamp: found [100.0, 100.0], expected [lowest, highest]"),
        ("views.volume.step_down=[{pixels: 64}]", "views.volume.step_down.0.pixels: found 64, expected at most pixels"),
        (
            "methods.cnn_3d.network.pol=2",
            "methods.cnn_3d.network.pol: unknown key; did you mean methods.cnn_3d.network.p",
        ),
        ("methods.cnn_3d.network.weights=hub", "methods.cnn_3d.network.weights: found hub; nobody publishes any"),
        (
            "methods.cnn_3d.training.patient_term=true",
            "found True; a model of whole studies has eight outputs, one of t",
        ),
        (
            "methods.cnn_3d.members=[{training: {presence_weight: 0.2}}]",
            "found 0.2; a model of whole studies has eight",
        ),
        ("methods.cnn_3d.augment.flip_axes=[sideways]", "expected one of left_right, front_back, head_feet"),
        (
            "methods.semi_supervised.aggregate.patient=[own]",
            "methods.semi_supervised.aggregate.patient: own is the answer of a model for the patient, and slice_cnn "
            "judges a slice; expected max, noisy_or or noisy_or_of_<n>",
        ),
        ("methods.cnn_3d.aggregate.patient=[noisy_or_of_8]", "found 'noisy_or_of_8' (text), expected a text matching"),
    ],
)
def test_a_mistake_is_answered_with_path_finding_and_what_is_allowed(setting: str, words: str) -> None:
    with pytest.raises(CspineError) as caught:
        complete(setting)
    assert words in str(caught.value)


def test_a_missing_key_is_named_with_what_belongs_there() -> None:
    folds = {k: v for k, v in DEFAULT["folds"].items() if k != "count"}
    with pytest.raises(CspineError, match=r"folds.count: missing; expected an integer at least 2"):
        complete(folds=folds)


def test_several_mistakes_are_said_at_once() -> None:
    with pytest.raises(CspineError) as caught:
        complete("folds.cuont=3,size=big")
    assert "folds.cuont" in str(caught.value) and "size" in str(caught.value)


@pytest.mark.parametrize("text", ["1e-3", "0.001", "1.0e-3", "+1e-3"])
def test_yaml_1_1_texts_that_are_numbers_become_numbers(text: str) -> None:
    config = complete(f"methods.semi_supervised.training.learning_rate={text}")
    assert config["methods"]["semi_supervised"]["training"]["learning_rate"] == 0.001


def test_equal_values_of_other_types_give_equal_blocks() -> None:
    assert block(complete("data.subset=1"), "inventory") == block(complete("data.subset=1.0"), "inventory")
    nested = complete(folds={"count": "5", "select": "0.2", "run": ["0"]})  # as Snakemake hands on --config folds={...}
    assert block(nested, "assign_folds") == block(complete(), "assign_folds")


def test_a_variant_takes_the_other_methods_values_and_changes_its_own() -> None:
    config = complete("methods.teacher_only={extends: semi_supervised, rounds: 1, network: {dropout: 0.5}}")
    variant, original = config["methods"]["teacher_only"], config["methods"]["semi_supervised"]
    assert variant["rounds"] == 1 and variant["network"] == {**original["network"], "dropout": 0.5}
    assert original["rounds"] == 2


def test_a_view_takes_another_views_values_and_changes_its_own() -> None:
    views = complete("views.large={extends: slice, pixels: 96}")["views"]
    assert views["large"] == {**views["slice"], "pixels": 96}
    assert block(complete("views.large={extends: slice, pixels: 96}"), "plan_cache", view="large")["pixels"] == 96


def evidence(setting: str, preset: str = "evidence.yaml") -> Config:
    raw = merged(DEFAULT, read_yaml(next(p for p in PRESETS if p.name == preset)))
    return complete_config(raw | {"set": setting}, SCHEMA)


@pytest.mark.parametrize(("preset", "arms"), [("evidence.yaml", 3), ("ablation.yaml", 21), ("claims.yaml", 9)])
def test_the_arms_of_the_evidence_have_the_same_optimiser_steps(preset: str, arms: int) -> None:
    config = evidence("", preset)
    found = config["evidence"]["arms"].values()
    trainings = [method_of(config, b["method"], b["round"])["training"] for b in found]
    assert len(trainings) == arms and len({t["epochs"] * t["epoch_steps"] for t in trainings}) == 1


def test_the_arms_of_the_ablation_differ_by_what_their_words_say_and_share_two_teachers() -> None:
    config = evidence("", "ablation.yaml")
    own = {"semi_supervised", *read_yaml(next(p for p in PRESETS if p.name == "ablation.yaml"))["methods"]}
    teachers = {name: teacher_of(config["methods"], name) for name in own}
    assert set(teachers.values()) == {"presence", "semi_supervised", "localized", "truth", "truth_warm"}
    assert teachers["rounds"] == teachers["soft"] == "localized"
    students = [
        method_of(config, b["method"], b["round"]) for b in config["evidence"]["arms"].values() if b["round"] == 1
    ]
    assert all(one != other for i, one in enumerate(students) for other in students[:i])


def test_the_arms_reach_the_stage_in_the_order_of_their_files() -> None:
    config = evidence("", "ablation.yaml")
    told = json.loads(canonical_json(block(config, "weigh_evidence")))["arms"]
    assert [name for name, _ in told] == list(config["evidence"]["arms"]) != sorted(config["evidence"]["arms"])


def test_the_evidence_refuses_arms_that_differ_in_steps_or_do_not_exist() -> None:
    with pytest.raises(CspineError, match="expected the same optimiser steps"):
        evidence("methods.semi_supervised.student.training.epochs=1")
    with pytest.raises(CspineError, match=r"evidence.arms.truth: no round 1 of truth"):
        evidence("evidence.arms.truth.round=1")
    with pytest.raises(CspineError, match="no arm 'other'"):
        evidence("evidence.way=[other, truth]")


def test_the_student_is_the_teacher_with_the_students_differences() -> None:
    teacher, student = (method_of(complete(), "semi_supervised", number) for number in (0, 1))
    assert (teacher["augment"]["probability"], student["augment"]["probability"]) == (0.3, 0.4)
    assert teacher["network"] == student["network"]


def test_every_key_of_the_schema_is_in_config_yaml_and_described() -> None:
    def check(schema: Config, value: Any, path: str) -> None:
        if "$ref" in schema:
            schema = {**SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[-1]], **schema}
        for key, part in schema.get("properties", {}).items():
            here = f"{path}.{key}".lstrip(".")
            described = SCHEMA["$defs"].get(part.get("$ref", "").rsplit("/", 1)[-1], part)
            assert "description" in part or "properties" in described, f"{here} has no description in the schema"
            if key not in ("teacher", "student", "evidence"):
                assert key in value, f"{here} is not in config.yaml"
                if isinstance(value[key], dict):
                    check(part, value[key], here)

    check(SCHEMA, DEFAULT, "")
    for kind in ("crop", "volume"):
        check(SCHEMA["$defs"][f"view_{kind}"], DEFAULT["views"][kind], f"views.{kind}")
    check(SCHEMA["$defs"]["slice_cnn"], DEFAULT["methods"]["semi_supervised"], "methods.semi_supervised")
    check(SCHEMA["$defs"]["localizer_slice_cnn"], DEFAULT["localizers"]["presence"], "localizers.presence")
    volumes = SCHEMA["$defs"]["localizer_volume_segmenter"]
    check(volumes, DEFAULT["localizers"]["segmentation"], "localizers.segmentation")
    check(SCHEMA["$defs"]["volume_cnn"], DEFAULT["methods"]["cnn_3d"], "methods.cnn_3d")


def test_a_method_of_volumes_reads_a_view_of_cubes_that_its_blocks_can_halve() -> None:
    cnn = complete()["methods"]["cnn_3d"]
    kinds: Config = {"volume": {"kind": "volume", "pixels": 8}, "tiny": {"kind": "volume", "pixels": 4}, "slice": {}}
    found = {name: [text for _, text in of_volumes(["methods", "m"], cnn, view)] for name, view in kinds.items()}
    assert found["volume"] == []
    assert found["tiny"] == ["3 blocks halve the 4 cells of a side to nothing; expected fewer"]
    assert found["slice"] == ["volume is a view of the kind slice, expected volume"]


def test_a_localizers_inner_models_are_trained_by_the_stage_that_trains_methods_from_their_own_block() -> None:
    config = complete()
    first, second = (block(config, "train", localizer="box_ratio", fold="0", inner=str(inner)) for inner in (0, 1))
    assert first["family"] == "slice_localizer" and first["training"]["presence_weight"] == 1.0
    assert first["training"]["epoch_steps"] == config["localizers"]["presence"]["training"]["epoch_steps"]
    assert first["seed"] != second["seed"] and first | {"seed": 0} == second | {"seed": 0}


def test_a_weights_file_counts_by_its_content_and_not_by_its_place() -> None:
    here, there, hub = (
        block(complete(f"methods.semi_supervised.network.weights={name}"), "train", **at("train"))
        for name in ("here/w.pth", "there/v.safetensors", "hub")
    )
    assert here == there != hub

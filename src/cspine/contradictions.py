"""Mistakes in a config that no single key shows: values that do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cspine.layers import (
    Config,
    in_member,
    in_part,
    in_round,
    is_phantom,
    last_part,
    merged,
    steps_of,
    taught_by_localizer,
)
from cspine.methods.registry import unit_of
from cspine.reason_codes import unknown
from cspine.schema import Mistake
from cspine.study_contradictions import of_patient, of_volumes
from cspine.vertebra_contradictions import of_vertebrae

#: unit of a family -> the kind of views its methods read; a family of whole studies may read any
KIND_READ = {"slice": "slice", "vertebra": "crop", "study": ""}
SAY_WHERE = ("slice_localizer", "volume_segmenter")  #: families of localizers that give a box


def contradictions(config: Config) -> Iterator[Mistake]:
    """What each value allows by itself and the values together do not."""
    for fold in config["folds"]["run"]:
        if fold >= config["folds"]["count"]:
            yield (
                ["folds", "run"],
                f"fold {fold} does not exist: folds.count is {config['folds']['count']} (0 .. count - 1)",
            )
    if config["submission"]["method"] not in config["methods"]:
        known = ", ".join(sorted(config["methods"]))
        yield (
            ["submission", "method"],
            f"no method {config['submission']['method']!r}; the methods are: {known}",
        )
    elif config["methods"][config["submission"]["method"]]["targets"] == "presence":
        yield ["submission", "method"], "its targets are vertebrae, not fractures; expected a method of other targets"
    if config["phantom"]["slices"][0] > config["phantom"]["slices"][1]:
        yield ["phantom", "slices"], f"found {config['phantom']['slices']}, expected [fewest, most]"
    for phrase in unknown(config["audit"]["exclude_codes"]):
        yield ["audit", "exclude_codes"], phrase
    yield from _of_views(config)
    yield from _of_evidence(config)
    yield from _of_compare(config)
    for name, block in config["localizers"].items():
        yield from _of_localizer(name, block)
        yield from _of_view(config, ["localizers", name, "view"], block["view"], "slice")
    for name, block in config["methods"].items():
        yield from _of_view(config, ["methods", name, "view"], block["view"], KIND_READ[unit_of(block["family"])])
        yield from _of_targets(config, name, block)
        yield from _of_labels(config, name, block)
        yield from _of_init_from(config, name)
        yield from _of_members(config, name, block)
        yield from _of_slices(name, block)
        yield from of_patient(["methods", name, "aggregate", "patient"], block)
        if block["family"] == "volume_cnn":
            yield from of_volumes(["methods", name], block, config["views"].get(block["view"]))
        if unit_of(block["family"]) == "vertebra":
            yield from of_vertebrae(["methods", name], block, config)
        for role in ("teacher", "student")[: block["rounds"]]:  # of one round there is no student
            in_role = merged(block, block.get(role, {}))
            network = in_role.get("network", {})
            random = network.get("weights") == "none" and in_role.get("init_from") == "none"
            if network.get("trainable") == "head" and random:
                text = (
                    "head needs network.weights: a final layer on random features learns nothing; hub, a file, or all"
                )
                yield ["methods", name, "network", "trainable"], text
                break
            place = ["methods", name, *([role] if "continued" in block.get(role, {}) else []), "continued"]
            training = [
                *_of_training(["methods", name, "training"], in_role["training"]),
                *_of_continued(place, in_role),
            ]
            if training:
                yield from training
                break


def _of_localizer(name: str, block: Config) -> Iterator[Mistake]:
    """What would choose on the studies it will be measured on, or blend the places of two slices."""
    path, training = ["localizers", name, "training"], block["training"]
    why = "an inner model of a localizer is watched on the studies it will be measured on, and may choose nothing there"
    if training["keep"] != "last":
        yield [*path, "keep"], f"found {training['keep']}; {why}: expected last"
    if training["patience"]:
        yield [*path, "patience"], f"found {training['patience']}; {why}: expected 0"
    if training["mixup"] > 0 and block["family"] != "slice_cnn":
        yield [*path, "mixup"], f"found {training['mixup']}; two blended slices have no one box: expected 0"
    if block["network"].get("trainable") == "head" and block["network"]["weights"] == "none":
        text = "head needs network.weights: a final layer on random features learns nothing; hub, a file, or all"
        yield ["localizers", name, "network", "trainable"], text
    yield from _of_colour(["localizers", name, "network"], block["network"])
    if "cube" in block["network"]:
        yield from _of_cube(["localizers", name, "network"], block["network"])
    yield from _of_training(path, training)


def _of_cube(path: list[str], network: Config) -> Iterator[Mistake]:
    """A cube that cannot be halved from level to level, or weights that nobody publishes."""
    halvings = len(network["channels"]) - 1
    if network["cube"] % 2**halvings:
        text = f"{halvings + 1} levels of channels halve it {halvings} times, expected a multiple of {2**halvings}"
        yield [*path, "cube"], f"found {network['cube']}; {text}"
    if network["weights"] == "hub":
        yield [*path, "weights"], "found hub; monai publishes none for these networks: expected none or a model's path"


def _of_views(config: Config) -> Iterator[Mistake]:
    """A step down that goes up, or none where one is asked for; a crop around nothing, and an empty range."""
    for name, view in config["views"].items():
        path = ["views", name, "step_down"]
        if view["when_larger"] == "step_down" and not view["step_down"]:
            yield path, "when_larger is step_down and there is no step; expected e.g. [{codec: jpeg-95}]"
        for place, step in enumerate(view["step_down"]):
            if step.get("pixels", 0) > view["pixels"]:
                yield [*path, place, "pixels"], f"found {step['pixels']}, expected at most pixels, {view['pixels']}"
        if view["kind"] == "crop":
            yield from _of_crop(config, ["views", name, "localizer"], view["localizer"])
        if view["kind"] == "volume" and view["clamp"][0] >= view["clamp"][1]:
            yield ["views", name, "clamp"], f"found {view['clamp']}, expected [lowest, highest]"


def _of_crop(config: Config, path: list[Any], name: str) -> Iterator[Mistake]:
    """A localizer that is none, that says no place, or that itself reads what is cropped by it."""
    placing = [one for one, block in config["localizers"].items() if block["family"] in SAY_WHERE]
    if name not in placing:
        known = ", ".join(sorted(placing)) or "none"
        what = "says which vertebrae, not where" if name in config["localizers"] else "is no localizer"
        yield path, f"{name!r} {what}; those that say where are: {known}"
    elif config["views"].get(config["localizers"][name]["view"], {}).get("kind") == "crop":
        yield (
            path,
            f"{name} reads the view {config['localizers'][name]['view']}, a crop; expected one that reads slices",
        )


def _of_view(config: Config, path: list[Any], name: str, kind: str) -> Iterator[Mistake]:
    """A view that is none, or of a kind that such a model does not read."""
    known = sorted(view for view, block in config["views"].items() if kind in ("", block["kind"]))
    if name not in known:
        of_kind = f" of the kind {kind}" if kind else ""
        yield path, f"{name!r} is no view{of_kind}; those are: {', '.join(known) or 'none'}"


def _of_training(path: list[Any], training: Config) -> Iterator[Mistake]:
    """A loss, a schedule or a batch that its other keys make no sense with."""
    if training["patient_term"] and training["loss"] != "competition":
        text = f"belongs to loss: competition, found loss: {training['loss']}; expected false, or the other loss"
        yield [*path, "patient_term"], text
    if training["min_learning_rate"] > training["learning_rate"]:
        text = f"found {training['min_learning_rate']}, expected at most learning_rate, {training['learning_rate']}"
        yield [*path, "min_learning_rate"], text
    if training.get("cycles", 1) > 1 and training["schedule"] == "constant":
        yield [*path, "cycles"], f"found {training['cycles']}, but a constant schedule never falls; expected 1"
    steps = training["epochs"] * training["epoch_steps"]
    if 0 < steps <= training["warmup_steps"]:
        text = f"found {training['warmup_steps']}, but there are {steps} steps (epochs x epoch_steps); expected fewer"
        yield [*path, "warmup_steps"], text
    size, parts = training["batch_size"], training["accumulate"]
    if size != "auto" and parts > 1 and size < 2 * parts:
        text = f"found {parts}, expected at most {size // 2}: normalisation needs two examples in each part of a batch"
        yield [*path, "accumulate"], text


def _of_continued(path: list[Any], block: Config) -> Iterator[Mistake]:
    """What a training cannot change on its way: its batch back to a guess, and the outputs of its network."""
    before = block["training"]
    for part in range(1, last_part(block) + 1):
        place = [*path, part - 1, "training"]
        training = in_part(block, part)["training"]
        if training["batch_size"] == "auto" != before["batch_size"]:
            text = f"auto is found out when a training starts; expected a number, or nothing for {before['batch_size']}"
            yield [*place, "batch_size"], text
        for key in ("presence_weight", "any_fracture_weight"):
            if (training[key] > 0) != (before[key] > 0):
                text = (
                    f"found {training[key]} after {before[key]}: 0 is a network without these outputs, and a training "
                    "is continued with the same network; init_from takes over what fits"
                )
                yield [*place, key], text
        yield from _of_training(place, training)
        before = training


def _of_evidence(config: Config) -> Iterator[Mistake]:
    """The arms exist, and differ in what they are taught only: equal optimiser steps."""
    steps = {}
    evidence = config.get("evidence", {"arms": {}, "compare": [], "way": []})
    for arm, block in evidence["arms"].items():
        path = ["evidence", "arms", arm]
        method = config["methods"].get(block["method"])
        if method is None or block["round"] >= method["rounds"]:
            yield path, f"no round {block['round']} of {block['method']}; the methods: {', '.join(config['methods'])}"
            continue
        steps[arm] = steps_of(in_round(method, block["round"]))
        if not steps[arm]:
            yield path, "an epoch of this arm is as long as its training set; expected training.epoch_steps above 0"
    if len(set(steps.values())) > 1:
        yield ["evidence"], f"expected the same optimiser steps (epochs x epoch_steps) for every arm, found {steps}"
    for name in {name for pair in [*evidence["compare"], evidence["way"]] for name in pair}:
        if name not in {"constant", *evidence["arms"]}:
            yield ["evidence"], f"no arm {name!r}; the arms: constant, {', '.join(evidence['arms'])}"
    if len(evidence["way"]) == 1:
        yield ["evidence", "way"], "expected two arms, from and to, or none"
    if steps and not is_phantom(config):
        yield ["evidence"], "the truth is known of the phantom only; expected data.root: data/phantom"


def _of_members(config: Config, name: str, block: Config) -> Iterator[Mistake]:
    """Members are trained in one part each, and nothing starts from several models at once."""
    path, members = ["methods", name, "members"], block["members"]
    for number, member in enumerate(members):
        in_one = merged(block, member)
        if in_one.get("continued") or any(block.get(role, {}).get("continued") for role in ("teacher", "student")):
            yield [*path, number], "a member is trained in one part; expected continued: []"
        yield from _of_training([*path, number, "training"], in_one["training"])
    for round in range(block["rounds"]):
        start = in_round(block, round)["init_from"]
        if start in config["methods"] and config["methods"][start]["members"]:
            text = f"{start} has {len(config['methods'][start]['members'])} members; expected a method of one model"
            yield ["methods", name, "init_from"], text


def _of_compare(config: Config) -> Iterator[Mistake]:
    """The compared methods are there and judge fractures, and the reference is one of them."""
    compared, methods = config["compare"], config["methods"]
    for key in ("methods", "published"):
        for name in compared[key]:
            if name not in methods:
                yield ["compare", key], f"no method {name!r}; the methods are: {', '.join(sorted(methods))}"
            elif key == "methods" and methods[name]["targets"] == "presence":
                yield ["compare", key], f"the targets of {name} are vertebrae; expected methods that judge fractures"
    if compared["reference"] not in compared["methods"]:
        text = f"found {compared['reference']}, expected one of compare.methods: {', '.join(compared['methods'])}"
        yield ["compare", "reference"], text


def _of_labels(config: Config, name: str, block: Config) -> Iterator[Mistake]:
    """A localizer that is asked is there."""
    labels, pseudo = block.get("labels", {}), block.get("pseudo_labels", {})
    unit = unit_of(block["family"])
    asked_by = {
        "labels": unit == "vertebra" or labels.get("assign") == "localized" or _taught_by_localizer(block),
        "pseudo_labels": pseudo.get("evidence", "fracture") != "fracture",
    }
    for key, asked in asked_by.items():
        if asked and (localizer := block[key]["localizer"]) not in config["localizers"]:
            known = ", ".join(sorted(config["localizers"]))
            yield ["methods", name, key, "localizer"], f"no localizer {localizer!r}; the localizers are: {known}"


def _taught_by_localizer(block: Config) -> bool:
    """Whether any round is; of a family without a key for it none."""
    return "labels" in block and any(
        taught_by_localizer(in_round(block, round)) for round in range(block["rounds"]) if "share" in block["labels"]
    )


def _of_slices(name: str, block: Config) -> Iterator[Mistake]:
    """Evidence by a presence that the network is not taught, and colours that cannot be learnt."""
    for round in range(block["rounds"]):
        in_one = in_round(block, round)
        models = [in_member(in_one, member) for member in range(len(block["members"]))] or [in_one]
        for model in models:
            weight = model["training"]["presence_weight"]
            if "localized" in block["aggregate"].get("evidence", []) and not weight > 0:
                text = (
                    "localized weighs by what the network says a slice shows; expected training.presence_weight above "
                    f"0, found {weight} in round {round}, or evidence: [fracture]"
                )
                yield ["methods", name, "aggregate", "evidence"], text
                return
            if mistakes := list(_of_colour(["methods", name, "network"], model["network"])):
                yield from mistakes
                return


def _of_colour(path: list[Any], network: Config) -> Iterator[Mistake]:
    """Learned colours are of a slice alone, and of a network that is trained as a whole."""
    if network.get("colour", "repeat") == "repeat":
        return
    if network["neighbours"] > 0:
        text = f"learned maps a slice alone to three channels; expected neighbours: 0, found {network['neighbours']}"
        yield [*path, "colour"], text
    if network["trainable"] == "head":
        yield (
            [*path, "colour"],
            "learned with trainable: head would never be learnt; expected trainable: all, or repeat",
        )


def _of_targets(config: Config, name: str, block: Config) -> Iterator[Mistake]:
    path = ["methods", name, "targets"]
    if block["targets"] != "fracture" and block["rounds"] > 1:
        yield path, f"{block['targets']} leaves nothing to pseudo-label; expected rounds: 1, found {block['rounds']}"
    if block["targets"] == "truth" and not is_phantom(config):
        yield path, "truth is known of the phantom only; expected fracture or presence, or data.root: data/phantom"


def _of_init_from(config: Config, name: str) -> Iterator[Mistake]:
    """A round cannot start from itself, from a method that waits for it, or from a round before the first."""
    methods = config["methods"]
    for round in range(methods[name]["rounds"]):
        found = in_round(methods[name], round)["init_from"]
        path = ["methods", name, "init_from"]
        if found == "previous_round" and round == 0:
            yield path, "the teacher has no previous round; expected it in the method's `student:` block only"
        elif found in methods and name in _ancestors(methods, found):
            yield path, f"{name} would start from {found}, which starts from {name}"


def _ancestors(methods: Config, name: str) -> set[str]:
    """``name`` and every method that one of its rounds starts from, directly or through others."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in methods and current not in seen:
            seen.add(current)
            waiting += [in_round(methods[current], r)["init_from"] for r in range(methods[current]["rounds"])]
    return seen

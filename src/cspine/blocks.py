"""From the whole config to one stage's block: the only place that knows which keys a stage depends on.

A key that is not in a stage's block cannot make it run again; one that is, does. Seeds are worked out here, so that a
block holds numbers and not where they come from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cspine.hashing import seed_of
from cspine.layers import (
    Config,
    in_member,
    in_part,
    in_round,
    is_phantom,
    last_part,
    localizers_compared,
    localizers_to_judge,
    steps_of,
    taught_by_localizer,
    taught_presence,
)
from cspine.methods.registry import unit_of

Block = dict[str, Any]


def block(config: Config, stage: str, **at: str) -> Block:
    """The config block of ``stage``; ``at`` holds the wildcards of its rule (method, fold, round, view, cohort, shard,
    localizer, inner, member).

    Raises:
        KeyError: the config has no such method, localizer or view.
    """
    return BLOCKS[stage](config, **at) if stage in BLOCKS else {}


def method_of(config: Config, method: str, round: int = 0) -> Config:
    """A method's block as it is in ``round``, the differences of teacher or student laid over it."""
    return in_round(config["methods"][method], round)


def _make_phantom(config: Config) -> Block:
    return {"seed": seed_of("phantom", config["seed"]), **config["phantom"]}


def _inventory(config: Config) -> Block:
    data = config["data"]
    return {"shards": data["shards"], "subset": data["subset"], "seed": seed_of("subset", config["seed"])}


def _plan_cache(config: Config, view: str) -> Block:
    return _plan(config, view, "centre", "window_center", "window_width")


def _plan(config: Config, view: str, *keys: str) -> Block:
    """The budget of a view, and what of it decides how large its pictures are."""
    budget = ("pixels", "codec", "max_gb", "when_larger", "step_down")
    own = {key: config["views"][view][key] for key in (*budget, *keys)}
    return {"view": view, "seed": seed_of("size plan", config["seed"]), **own}


def _ingest(config: Config, view: str, cohort: str, shard: str) -> Block:
    # pixels and codec are what the size plan decides, and so an input
    form = {key: config["views"][view][key] for key in ("centre", "window_center", "window_width")}
    return {"view": view, "cohort": cohort, **form}


def _place_crops(config: Config, view: str, fold: str) -> Block:
    # the smallest field is the view's as configured: a step down in pixels shows it more coarsely
    return {"view": view, **{key: config["views"][view][key] for key in ("pixels", "margin")}}


def _plan_crops(config: Config, view: str, fold: str) -> Block:
    return _plan(config, view, "window_center", "window_width")


def _ingest_crops(config: Config, view: str, fold: str, cohort: str, shard: str) -> Block:
    form = {key: config["views"][view][key] for key in ("window_center", "window_width")}
    return {"view": view, "cohort": cohort, **form}


def _plan_volumes(config: Config, view: str) -> Block:
    return _plan(config, view, "spacing", "clamp")


def _ingest_volumes(config: Config, view: str, cohort: str, shard: str) -> Block:
    own = config["views"][view]
    return {"view": view, "cohort": cohort, "side": own["pixels"] * own["spacing"], "clamp": own["clamp"]}


def _label_slices(config: Config) -> Block:
    return {"seed": seed_of("labels", config["seed"]), **config["labels"]}


def _audit_studies(config: Config) -> Block:
    audit = config["audit"]
    return {
        "exclude_codes": sorted(set(audit["exclude_codes"])),
        "exclude_studies": {str(uid): reason for uid, reason in audit["exclude_studies"].items()},
    }


def _write_audit(config: Config) -> Block:
    return {"phantom": is_phantom(config)}


def _assign_folds(config: Config) -> Block:
    folds = config["folds"]
    return {"count": folds["count"], "select": folds["select"], "seed": seed_of("folds", config["seed"])}


def _build_training_set(config: Config, method: str, fold: str, round: str) -> Block:
    block = method_of(config, method, int(round))
    labels, presence = block["labels"], taught_presence(block)
    beside = {"presence": presence} if presence == "localized" else {}
    seen = {key: labels[key] for key in ("soft", "least")} if taught_by_localizer(block) else {}
    share = {"share": labels["share"], "seed": seed_of("share", config["seed"])} if labels["share"] < 1 else {}
    return {"fold": int(fold), "round": int(round), "targets": block["targets"], **beside, **seen, **share}


def _assign_boxes(config: Config, method: str, fold: str) -> Block:
    # which localizer it is, the input says by its content
    labels = config["methods"][method]["labels"]
    others = ("localizer", "presence", "share")
    return {"fold": int(fold), **{key: value for key, value in labels.items() if key not in others}}


def _place_vertebrae(config: Config, method: str, fold: str) -> Block:
    # which localizer and which view it is, the inputs say by their content
    return {"fold": int(fold), **config["methods"][method]["vertebrae"]}


def _build_study_set(config: Config, method: str, fold: str, round: str) -> Block:
    return {"fold": int(fold)}


def _measure_labels(config: Config, method: str, fold: str) -> Block:
    return {"bootstrap": config["score"]["bootstrap"], "seed": seed_of("measure labels", config["seed"])}


def _train(config: Config, fold: str, **at: str) -> Block:
    """Of a method's round (method, round, perhaps part or member), or a localizer's inner model (localizer, inner)."""
    return _train_localizer(config, fold, **at) if "localizer" in at else _train_round(config, fold, **at)


def _train_localizer(config: Config, fold: str, localizer: str, inner: str) -> Block:
    block = config["localizers"][localizer]
    seed = seed_of("train localizer", config["seed"], int(fold), int(inner))
    others = {key: block[key] for key in ("family", "view", "training", "augment")}
    return {"seed": seed, "network": _network(block), **others}


def _train_round(
    config: Config, fold: str, method: str, round: str, part: str | None = None, member: str | None = None
) -> Block:
    of_round = method_of(config, method, int(round))
    if member is not None:
        of_round = in_member(of_round, int(member))
    number = last_part(of_round) if part is None else int(part)
    block = in_part(of_round, number)
    own = [*([number] if number else []), *(["member", int(member)] if member is not None else [])]
    seed = seed_of("train", config["seed"], int(fold), int(round), *own)
    others = {key: block[key] for key in ("family", "view", "training", "augment")}
    return {"seed": seed, "network": _network(block), **others}


def _predict_slices(config: Config, method: str, fold: str, round: str) -> Block:
    block = method_of(config, method, int(round))
    return _prediction(in_part(block, last_part(block)))


def _prediction(block: Config) -> Block:
    machine = {key: block["training"][key] for key in ("batch_size", "precision", "threads")}
    return {"family": block["family"], "view": block["view"], **machine}


def _lay_masks(config: Config, view: str, shard: str) -> Block:
    return {"view": view, "centre": config["views"][view]["centre"]}


def _build_localizer_set(config: Config, localizer: str, fold: str, inner: str) -> Block:
    parts = config["localization"]["inner"]
    return {"fold": int(fold), "inner": int(inner), "parts": parts, "seed": seed_of("inner parts", config["seed"])}


def _predict_localizer(config: Config, localizer: str, fold: str, inner: str) -> Block:
    return _prediction(config["localizers"][localizer])


def _localize_slices(config: Config, localizer: str, fold: str) -> Block:
    return {"fold": int(fold)}


def _compare_localizers(config: Config) -> Block:
    return {
        "localizers": sorted(config["localizers"]),
        "folds_run": config["folds"]["run"],
        "phantom": is_phantom(config),
        "size": config["size"],
        "bootstrap": config["score"]["bootstrap"],
        "seed": seed_of("compare localizers", config["seed"]),
    }


def _pseudo_label(config: Config, method: str, fold: str, round: str) -> Block:
    # the labels that predictions of this round give to the next
    pseudo = config["methods"][method]["pseudo_labels"]
    return {"fold": int(fold), "round": int(round) + 1, **{k: v for k, v in pseudo.items() if k != "localizer"}}


def _measure_pseudo_labels(config: Config, method: str, fold: str, round: str) -> Block:
    return {
        "pseudo": _pseudo_label(config, method, fold, round),
        "bootstrap": config["score"]["bootstrap"],
        "seed": seed_of("pseudo quality", config["seed"]),
    }


def _write_pseudo_quality(config: Config, method: str) -> Block:
    return {
        "method": method,
        "last_round": config["methods"][method]["rounds"] - 1,
        "phantom": is_phantom(config),
        "size": config["size"],
        "bootstrap": config["score"]["bootstrap"],
    }


def _write_pseudo_pages(config: Config, method: str) -> Block:
    fold, number = config["folds"]["run"][0], labels_round(config, method)
    pseudo = _pseudo_label(config, method, str(fold), str(number))
    return {"method": method, "pseudo": pseudo, "phantom": is_phantom(config)}


def labels_round(config: Config, method: str) -> int:
    """The round whose predictions make the last pseudo-labels that are taught; of a teacher alone, would be."""
    return max(int(config["methods"][method]["rounds"]) - 2, 0)


def _aggregate_studies(config: Config, method: str, fold: str, round: str) -> Block:
    chosen = config["methods"][method]["aggregate"]
    return {"fold": int(fold), "normalisation": config["submission"]["normalisation"], **chosen}


def _weigh_evidence(config: Config) -> Block:
    evidence = config["evidence"]
    arms = list(evidence["arms"].values())
    return {
        "folds_run": config["folds"]["run"],
        "steps": steps_of(method_of(config, arms[0]["method"], arms[0]["round"])),
        "arms": [[name, arm["says"]] for name, arm in evidence["arms"].items()],  # a list: in the order of the files
        "compare": evidence["compare"],
        "way": evidence["way"],
        "bootstrap": config["score"]["bootstrap"],
        "seed": seed_of("evidence", config["seed"]),
        "constant_clip": config["submission"]["prior_clip"],
        "size": config["size"],
    }


def _write_bundle(config: Config) -> Block:
    name, submission = config["submission"]["method"], config["submission"]
    block = method_of(config, name, config["methods"][name]["rounds"] - 1)
    shown = {
        key: block[key] for key in ("family", "view", "targets", "labels", "rounds", "training", "augment", "aggregate")
    }
    view = config["views"][block["view"]]
    prediction = _predict_slices(config, name, "0", str(config["methods"][name]["rounds"] - 1))
    return {
        "method": name,
        "folds_run": config["folds"]["run"],
        "block": {**shown, "network": _network(block), "pseudo_labels": block["pseudo_labels"]},
        "view": {key: view[key] for key in ("centre", "window_center", "window_width")},
        "prediction": {key: prediction[key] for key in ("family", "batch_size", "precision", "threads")},
        **{key: submission[key] for key in ("normalisation", "clip", "prior_clip")},
        "sensitivity": config["bundle"]["sensitivity"],
        "phantom": is_phantom(config),
        "size": config["size"],
    }


def _network(block: Config) -> Block:
    # a weights file counts by its content, which is an input, and not by its place on this machine
    weights = block["network"]["weights"]
    return {**block["network"], "weights": weights if weights in ("none", "hub") else "file"}


def _predict_with_bundle(config: Config) -> Block:
    return {"family": config["methods"][config["submission"]["method"]]["family"]}


def _score_bundle(config: Config) -> Block:
    return {
        "phantom": is_phantom(config),
        "bootstrap": config["score"]["bootstrap"],
        "constant_clip": config["submission"]["prior_clip"],
        "seed": seed_of("score bundle", config["seed"]),
    }


def _write_submission(config: Config) -> Block:
    return {key: config["submission"][key] for key in ("normalisation", "clip", "prior_clip")}


def _score(config: Config, method: str) -> Block:
    return {
        "method": method,
        "folds_run": config["folds"]["run"],
        "phantom": is_phantom(config),
        "size": config["size"],
        "bootstrap": config["score"]["bootstrap"],
        "normalisation": config["submission"]["normalisation"],
        "constant_clip": config["submission"]["prior_clip"],
        "seed": seed_of("score", config["seed"]),
    }


def _compare_methods(config: Config) -> Block:
    # the resamples are those of each method's score
    compared = config["compare"]
    scored = _score(config, compared["reference"])
    del scored["method"]
    published = {name: said for name, said in compared["published"].items() if name in compared["methods"]}
    return {
        **{"prior_clip": scored.pop("constant_clip"), **scored},
        "methods": [_compared(config, name) for name in compared["methods"]],  # a list: in the order of the table
        "reference": compared["reference"],
        "published": published,
        "localizers": localizers_compared(config),
        "inner": config["localization"]["inner"],
        "clip": config["submission"]["clip"],
    }


def _compared(config: Config, name: str) -> Block:
    block = config["methods"][name]
    return {
        "name": name,
        "family": block["family"],
        "unit": unit_of(block["family"]),
        "vertebra": block["aggregate"]["vertebra"],
        "evidence": block["aggregate"].get("evidence", ["fracture"]),
        "members": max(1, len(block["members"])),
        "localizers": localizers_to_judge(config, name),
    }


def _analyse_errors(config: Config, method: str = "") -> Block:
    # without a method: the submission, as it was submitted. The resamples are those of its score
    scored = _score(config, method or config["submission"]["method"])
    return {"prior_clip": scored.pop("constant_clip"), **scored}


def _choose_cases(config: Config, method: str) -> Block:
    return {
        "method": method,
        "folds_run": config["folds"]["run"],
        **{key: config["report"][key] for key in ("cases", "studies")},
        "seed": seed_of("choose cases", config["seed"]),
    }


def _explain_cases(config: Config, method: str) -> Block:
    prediction = _predict_slices(config, method, "0", str(config["methods"][method]["rounds"] - 1))
    by_fold = config["views"][prediction["view"]]["kind"] == "crop"
    return {**prediction, "folds_run": config["folds"]["run"], "shards_by_fold": by_fold}


def _gather_studies(config: Config, method: str) -> Block:
    shown = {key: config["report"][key] for key in ("images", "max_mb")}
    return {"folds_run": config["folds"]["run"], **shown}


def _write_report(config: Config) -> Block:
    name = config["submission"]["method"]
    whole = config["methods"][name]
    block = method_of(config, name, whole["rounds"] - 1)
    scored = _score(config, name)
    return {
        "prior_clip": scored.pop("constant_clip"),
        **scored,
        "block": {
            **{key: block[key] for key in ("family", "view", "init_from", "training")},
            "network": _network(block),
        },
        "unit": unit_of(block["family"]),
        "rounds": whole["rounds"],
        "members": max(1, len(whole["members"])),
        "published": config["compare"]["published"].get(name, {}),
        **{key: config["report"][key] for key in ("images", "uids")},
    }


BLOCKS: dict[str, Callable[..., Block]] = {
    "make_phantom": _make_phantom,
    "inventory": _inventory,
    "plan_cache": _plan_cache,
    "ingest": _ingest,
    "place_crops": _place_crops,
    "plan_crops": _plan_crops,
    "ingest_crops": _ingest_crops,
    "plan_volumes": _plan_volumes,
    "ingest_volumes": _ingest_volumes,
    "label_slices": _label_slices,
    "audit_studies": _audit_studies,
    "write_audit": _write_audit,
    "assign_folds": _assign_folds,
    "assign_boxes": _assign_boxes,
    "build_training_set": _build_training_set,
    "place_vertebrae": _place_vertebrae,
    "build_study_set": _build_study_set,
    "lay_masks": _lay_masks,
    "build_localizer_set": _build_localizer_set,
    "predict_localizer": _predict_localizer,
    "localize_slices": _localize_slices,
    "compare_localizers": _compare_localizers,
    "train": _train,
    "predict_slices": _predict_slices,
    "predict_studies": _predict_slices,
    "pseudo_label": _pseudo_label,
    "measure_pseudo_labels": _measure_pseudo_labels,
    "write_pseudo_quality": _write_pseudo_quality,
    "write_pseudo_pages": _write_pseudo_pages,
    "measure_labels": _measure_labels,
    "aggregate_studies": _aggregate_studies,
    "weigh_evidence": _weigh_evidence,
    "write_bundle": _write_bundle,
    "write_submission": _write_submission,
    "score": _score,
    "analyse_errors": _analyse_errors,
    "compare_methods": _compare_methods,
    "choose_cases": _choose_cases,
    "explain_cases": _explain_cases,
    "gather_studies": _gather_studies,
    "write_report": _write_report,
    "predict_with_bundle": _predict_with_bundle,
    "score_bundle": _score_bundle,
}

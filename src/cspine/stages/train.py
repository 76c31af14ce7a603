"""Train one round of one fold: the teacher (round 0) or a student."""

from __future__ import annotations

import importlib
from dataclasses import asdict, dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cspine.cached_studies import with_pixels
from cspine.checkpoint import Checkpoints
from cspine.distributed import joined
from cspine.end_state import End, read_end, write_end
from cspine.errors import CspineError
from cspine.examples import Examples
from cspine.hashing import file_digest, seed_of
from cspine.histories import Row
from cspine.methods.registry import module_of
from cspine.models import save_model
from cspine.origins import take_over
from cspine.progress import say
from cspine.stage import InPath, OutPath, Scratch
from cspine.studies import PRESENCE
from cspine.tables import read_table, write_table
from cspine.tracked import class_counts, example_image
from cspine.tracking import Silent, tracker
from cspine.training import Task, fit
from cspine.training_config import TrainingConfig

USES_GPU = True
SHARES_DEVICES = True  # by several processes (peers.py)


@dataclass(frozen=True)
class TrainConfig:
    """One training."""

    family: str  # see cspine.methods.registry
    view: str  # the form of the pixels it reads
    seed: int  # of the initial weights, the order and every draw
    network: dict[str, Any]  # the family's NetworkConfig
    training: TrainingConfig
    augment: dict[str, Any]  # the family's augmentations


def train(
    training_set: InPath,
    shards: list[InPath],
    model: OutPath,
    history: OutPath,
    state: OutPath,
    checkpoints: Scratch,
    *,
    weights: InPath | None = None,
    init_from: InPath | None = None,
    continue_from: InPath | None = None,
    config: TrainConfig,
) -> None:
    """Train on the rows of role ``train`` and watch those of role ``select``; goes on from the newest checkpoint.

    Args:
        training_set: slices with targets, weights and roles (stage build_training_set).
        shards: the cache of the view, training studies.
        model: the network as safetensors, with what is needed to rebuild it and how it came about.
        history: one row per epoch: part, steps, learning rate, losses and slice figures on ``select``.
        state: where the training ended, for one that continues it.
        checkpoints: a folder that outlives a kill.
        weights: the file named by ``network.weights``, when it names one.
        init_from: a finished model, a checkpoint or the end of a training to start from, laid over what
            ``network.weights`` gives.
        continue_from: the ``state`` of the part before, which this one continues; then neither of the two above counts.

    Raises:
        CspineError: nothing to train on, or the network, its weights or a key of ``training`` cannot be had.
    """
    family = importlib.import_module(module_of(config.family))
    table = with_pixels(read_table(training_set), shards, "train")
    taught, watched = (table[table["role"] == role] for role in ("train", "select"))
    _check(taught, training_set, config)
    loss, network_config = family.loss(config.training), family.NetworkConfig(**config.network)
    description = {
        "family": config.family,
        "view": config.view,
        "network": family.describe(network_config),
        "outputs": list(loss.outputs),
        "seed": config.seed,
        "augment": config.augment,
    }
    before = _end_before(continue_from, description) if continue_from is not None else None
    network = _network(family, config, len(loss.outputs), weights, before)
    part = before.description["part"] + 1 if before else 0
    description |= {
        "part": part,
        "trained_weights": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "weights_sha256": file_digest(weights) if weights is not None else None,
        "init_from": take_over(network, init_from) if init_from is not None else None,
        "continued_from": _origin(continue_from, before) if continue_from and before else None,
    }
    training = _training(config.training, before)
    kept = Checkpoints(checkpoints, {**description, "training": asdict(training), "key": checkpoints.parent.name})
    data = family.examples(taught, shards, network_config, config.augment, config.seed)
    seen = family.examples(watched, shards, network_config, None, config.seed)
    start = before.state if before else None
    with joined() as group:
        run = tracker("train", checkpoints.parent, asdict(config)) if group.leads else Silent()
        run.table("training_set", lambda: class_counts(table))
        run.show(lambda: _examples(run.images, data))
        try:
            trained = fit(Task(network, loss, data, seen, training, config.seed, kept, run, start, group))
        finally:
            run.finish()
    if not group.leads:
        return
    description["training"] = {**asdict(training), "batch_size": trained.batch.size}
    description |= {"epochs": len(trained.history), "steps": trained.steps}
    rows = _counted_on(trained.history, before, part)
    write_end(state, {**trained.end, "history": rows, "batch_size": trained.batch.size}, description)
    save_model(network, model, description)
    write_table(pd.DataFrame(rows, columns=list(rows[-1])), history)


def _network(
    family: ModuleType, config: TrainConfig, outputs: int, weights: InPath | None, before: End | None
) -> torch.nn.Module:
    """The network of the first part; for a later one the same network, whose weights are those of the part before."""
    torch.manual_seed(seed_of("initial weights", config.seed))
    if before is None:
        return family.build(family.NetworkConfig(**config.network), weights, outputs=outputs)
    steps = before.state["history"][-1]["steps"]
    say(f"train: goes on where part {before.description['part']} ended, after {steps:.0f} steps")
    return family.rebuild(before.description)


def _end_before(path: InPath, description: dict[str, Any]) -> End:
    """The end of the part before; another network cannot go on from it."""
    before = read_end(path)
    for key in ("family", "network", "outputs"):
        if before.description[key] != description[key]:
            raise CspineError(
                f"continue_from: {path} was trained with {key} {before.description[key]}, found {description[key]}; "
                "a training is continued with the same network and outputs, init_from takes over what fits"
            )
    return before


def _origin(path: InPath, before: End) -> dict[str, Any]:
    return {"sha256": file_digest(path), "description": before.description}


def _training(config: TrainingConfig, before: End | None) -> TrainingConfig:
    """The settings of a part: ``auto`` is decided once for all parts."""
    if before is None or config.batch_size != "auto":
        return config
    return replace(config, batch_size=before.state["batch_size"])


def _counted_on(rows: list[Row], before: End | None, part: int) -> list[Row]:
    """The figures of all parts; epochs and steps are counted on."""
    earlier: list[Row] = before.state["history"] if before else []
    epochs, steps = (earlier[-1]["epoch"] + 1, earlier[-1]["steps"]) if earlier else (0.0, 0.0)
    own = [{"part": float(part), **row, "epoch": row["epoch"] + epochs, "steps": row["steps"] + steps} for row in rows]
    return earlier + own


def _check(taught: pd.DataFrame, path: InPath, config: TrainConfig) -> None:
    if len(taught) < 2:
        raise CspineError(f"{path} holds {len(taught)} slices to train on; see labels and folds in the config")
    presence = taught.reindex(columns=list(PRESENCE))
    if config.training.presence_weight > 0 and presence.isna().all(axis=None):
        raise CspineError(
            f"training.presence_weight: found {config.training.presence_weight}, but no slice of {path} says which "
            f"vertebrae it shows ({PRESENCE[0]}..{PRESENCE[-1]}); without masks set "
            "methods.<method>.training.presence_weight: 0.0 (presets/own-data.yaml does), or add masks of training "
            "studies (segmentations/, python -m cspine import ... --masks)"
        )


def _examples(count: int, data: Examples) -> list[NDArray[np.uint8]]:
    """So many of the augmented examples, at most all, evenly spread."""
    count = min(count, len(data))
    places = [round(i * (len(data) - 1) / max(count - 1, 1)) for i in range(count)]
    return [example_image(data[0, i][0].numpy()) for i in places]

"""Train one round of one fold: the teacher (round 0) or a student."""

from __future__ import annotations

import importlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from cspine.checkpoint import Checkpoints, save_model, take_over
from cspine.errors import CspineError
from cspine.examples import Examples
from cspine.hashing import seed_of
from cspine.methods.registry import module_of
from cspine.stage import InPath, OutPath, Scratch
from cspine.studies import PRESENCE
from cspine.tables import read_table, write_table
from cspine.tracking import Tracker, tracker
from cspine.training import fit
from cspine.training_config import TrainingConfig


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
    checkpoints: Scratch,
    *,
    weights: InPath | None = None,
    init_from: InPath | None = None,
    config: TrainConfig,
) -> None:
    """Train on the rows of role ``train`` and watch those of role ``select``; goes on from the newest checkpoint.

    Args:
        training_set: slices with targets, weights and roles (stage build_training_set).
        shards: the cache of the view, training studies.
        model: the network as safetensors, with what is needed to rebuild it and how it came about.
        history: one row per epoch: steps, learning rate, losses and slice figures on ``select``.
        checkpoints: a folder that outlives a kill.
        weights: the file named by ``network.weights``, when it names one.
        init_from: a finished model to start from, laid over what ``network.weights`` gives.

    Raises:
        CspineError: nothing to train on, or the network, its weights or a key of ``training`` cannot be had.
    """
    family = importlib.import_module(module_of(config.family))
    table = read_table(training_set)
    taught, watched = (table[table["role"] == role] for role in ("train", "select"))
    _check(taught, training_set, config)
    torch.manual_seed(seed_of("initial weights", config.seed))
    network_config = family.NetworkConfig(**config.network)
    loss = family.loss(config.training)
    network = family.build(network_config, weights, outputs=len(loss.outputs))
    origin = take_over(network, init_from) if init_from is not None else None
    kept = Checkpoints(checkpoints)
    run = tracker(f"{config.family}-{checkpoints.parent.name}", asdict(config))
    data = family.examples(taught, shards, network_config, config.augment, config.seed)
    if not kept.begun():
        _show(run, data)
    trained = fit(
        network,
        loss,
        data,
        family.examples(watched, shards, network_config, None, config.seed),
        config.training,
        config.seed,
        kept,
        run,
    )
    run.finish()
    description = {
        "family": config.family,
        "view": config.view,
        "network": family.describe(network_config),
        "outputs": list(loss.outputs),
        "seed": config.seed,
        "training": {**asdict(config.training), "batch_size": trained.batch.size},
        "init_from": origin,
    }
    save_model(network, model, description)
    write_table(pd.DataFrame(trained.history), history)


def _check(taught: pd.DataFrame, path: InPath, config: TrainConfig) -> None:
    if len(taught) < 2:
        raise CspineError(f"{path} holds {len(taught)} slices to train on; see labels and folds in the config")
    presence = taught.reindex(columns=list(PRESENCE))
    if config.training.presence_weight > 0 and presence.isna().all(axis=None):
        raise CspineError(
            f"training.presence_weight: found {config.training.presence_weight}, but no slice of {path} says which "
            f"vertebrae it shows ({PRESENCE[0]}..{PRESENCE[-1]}); expected 0, or studies with masks"
        )


def _show(run: Tracker, data: Examples) -> None:
    """Log as many of the augmented examples as the tracker is told to show, evenly spread; channels side by side."""
    count = min(run.images, len(data))
    places = [round(i * (len(data) - 1) / max(count - 1, 1)) for i in range(count)]
    run.show([np.concatenate(list(data[0, i][0].numpy()), axis=1) for i in places])

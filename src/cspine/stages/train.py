"""Train one round of one fold: the teacher (round 0) or a student."""

from __future__ import annotations

import importlib
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch

from cspine.checkpoint import Checkpoints, save_model
from cspine.errors import CspineError
from cspine.hashing import seed_of
from cspine.methods.registry import module_of
from cspine.stage import InPath, OutPath, Scratch
from cspine.tables import read_table, write_table
from cspine.tracking import tracker
from cspine.training import TrainingConfig, fit


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
    config: TrainConfig,
) -> None:
    """Train on the rows of role ``train`` and watch those of role ``select``; goes on from the newest checkpoint.

    Args:
        training_set: slices with targets, weights and roles (stage build_training_set).
        shards: the cache of the view, training studies.
        model: the network as safetensors, with what is needed to rebuild it.
        history: one row per epoch: losses and slice figures on ``select``.
        checkpoints: a folder that outlives a kill.
        weights: the file named by ``network.weights``, when it names one.

    Raises:
        CspineError: nothing to train on, or the network or its weights cannot be had.
    """
    family = importlib.import_module(module_of(config.family))
    table = read_table(training_set)
    taught, watched = (table[table["role"] == role] for role in ("train", "select"))
    if len(taught) < 2:
        raise CspineError(f"{training_set} holds {len(taught)} slices to train on; see labels and folds in the config")
    torch.manual_seed(seed_of("initial weights", config.seed))
    network_config = family.NetworkConfig(**config.network)
    network = family.build(network_config, weights)
    run = tracker(f"{config.family}-{checkpoints.parent.name}", asdict(config))
    rows = fit(
        network,
        partial(family.loss, patient_term=config.training.patient_term),
        family.examples(taught, shards, config.augment, config.seed),
        family.examples(watched, shards, None, config.seed),
        config.training,
        config.seed,
        Checkpoints(checkpoints),
        run,
    )
    run.finish()
    save_model(
        network,
        model,
        {"family": config.family, "view": config.view, "network": family.describe(network_config)},
    )
    write_table(pd.DataFrame(rows), history)

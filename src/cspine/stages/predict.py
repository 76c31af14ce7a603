"""Probabilities of every readable slice of both cohorts, by one model."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import torch

from cspine.devices import device_of
from cspine.methods.registry import module_of
from cspine.progress import report, say
from cspine.runtime import runtime
from cspine.stage import InPath, OutPath, Scratch
from cspine.studies import UID, VERTEBRAE
from cspine.tables import read_table, write_table

AT_ONCE = 32  # without gradients this fits any device, and more are hardly faster


@dataclass(frozen=True)
class PredictConfig:
    """One prediction."""

    family: str  # see cspine.methods.registry
    view: str  # the form of the pixels the model reads
    batch_size: int | Literal["auto"]  # slices at once; auto = AT_ONCE
    precision: Literal["auto", "fp32", "bf16", "fp16"]  # see cspine.precision
    threads: int  # torch's threads


def predict(
    model: InPath,
    slices: InPath,
    shards: list[InPath],
    predictions: OutPath,
    parts: Scratch,
    *,
    config: PredictConfig,
) -> None:
    """Predict the slices of the index, a cache shard at a time; finished shards outlive a kill.

    Args:
        model: a finished model (stage train).
        slices: index/slices.parquet.
        shards: the cache of the view, both cohorts.
        predictions: cohort, StudyInstanceUID, slice_number, z_index, C1..C7 in 0..1, in the index's order.
        parts: a folder for the finished shards.
    """
    family = importlib.import_module(module_of(config.family))
    torch.set_num_threads(config.threads)
    device, precision = device_of(runtime().device, config.precision)
    at_once = AT_ONCE if config.batch_size == "auto" else config.batch_size
    network = family.load(model)
    index = read_table(slices, ["cohort", UID, "slice_number", "z_index", "shard"])
    groups = list(index.groupby(["cohort", "shard"], sort=True))
    done = 0
    for (cohort, shard), rows in groups:
        part = Path(parts) / f"{cohort}-{shard}.parquet"
        if not part.exists():
            before = done
            values = family.predict_slices(
                network, rows, shards, device, precision, at_once, runtime().loader_workers,
                on_batch=lambda n, before=before: report("predict", before + n, len(index), "slices"),
            )  # fmt: skip
            found = rows.drop(columns="shard").assign(**dict(zip(VERTEBRAE, values.T, strict=True)))
            write_table(found, part.with_suffix(".tmp"))
            part.with_suffix(".tmp").replace(part)
        done += len(rows)
    tables = [read_table(Path(parts) / f"{cohort}-{shard}.parquet") for (cohort, shard), _ in groups]
    found = pd.concat(tables).sort_values(["cohort", UID, "z_index"], ignore_index=True)
    if len(found) != len(index):
        raise AssertionError(f"{len(found)} slices predicted, {len(index)} in the index")
    say(f"predict: {len(found)} slices of {found[UID].nunique()} studies")
    write_table(found, predictions)

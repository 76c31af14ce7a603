"""Probabilities of every readable slice of both cohorts, by one model or the mean of several."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cspine.devices import device_of
from cspine.distributed import Group, joined
from cspine.members import mean_of_members
from cspine.methods.registry import module_of
from cspine.progress import report, say
from cspine.runtime import runtime
from cspine.slice_evidence import PREDICTED
from cspine.slices_at_once import slices_at_once
from cspine.stage import InPath, OutPath, Scratch
from cspine.studies import UID
from cspine.tables import read_table, write_table

USES_GPU = True
SHARES_DEVICES = True  # by several processes, which share out the studies (peers.py)


@dataclass(frozen=True)
class PredictConfig:
    """One prediction."""

    family: str  # see cspine.methods.registry
    view: str  # the form of the pixels the model reads
    batch_size: int | Literal["auto"]  # see cspine.slices_at_once
    precision: Literal["auto", "fp32", "bf16", "fp16"]  # see cspine.precision
    threads: int  # torch's threads


def predict_slices(
    models: list[InPath],
    slices: InPath,
    shards: list[InPath],
    predictions: OutPath,
    parts: Scratch,
    *,
    config: PredictConfig,
) -> None:
    """Predict the slices of the index, a cache shard at a time; finished shards outlive a kill.

    No batch holds slices of two studies, so a study's probabilities depend on that study alone, to the last bit:
    ``cspine predict`` gives the same without the others.

    Args:
        models: finished models (stage train): all members of the method, whose mean is taken.
        slices: index/slices.parquet.
        shards: the cache of the view, both cohorts.
        predictions: cohort, StudyInstanceUID, slice_number, z_index, C1..C7 in 0..1, in the index's order; with
            present_C1..present_C7 where the network has outputs for what a slice shows.
        parts: a folder for the finished shards.
    """
    family = importlib.import_module(module_of(config.family))
    torch.set_num_threads(config.threads)
    device, precision = device_of(runtime().device, config.precision)
    at_once = slices_at_once(config.batch_size)
    networks = [family.load(model) for model in models]
    index = read_table(slices, ["cohort", UID, "slice_number", "z_index", "shard"])
    groups = {
        Path(parts) / f"{cohort}-{shard}.parquet": rows
        for (cohort, shard), rows in index.groupby(["cohort", "shard"], sort=True)
    }
    left = {part: rows for part, rows in groups.items() if not part.exists()}
    with joined() as group:
        if left:  # one loader for all shards: its processes take seconds to start
            studies = {part: [study for _, study in rows.groupby(UID, sort=False)] for part, rows in left.items()}
            own = [study for of_shard in studies.values() for study in group.own(of_shard)]
            by_member = [
                family.predict_slices(network, own, shards, device, precision, at_once, runtime().loader_workers)
                for network in networks
            ]
            batches = (mean_of_members(found) for found in zip(*by_member, strict=True)) if own else iter(())
            predicted = _counted(batches, len(index) - sum(map(len, left.values())), len(index), group.size)
            for part, of_shard in studies.items():
                values = _of_shard(of_shard, predicted, group)
                if group.leads:
                    _keep(part, left[part], values)
            report("predict_slices", len(index), len(index), "slices")
    if not group.leads:
        return
    tables = [read_table(part) for part in groups]
    found = pd.concat(tables).sort_values(["cohort", UID, "z_index"], ignore_index=True)
    if len(found) != len(index):
        raise AssertionError(f"{len(found)} slices predicted, {len(index)} in the index")
    say(f"predict_slices: {len(found)} slices of {found[UID].nunique()} studies")
    write_table(found, predictions)


def _of_shard(
    studies: Sequence[pd.DataFrame], predicted: Iterator[NDArray[np.float32]], group: Group
) -> NDArray[np.float32]:
    """The rows of a shard's studies: this process's own, which come next of ``predicted``, and those of the others."""
    own = list(islice(predicted, sum(map(len, group.own(studies)))))
    return group.put_together([len(study) for study in studies], np.stack(own) if own else None)


def _keep(part: Path, rows: pd.DataFrame, values: NDArray[np.float32]) -> None:
    found = rows.drop(columns="shard").assign(**dict(zip(PREDICTED, values.T, strict=False)))  # 7 or all 14
    write_table(found, part.with_suffix(".tmp"))
    part.with_suffix(".tmp").replace(part)


def _counted(
    batches: Iterable[NDArray[np.float32]], done: int, total: int, processes: int
) -> Iterator[NDArray[np.float32]]:
    """The rows (7,) or (14,) of ``batches`` one by one, with a line of progress from time to time.

    Of several processes the others are taken to be as far as this one.
    """
    for batch in batches:
        done += processes * len(batch)
        report("predict_slices", min(done, total - 1), total, "slices")
        yield from batch

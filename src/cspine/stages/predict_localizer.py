"""What one inner model of a localizer says about every slice of the studies that it was not taught."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cspine.devices import device_of
from cspine.localization.columns import DICE, OUTPUTS, SLICE
from cspine.methods.registry import module_of
from cspine.progress import report, say
from cspine.runtime import runtime
from cspine.slices_at_once import slices_at_once
from cspine.stage import InPath, OutPath, Scratch
from cspine.stages.predict_slices import PredictConfig
from cspine.studies import UID
from cspine.tables import read_table, write_table

USES_GPU = True
KEY = ["cohort", *SLICE]
Groups = dict[Path, pd.DataFrame]  # the slices of a cache shard, by the file that keeps what is said about them


def predict_localizer(
    model: InPath,
    training_set: InPath,
    slices: InPath,
    shards: list[InPath],
    localized: OutPath,
    studies: OutPath,
    parts: Scratch,
    *,
    masks: list[InPath] = [],  # noqa: B006 - never changed; the signature is read as text
    config: PredictConfig,
) -> None:
    """Localize the slices of the index but those of studies the model was taught, a cache shard at a time.

    No batch holds slices of two studies. Finished shards outlive a kill.

    Args:
        model: a finished localizer (stage train).
        training_set: what it was taught: the studies of the role train are left out, in both cohorts (the public test
            studies are training studies too).
        slices: index/slices.parquet.
        shards: the cache of the view, both cohorts.
        localized: cohort, StudyInstanceUID, slice_number, z_index and OUTPUTS, by cohort, study and z_index.
        studies: cohort, StudyInstanceUID and dice_C1..dice_C7 of each of these studies, NaN where nothing is known.
        parts: a folder for the finished shards.
        masks: for a family that is taught voxels, and can say how well it finds them.
        config: see PredictConfig.
    """
    torch.set_num_threads(config.threads)
    device, precision = device_of(runtime().device, config.precision)
    family = importlib.import_module(module_of(config.family))
    taught = read_table(training_set, [UID, "role"]).query("role == 'train'")[UID].unique()
    index = read_table(slices)
    index = index[~index[UID].isin(taught)]
    groups: Groups = {
        Path(parts) / f"{cohort}-{shard}.parquet": rows
        for (cohort, shard), rows in index.groupby(["cohort", "shard"], sort=True)
    }
    options: dict[str, Any] = {"masks": masks} if masks else {}
    left = {part: rows for part, rows in groups.items() if not part.exists()}
    if left:  # one loader for all shards: its processes take seconds to start
        network = family.load(model)
        tables = [table for rows in left.values() for _, table in rows.groupby(UID, sort=False)]
        at_once = slices_at_once(config.batch_size)
        found = family.localize(
            network, tables, shards, device, precision, at_once, runtime().loader_workers, **options
        )
        _keep(left, tables, _counted(found, len(tables)))
    table = pd.concat([read_table(part) for part in groups]).sort_values(["cohort", UID, "z_index"], ignore_index=True)
    assert len(table) == len(index), f"{len(table)} slices localized, {len(index)} were to be"
    write_table(table[[*KEY, *OUTPUTS]], localized)
    write_table(table.groupby(["cohort", UID], sort=True)[list(DICE)].first().reset_index(), studies)
    say(
        f"predict_localizer: {len(table)} slices of {table[UID].nunique()} studies, without {len(taught)} it was taught"
    )


def _keep(groups: Groups, tables: list[pd.DataFrame], found: Iterable[pd.DataFrame]) -> None:
    """Write each group when all its studies are there."""
    said, done = iter(found), 0
    for part, rows in groups.items():
        count = rows[UID].nunique()
        own = [
            pd.concat([table[KEY], values.reindex(columns=[*OUTPUTS, *DICE])], axis=1)
            for table, values in zip(tables[done : done + count], islice(said, count), strict=True)
        ]
        done += count
        table = pd.concat(own).astype(dict.fromkeys([*OUTPUTS, *DICE], np.float32))
        write_table(table, part.with_suffix(".tmp"))
        part.with_suffix(".tmp").replace(part)


def _counted(found: Iterable[pd.DataFrame], total: int) -> Iterator[pd.DataFrame]:
    for done, table in enumerate(found, start=1):
        report("predict_localizer", done, total, "studies")
        yield table

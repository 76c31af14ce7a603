"""Probabilities of every readable study of both cohorts, by models that judge whole studies or whole vertebrae."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cspine.cached_studies import without_pixels
from cspine.devices import device_of
from cspine.distributed import Group, joined
from cspine.errors import CspineError
from cspine.members import mean_of_members
from cspine.methods.registry import module_of
from cspine.progress import report, say
from cspine.runtime import runtime
from cspine.slices_at_once import slices_at_once
from cspine.stage import InPath, OutPath, Scratch
from cspine.studies import LABELS, UID
from cspine.tables import read_table, write_table

USES_GPU = True
SHARES_DEVICES = True  # by several processes, which share out the studies (peers.py)
STUDY = ["cohort", UID]


@dataclass(frozen=True)
class PredictStudiesConfig:
    """One prediction."""

    family: str  # see cspine.methods.registry
    view: str  # the form of the pixels the models read
    batch_size: int | Literal["auto"]  # see cspine.slices_at_once
    precision: Literal["auto", "fp32", "bf16", "fp16"]  # see cspine.precision
    threads: int  # torch's threads


def predict_studies(
    models: list[InPath],
    studies: InPath,
    shards: list[InPath],
    predictions: OutPath,
    parts: Scratch,
    *,
    vertebrae: InPath | None = None,
    config: PredictStudiesConfig,
) -> None:
    """Predict the studies of the index, member by member; what a member has finished outlives a kill.

    Args:
        models: finished models (stage train), all members of the method.
        studies: index/studies.parquet.
        shards: the cache of the view, both cohorts.
        predictions: cohort, StudyInstanceUID, patient_overall, C1..C7 in 0..1 (NaN: no member judges it), one row a
            study, by cohort and StudyInstanceUID; a study without pixels in the view is all NaN.
        parts: a folder for the finished members.
        vertebrae: where each vertebra of each study lies (stage place_vertebrae), for families that judge vertebrae.
        config: see PredictStudiesConfig.
    """
    family = importlib.import_module(module_of(config.family))
    torch.set_num_threads(config.threads)
    tables = tables_of(read_table(studies), read_table(vertebrae) if vertebrae is not None else None)
    kept = [Path(parts) / f"member-{number}.parquet" for number in range(len(models))]
    lost = without_pixels([table[UID].iloc[0] for table in tables], shards, "predict_studies")
    there = [table for table in tables if table[UID].iloc[0] not in lost]
    if not there:
        raise CspineError(
            f"no readable study has pixels in the view {config.view}; the findings beside its shards say why"
        )
    with joined() as group:
        found = [
            _of_member(family, model, there, shards, path, config, group)
            for model, path in zip(models, kept, strict=True)
        ]
    if not group.leads:
        return
    keys = pd.concat([table[STUDY].iloc[:1] for table in tables], ignore_index=True)
    judged = pd.DataFrame(mean_of_members(found), columns=list(LABELS), index=keys.index[~keys[UID].isin(lost)])
    table = pd.concat([keys, judged.reindex(keys.index)], axis=1)
    say(f"predict_studies: {len(table)} studies by {len(models)} model{'s' if len(models) > 1 else ''}")
    write_table(table, predictions)


def tables_of(studies: pd.DataFrame, vertebrae: pd.DataFrame | None) -> list[pd.DataFrame]:
    """What a family is given of each readable study, by cohort and StudyInstanceUID.

    Raises:
        CspineError: none is readable, or ``vertebrae`` lacks one.
    """
    readable = studies.loc[studies["readable"], STUDY].sort_values(STUDY, ignore_index=True)
    if readable.empty:
        raise CspineError("no study of the index is readable; `snakemake audit` says why")
    if vertebrae is None:
        return [readable.iloc[i : i + 1] for i in range(len(readable))]
    of_study = dict(iter(vertebrae.groupby(STUDY, sort=True)))
    missing = [key for key in readable.itertuples(index=False, name=None) if key not in of_study]
    if missing:
        raise CspineError(f"{len(missing)} readable studies have no placed vertebrae, the first is {missing[0][1]}")
    return [of_study[key] for key in readable.itertuples(index=False, name=None)]


def _of_member(
    family: Any,
    model: InPath,
    tables: Sequence[pd.DataFrame],
    shards: list[InPath],
    kept: Path,
    config: PredictStudiesConfig,
    group: Group,
) -> NDArray[np.float32]:
    """(studies, 8) by one model; ``kept`` is where that stays."""
    if group.most(not kept.exists()):
        device, precision = device_of(runtime().device, config.precision)
        network, own = family.load(model), group.own(tables)
        judged = family.predict_studies(
            network, own, shards, device, precision, slices_at_once(config.batch_size), runtime().loader_workers
        )
        ours = list(_counted(judged, len(own))) if own else []
        values = group.put_together([1] * len(tables), np.stack(ours) if ours else None)
        if not group.leads:
            return values
        write_table(pd.DataFrame(values, columns=list(LABELS)), kept.with_suffix(".tmp"))
        kept.with_suffix(".tmp").replace(kept)
    return read_table(kept).to_numpy(np.float32)


def _counted(judged: Iterator[NDArray[np.float32]], total: int) -> Iterator[NDArray[np.float32]]:
    for done, values in enumerate(judged, start=1):
        yield values
        report("predict_studies", done, total, "studies")

"""Probabilities of studies, vertebra by vertebra, by a network that judges one example at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from cspine.examples import in_order, loader
from cspine.precision import Precision
from cspine.studies import LABELS
from cspine.vertebrae.examples import VertebraExamples


def by_vertebra(
    network: nn.Module,
    tables: Sequence[pd.DataFrame],
    data: VertebraExamples,
    device: torch.device,
    precision: Precision,
    batch_size: int,
    loader_workers: int = 0,
) -> Iterator[NDArray[np.float32]]:
    """(8,) of each of ``tables`` in the order of LABELS: of a vertebra the mean over its examples, NaN without any.

    No batch holds examples of two studies: what else is in its batch moves a probability in its last bits. There is no
    patient among them.

    Args:
        network: (n, ...) -> logits (n, 1).
        tables: the rows of one study each in vertebrae.parquet; none of those that the network does not judge.
        data: the examples of all of them in their order, as many of each row.
        device: where it is computed.
        precision: with which numbers.
        batch_size: examples at once.
        loader_workers: processes that read and cut; 0 = this one.
    """
    network.eval().to(device)
    each = len(data) // max(sum(map(len, tables)), 1)
    batches = in_order([each * len(table) for table in tables], batch_size)
    pixels = iter(loader(data, batches, loader_workers, pin=device.type == "cuda"))
    for table in tables:
        found = np.empty(0, np.float32)
        while len(found) < each * len(table):
            with torch.inference_mode(), precision.autocast():
                logits = network(next(pixels)[0].to(device, non_blocking=True))
            found = np.append(found, torch.sigmoid(logits.float()).cpu().numpy()[:, 0])
        yield _of_study(table, found.reshape(len(table), -1).mean(axis=1) if len(table) else found)


def _of_study(table: pd.DataFrame, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    said = dict(zip(table["vertebra"], probabilities.tolist(), strict=True))
    return np.array([said.get(label, np.nan) for label in LABELS], np.float32)

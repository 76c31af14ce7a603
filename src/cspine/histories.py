"""The figures of a training, epoch by epoch: history.parquet. No torch, so that tables and pages can read them."""

from __future__ import annotations

import math
from collections.abc import Sequence

THRESHOLD = 0.5  # of the slice figures; ASSUME: the source names none

Row = dict[str, float]


def best_epoch(history: Sequence[Row]) -> int:
    """The first epoch with the least select loss."""
    losses = [row["select_loss"] if math.isfinite(row["select_loss"]) else math.inf for row in history]
    return losses.index(min(losses))


def sentence(row: Row) -> str:
    """An epoch's figures in words."""
    losses = f"train loss {row['train_loss']:.4f}, select loss {row['select_loss']:.4f}"
    if math.isnan(row["select_accuracy"]):
        return losses
    return (
        f"{losses}; select cells at {THRESHOLD}: "
        f"accuracy {row['select_accuracy']:.3f} (all negative {row['select_accuracy_all_negative']:.3f}), "
        f"sensitivity {row['select_sensitivity']:.3f}, specificity {row['select_specificity']:.3f}"
    )

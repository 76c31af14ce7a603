"""What a network is worth on examples it is not taught, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cspine.losses import Loss
from cspine.precision import Precision

THRESHOLD = 0.5  # of the slice figures in the history; ASSUME: the source names none

Row = dict[str, float]


def evaluate(
    network: nn.Module, loss: Loss, batches: Iterable[Sequence[Tensor]], device: torch.device, precision: Precision
) -> Row:
    """Figures on ``batches``: each term of the loss, and accuracy at 0.5 over the known slice x vertebra cells beside
    that of "all negative"."""
    cells = np.zeros(4)  # true positives, positives, true negatives, negatives
    sums = norms = torch.zeros(len(loss.terms), dtype=torch.float64)
    network.eval()
    with torch.inference_mode():
        for pixels, target, weight in batches:
            with precision.autocast():
                logits = network(pixels.to(device, non_blocking=True))
            logits = logits.float().cpu()
            sums, norms = sums + loss.sums(logits, target, weight), norms + loss.norms(target, weight)
            called = torch.sigmoid(logits[:, : loss.judged]) >= THRESHOLD
            known = ~target[:, : loss.judged].isnan()
            truth = target[:, : loss.judged] >= THRESHOLD  # false where unknown
            whole = ~truth & known
            cells += [float(c.sum()) for c in (called & truth, truth, ~called & whole, whole)]
    hits, positives, passes, negatives = cells
    found = {f"select_{name}": _ratio(s, n) for name, s, n in zip(loss.terms, sums, norms, strict=True)}
    return found | {
        "select_accuracy": float((hits + passes) / max(positives + negatives, 1.0)),
        "select_accuracy_all_negative": float(negatives / max(positives + negatives, 1.0)),
        "select_sensitivity": _ratio(hits, positives),
        "select_specificity": _ratio(passes, negatives),
    }


def best_epoch(history: Sequence[Row]) -> int:
    """The first epoch with the least select loss."""
    losses = [row["select_loss"] if math.isfinite(row["select_loss"]) else math.inf for row in history]
    return losses.index(min(losses))


def sentence(row: Row) -> str:
    """An epoch's figures in words."""
    return (
        f"train loss {row['train_loss']:.4f}, select loss {row['select_loss']:.4f}; select slice cells at {THRESHOLD}: "
        f"accuracy {row['select_accuracy']:.3f} (all negative {row['select_accuracy_all_negative']:.3f}), "
        f"sensitivity {row['select_sensitivity']:.3f}, specificity {row['select_specificity']:.3f}"
    )


def _ratio(part: float | Tensor, whole: float | Tensor) -> float:
    return float(part / whole) if whole > 0 else float("nan")

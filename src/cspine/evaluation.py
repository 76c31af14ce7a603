"""What a network is worth on examples it is not taught, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from cspine.distributed import ALONE, Group
from cspine.histories import THRESHOLD, Row
from cspine.losses import Loss
from cspine.precision import Precision


def evaluate(
    network: nn.Module,
    loss: Loss,
    batches: Iterable[Sequence[Tensor]],
    device: torch.device,
    precision: Precision,
    count: int,
    group: Group = ALONE,
) -> Row:
    """Figures on ``count`` batches: each term of the loss, and accuracy at 0.5 over the known slice x vertebra cells
    beside that of "all negative"; these are NaN of a loss that judges no such cells.

    Of several processes each has every so manieth batch; the batches are added up in their order all the same.
    """
    terms = len(loss.terms)
    of_batches = torch.zeros(count, 2 * terms + 4, dtype=torch.float64)  # sums, norms and cells of each batch
    network.eval()
    with torch.inference_mode():
        for row, (pixels, target, weight) in zip(of_batches[group.rank :: group.size], batches, strict=True):
            with precision.autocast():
                logits = network(pixels.to(device, non_blocking=True))
            logits = logits.float().cpu()
            row[:terms], row[terms : 2 * terms] = loss.sums(logits, target, weight), loss.norms(target, weight)
            if loss.judged:
                row[2 * terms :] = torch.tensor(_counts(logits[:, : loss.judged], target[:, : loss.judged]))
    total = sum(group.sum(of_batches), start=torch.zeros(2 * terms + 4, dtype=torch.float64))  # the first batch first
    sums, norms, (hits, positives, passes, negatives) = total[:terms], total[terms : 2 * terms], total[-4:].tolist()
    cells_judged = max(positives + negatives, 1.0) if loss.judged else float("nan")
    found = {f"select_{name}": _ratio(s, n) for name, s, n in zip(loss.terms, sums, norms, strict=True)}
    return found | {
        "select_accuracy": float((hits + passes) / cells_judged),
        "select_accuracy_all_negative": float(negatives / cells_judged),
        "select_sensitivity": _ratio(hits, positives),
        "select_specificity": _ratio(passes, negatives),
    }


def _counts(logits: Tensor, target: Tensor) -> list[float]:
    """True positives, positives, true negatives, negatives of the known cells."""
    called, truth = torch.sigmoid(logits) >= THRESHOLD, target >= THRESHOLD  # unknown is false
    whole = ~truth & ~target.isnan()
    return [float(cells.sum()) for cells in (called & truth, truth, ~called & whole, whole)]


def _ratio(part: float | Tensor, whole: float | Tensor) -> float:
    return float(part / whole) if whole > 0 else float("nan")

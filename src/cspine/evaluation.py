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
    group: Group = ALONE,
) -> Row:
    """Figures on ``batches``: each term of the loss, and accuracy at 0.5 over the known slice x vertebra cells
    beside that of "all negative"; these are NaN of a loss that judges no such cells.

    Of several processes each has its ``own`` of the batches, which are added up in their order all the same.
    """
    terms = len(loss.terms)
    rows: list[Tensor] = []  # sums, norms and cells of each batch
    network.eval()
    with torch.inference_mode():
        for pixels, target, weight in batches:
            with precision.autocast():
                logits = network(pixels.to(device, non_blocking=True))
            logits = logits.float().cpu()
            cells = _counts(logits[:, : loss.judged], target[:, : loss.judged]) if loss.judged else [0.0] * 4
            row = loss.sums(logits, target, weight), loss.norms(target, weight), torch.tensor(cells)
            rows.append(torch.cat([part.double() for part in row]))
    of_batches = torch.zeros(int(group.sum(torch.tensor(len(rows)))), 2 * terms + 4, dtype=torch.float64)
    for place, figures in zip(of_batches[group.rank :: group.size], rows, strict=True):
        place.copy_(figures)
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

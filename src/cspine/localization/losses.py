"""What a localizer is taught to make small: errors of ratios, presence, the box and the middles."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cspine.localization.columns import BOX, MIDDLE, RATIO
from cspine.losses import Loss
from cspine.studies import PRESENCE, VERTEBRAE
from cspine.training_config import TrainingConfig

#: the columns of an example's targets, places in shares of the view; NaN = unknown
TARGETS = (*RATIO, *BOX, *MIDDLE, *PRESENCE)
RATIOS, BOXES = slice(0, len(RATIO)), slice(len(RATIO), len(RATIO) + len(BOX))
MIDDLES = slice(BOXES.stop, BOXES.stop + len(MIDDLE))
SHOWN = slice(MIDDLES.stop, MIDDLES.stop + len(PRESENCE))
BOX_WEIGHT, MIDDLE_WEIGHT = 4.0, 4.0  # ASSUME: the source names none; errors are shares, and so far below 1
NEAR = 0.05  # error, as a share of the view's side, below which the place loss is quadratic


class LocalizerLoss(Loss):
    """Cross-entropy of ratios (soft targets) and presence, smooth L1 of box and middles; unknown cells count nowhere.

    Everything is taught through the sigmoid, so that each output is a share. The first term, which ``select`` is
    watched by, is the ratios'; hits are counted on the ratios of C1..C7.
    """

    judged = len(VERTEBRAE)

    def __init__(self, config: TrainingConfig) -> None:
        self.presence = config.presence_weight > 0
        self.terms = ("loss", "box_loss", "middle_loss", *(("presence_loss",) if self.presence else ()))
        self.coefficients = (1.0, BOX_WEIGHT, MIDDLE_WEIGHT, *((config.presence_weight,) if self.presence else ()))
        #: names of the network's outputs, in their order
        self.outputs = TARGETS if self.presence else TARGETS[: SHOWN.start]

    def sums(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """See Loss; logits (n, len(outputs)), targets (n, len(TARGETS))."""
        found = []
        for part in self._parts():
            known, values = _known(target[:, part])
            of_part = logits[:, part]
            if part in (RATIOS, SHOWN):
                losses = functional.binary_cross_entropy_with_logits(of_part, values, reduction="none")
            else:
                losses = functional.smooth_l1_loss(torch.sigmoid(of_part), values, reduction="none", beta=NEAR)
            found.append((weight[:, None] * known * losses).sum())
        return torch.stack(found)

    def norms(self, target: Tensor, weight: Tensor) -> Tensor:
        """See Loss."""
        return torch.stack([(weight[:, None] * _known(target[:, part])[0]).sum() for part in self._parts()])

    def _parts(self) -> tuple[slice, ...]:
        return (RATIOS, BOXES, MIDDLES, SHOWN) if self.presence else (RATIOS, BOXES, MIDDLES)


def _known(target: Tensor) -> tuple[Tensor, Tensor]:
    """1 where targets are known, and the targets with 0 elsewhere."""
    unknown = target.isnan()
    return (~unknown).to(target.dtype), target.masked_fill(unknown, 0.0)

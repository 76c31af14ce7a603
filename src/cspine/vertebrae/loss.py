"""What a network that judges one vertebra is taught to make small."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cspine.errors import CspineError
from cspine.losses import Loss
from cspine.metric import NEGATIVE_WEIGHTS, POSITIVE_WEIGHTS
from cspine.training_config import TrainingConfig

OFF = ("patient_term", "presence_weight", "any_fracture_weight")  # an example is no slice and no patient
KINDS = ("bce", "competition")


class VertebraLoss(Loss):
    """Cross-entropy of one output, the vertebra's fracture; of ``competition`` a fractured one counts twice.

    Targets are (n, 1), 0..1.
    """

    terms, coefficients, judged = ("loss",), (1.0,), 1
    outputs = ("fractured",)  #: names of the network's outputs

    def __init__(self, config: TrainingConfig) -> None:
        for key in OFF:
            if value := getattr(config, key):
                raise CspineError(
                    f"training.{key}: found {value}; a network that judges one vertebra has one output and no slices: "
                    f"expected {False if value is True else 0}"
                )
        if config.loss not in KINDS:
            raise CspineError(f"training.loss: found {config.loss}, expected one of {', '.join(KINDS)} (one vertebra)")
        self.weighted = config.loss == "competition"

    def sums(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """See Loss; logits and targets (n, 1)."""
        losses = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (self._weights(target, weight) * losses).sum()[None]

    def norms(self, target: Tensor, weight: Tensor) -> Tensor:
        """See Loss."""
        return self._weights(target, weight).sum()[None]

    def _weights(self, target: Tensor, weight: Tensor) -> Tensor:
        negative, positive = (NEGATIVE_WEIGHTS[1], POSITIVE_WEIGHTS[1]) if self.weighted else (1.0, 1.0)
        return torch.as_tensor(weight[:, None] * (negative + (positive - negative) * target))

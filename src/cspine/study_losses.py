"""What a network that reads a whole study is taught to make small: the competition's loss of its eight labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from cspine.errors import CspineError
from cspine.losses import Loss, known_of
from cspine.metric import NEGATIVE_WEIGHTS, POSITIVE_WEIGHTS
from cspine.studies import LABELS
from cspine.training_config import TrainingConfig


class StudyLoss(Loss):
    """Fractures of the patient and of seven vertebrae, by study; a label that is unknown (NaN) counts nowhere.

    ``competition`` and ``focal`` weigh a label as the metric does (vertebra 1 or, fractured, 2; patient 7 or 14), times
    the study's weight; ``bce`` has the study's only. ASSUME: of the metric's two forms the pooled one, whose sums add
    up over the parts of a batch.
    """

    terms = ("loss",)
    coefficients = (1.0,)
    judged = len(LABELS)
    outputs = LABELS

    def __init__(self, config: TrainingConfig) -> None:
        """Take the keys ``loss`` and ``focal_gamma``.

        Raises:
            CspineError: a key asks for an output that says something about a single slice.
        """
        if config.patient_term:
            raise CspineError(
                "training.patient_term: found true, but this network has an output for the patient, whose loss is "
                "always there; expected false"
            )
        for key in ("presence_weight", "any_fracture_weight"):
            if getattr(config, key) > 0:
                raise CspineError(
                    f"training.{key}: found {getattr(config, key)}, but a whole study shows every vertebra and has no "
                    "slices to judge; expected 0"
                )
        self.config = config

    def sums(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """See Loss; logits and targets (n, 8) in the order of LABELS, targets 0..1 or NaN."""
        labels, known = known_of(target)
        return (self._weights(labels, weight) * known * self._losses(logits, labels)).sum()[None]

    def norms(self, target: Tensor, weight: Tensor) -> Tensor:
        """See Loss."""
        labels, known = known_of(target)
        return (self._weights(labels, weight) * known).sum()[None]

    def _weights(self, labels: Tensor, weight: Tensor) -> Tensor:
        if self.config.loss == "bce":
            return weight[:, None].expand_as(labels)
        negative, positive = (torch.from_numpy(w).to(labels) for w in (NEGATIVE_WEIGHTS, POSITIVE_WEIGHTS))
        return weight[:, None] * torch.lerp(negative, positive, labels)

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.config.loss == "focal":  # alpha -1: the classes are weighted by the metric's weights instead
            return sigmoid_focal_loss(logits, labels, alpha=-1, gamma=self.config.focal_gamma)
        return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")

"""What a network is taught to make small: weighted sums over examples, so that a batch may come in parts.

A loss of several terms is  sum_k coefficient_k * sum_k / norm_k.  Sums depend on the outputs, norms on the targets
only; both add up over the parts of a batch. With the norms of the whole batch, the gradients of its parts therefore
add up to the gradient of the whole batch's loss, however unequal the parts. A target that is NaN is unknown: it counts
in no sum and no norm. A target's confidence, 0..1, multiplies its weight in both: with 1 it is as if there were none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from cspine.metric import NEGATIVE_WEIGHTS, POSITIVE_WEIGHTS
from cspine.studies import CONFIDENCE, PRESENCE, VERTEBRAE
from cspine.training_config import TrainingConfig

#: what a network can have outputs for: fractured 0..1, shown in the slice 0..1, any of it fractured
OUTPUTS = (*VERTEBRAE, *PRESENCE, "any_fracture")
#: the columns of an example's targets: one for each output (NaN = unknown), and the confidence 0..1 of the fractures'
TARGETS = (*OUTPUTS, *CONFIDENCE, "confidence_any_fracture")
_FRACTURED, _PRESENT, _ANY = slice(0, 7), slice(7, 14), slice(14, 15)
_TRUST, _TRUST_ANY = slice(15, 22), slice(22, 23)


class Loss(ABC):
    """A loss of one or more terms; the first is the one that `select` is watched by."""

    terms: tuple[str, ...]  # names of the terms
    coefficients: tuple[float, ...]  # what each counts
    judged: int  # the first outputs and targets, whose hits the history counts

    @abstractmethod
    def sums(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """The weighted sum of each term, (terms,), of logits (n, outputs), targets (n, ...) and weights (n,)."""

    @abstractmethod
    def norms(self, target: Tensor, weight: Tensor) -> Tensor:
        """What each term's sum is divided by, (terms,)."""

    def value(self, sums: Tensor, norms: Tensor) -> Tensor:
        """The loss; a term of which nothing is known is 0."""
        coefficients = torch.tensor(self.coefficients, dtype=sums.dtype, device=sums.device)
        return (coefficients * sums / norms.clamp_min(1e-12)).sum()

    def __call__(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """The loss of a batch that is all there."""
        return self.value(self.sums(logits, target, weight), self.norms(target, weight))


class FractureLoss(Loss):
    """Fractures of seven vertebrae in a slice; beside it, when asked for, vertebrae shown and any fracture.

    The weights of ``competition`` and ``focal`` are the metric's (a fractured vertebra counts twice) times the slice's;
    ``bce`` has the slice's only. ASSUME: the patient term is the patient's loss on the noisy-or of the seven,
    P = 1 - prod(1 - p); the presence term is plain, over known cells; any fracture has the slice's weight and, as the
    patient term, the confidence of the cell that decides it, which is the trust in the same labels.
    """

    judged = len(VERTEBRAE)

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        presence, any_fracture = config.presence_weight, config.any_fracture_weight
        extra = [("presence_loss", presence), ("any_fracture_loss", any_fracture)]
        self.terms = ("loss", *(name for name, coefficient in extra if coefficient > 0))
        self.coefficients = (1.0, *(coefficient for _, coefficient in extra if coefficient > 0))
        #: names of the network's outputs, in their order
        self.outputs = (*VERTEBRAE, *(PRESENCE if presence > 0 else ()), *(OUTPUTS[_ANY] if any_fracture > 0 else ()))

    def sums(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """See Loss; logits (n, len(outputs)), targets (n, len(TARGETS))."""
        fractured, known = known_of(target[:, _FRACTURED])
        weights = self._weights(fractured, weight) * known * target[:, _TRUST]
        found = [(weights * self._losses(logits[:, _FRACTURED], fractured)).sum()]
        if self.config.patient_term:
            found[0] = found[0] + _patient_sum(
                logits[:, _FRACTURED], target[:, _ANY], weight[:, None] * target[:, _TRUST_ANY]
            )
        if self.config.presence_weight > 0:
            shown, known = known_of(target[:, _PRESENT])
            found.append((known * _bce(logits[:, _PRESENT], shown)).sum())
        if self.config.any_fracture_weight > 0:
            anywhere, known = known_of(target[:, _ANY])
            trusted = weight[:, None] * target[:, _TRUST_ANY]
            found.append((trusted * known * _bce(logits[:, -1:], anywhere)).sum())
        return torch.stack(found)

    def norms(self, target: Tensor, weight: Tensor) -> Tensor:
        """See Loss."""
        fractured, known = known_of(target[:, _FRACTURED])
        weights = self._weights(fractured, weight) * target[:, _TRUST]
        # two sums, since the order of adding up, and so the last bit, is another with the mask
        found = [torch.where(known.bool().all(), weights.sum(), (weights * known).sum())]
        if self.config.patient_term:
            trusted = weight[:, None] * target[:, _TRUST_ANY]
            found[0] = found[0] + _patient_weights(target[:, _ANY], trusted).sum()
        if self.config.presence_weight > 0:
            found.append(known_of(target[:, _PRESENT])[1].sum())
        if self.config.any_fracture_weight > 0:
            found.append((weight * target[:, _TRUST_ANY][:, 0] * known_of(target[:, _ANY])[1][:, 0]).sum())
        return torch.stack(found)

    def _weights(self, target: Tensor, weight: Tensor) -> Tensor:
        if self.config.loss == "bce":
            return weight[:, None].expand_as(target)
        negative, positive = NEGATIVE_WEIGHTS[1], POSITIVE_WEIGHTS[1]
        return weight[:, None] * (negative + (positive - negative) * target)

    def _losses(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.config.loss == "focal":  # alpha -1: the classes are weighted by the metric's weights instead
            return sigmoid_focal_loss(logits, target, alpha=-1, gamma=self.config.focal_gamma)
        return _bce(logits, target)


def _bce(logits: Tensor, target: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, target, reduction="none")


def known_of(target: Tensor) -> tuple[Tensor, Tensor]:
    """Targets with 0 for unknown ones, and 1 where they are known."""
    unknown = target.isnan()
    return target.masked_fill(unknown, 0.0), (~unknown).to(target.dtype)


def _patient_weights(patient: Tensor, weight: Tensor) -> Tensor:
    patient, known = known_of(patient)
    return weight * (NEGATIVE_WEIGHTS[0] + (POSITIVE_WEIGHTS[0] - NEGATIVE_WEIGHTS[0]) * patient) * known


def _patient_sum(logits: Tensor, patient: Tensor, weight: Tensor) -> Tensor:
    evidence = functional.softplus(logits).sum(1, keepdim=True)  # -log(1 - P)
    log_p = torch.log(-torch.expm1(-evidence.clamp_min(1e-7)))
    weights, patient = _patient_weights(patient, weight), known_of(patient)[0]
    return (weights * ((1 - patient) * evidence - patient * log_p)).sum()

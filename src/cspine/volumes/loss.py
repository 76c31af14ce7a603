"""What a segmenting network is taught to make small: Dice of every vertebra and cross-entropy, study by study."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional

from cspine.errors import CspineError
from cspine.localization.columns import LEVELS
from cspine.losses import Loss
from cspine.masks.laying import UNKNOWN
from cspine.training_config import TrainingConfig


class SegmentationLoss(Loss):
    """Dice and cross-entropy with equal weight (nnU-Net's), over the voxels whose label is known.

    Targets are labels (n, side, side, side): 0 = no vertebra, 1..7 = C1..C7, 8 = thoracic, UNKNOWN = counts in neither
    term, as in slices that no plane of the mask shows. Every study counts as its weight says, however many of its
    voxels are known. A vertebra that the study does not show has a Dice of its own, which asks for an empty answer.
    """

    terms = ("loss", "cross_entropy_loss")
    coefficients = (1.0, 1.0)
    judged = 0  # no outputs of the kind whose hits are counted: the Dice loss says it
    outputs = ("background", *LEVELS)

    def __init__(self, config: TrainingConfig) -> None:
        if config.mixup > 0:
            raise CspineError(f"training.mixup: found {config.mixup}; labels of voxels cannot be blended, expected 0")
        # only what is inside a vertebra is measured: background, which is nearly everything, would always look well
        self.dice = DiceLoss(include_background=False, to_onehot_y=True, reduction="none")

    def sums(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """See Loss; logits (n, 9, side, side, side), targets (n, side, side, side)."""
        known = target != UNKNOWN
        labels = torch.where(known, target, 0).long()
        # an unknown voxel is nothing's in the answer and background in the label, which the Dice leaves out
        dice = self.dice(torch.softmax(logits, 1) * known[:, None], labels[:, None]).flatten(1).mean(1)
        entropy = (functional.cross_entropy(logits, labels, reduction="none") * known).flatten(1).sum(1)
        voxels = known.flatten(1).sum(1)
        weights = weight * (voxels > 0)
        return torch.stack([(weights * dice).sum(), (weights * entropy / voxels.clamp_min(1)).sum()])

    def norms(self, target: Tensor, weight: Tensor) -> Tensor:
        """See Loss."""
        studies = (weight * (target != UNKNOWN).flatten(1).any(1)).sum()
        return torch.stack([studies, studies])

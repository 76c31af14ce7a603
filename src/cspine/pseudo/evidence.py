"""What is known about each slice of one study before it is called fractured: (slices, 7) probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cspine.calibration import logit
from cspine.metric import Floats
from cspine.pseudo.choices import Choices
from cspine.pseudo.config import PseudoConfig
from cspine.pseudo.runs import in_one_run, smoothed


def evidence_of(
    model: Floats, presence: Floats | None, label: NDArray[np.integer], config: PseudoConfig, choices: Choices
) -> Floats:
    """The probability that a slice shows a fracture of each vertebra, as ``config`` weighs it.

    Args:
        model: (slices, 7) of one study, the most cranial slice first.
        presence: (slices, 7) of a localizer; needed unless ``evidence`` is "fracture".
        label: (7,) of train.csv: 1, 0 or UNKNOWN.
        config: see PseudoConfig.
        choices: made on the fold's select studies.
    """
    found = seen(model, presence, config)
    if config.along_z == "run":
        calibrated = choices.line(found)
        for vertebra in np.flatnonzero(label == 1):
            calibrated[:, vertebra] = in_one_run(logit(calibrated[:, vertebra]), choices.log_lengths)
        found = calibrated
    return np.where(label == 0, 0.0, found) if config.agree_with_study else found


def seen(model: Floats, presence: Floats | None, config: PseudoConfig) -> Floats:
    """Model and presence as ``evidence`` says, smoothed when that is asked for; the study's labels not yet asked."""
    if config.evidence == "fracture":
        found = model
    else:
        assert presence is not None, f"evidence: {config.evidence} without a localizer's presence"
        found = presence if config.evidence == "presence" else model * presence
    return smoothed(found, config.smooth_slices) if config.along_z == "smooth" else np.array(found, np.float64)

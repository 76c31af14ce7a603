"""From vertebrae to the patient: the most probable one, the noisy-or of all or of the n most probable, or none of them.

Noisy-or = 1 - prod(1 - p), as if each were fractured or not whatever the others are. Over the n most probable ones it
is the thesis' (S1d), whose table of n is in docs/systems.md.
"""

from __future__ import annotations

import numpy as np

from cspine.errors import CspineError
from cspine.metric import Floats
from cspine.studies import LABELS, VERTEBRAE

OWN = "own"  #: what the model itself says of the patient
TAKEN = {"max": 1, "noisy_or": len(VERTEBRAE), OWN: 0}


def vertebrae_taken(way: str) -> int:
    """How many of the most probable vertebrae a way looks at: "max" 1, "noisy_or" 7, "noisy_or_of_5" 5, "own" none.

    Raises:
        CspineError: ``way`` is none of these forms.
    """
    if way in TAKEN:
        return TAKEN[way]
    count = way.removeprefix("noisy_or_of_")
    if count == way or not count.isdecimal() or not 1 <= int(count) <= len(VERTEBRAE):
        raise CspineError(
            f"aggregate.patient: found {way!r}, expected max, noisy_or, noisy_or_of_<n> with n from 1 to 7, or own"
        )
    return int(count)


def judged_by(*patient: str) -> tuple[str, ...]:
    """The labels whose predictions these ways to the patient look at: C1..C7, and for "own" all of LABELS."""
    return LABELS if OWN in patient else VERTEBRAE


def patient_of(vertebrae: Floats, way: str) -> Floats:
    """The patient's probability, (studies,), from those of the vertebrae, (studies, 7)."""
    if way == "max":
        return np.asarray(vertebrae.max(axis=1))
    if way != "noisy_or":  # of all seven it is taken in their own order: its last bits stay as they always were
        vertebrae = np.sort(vertebrae, axis=1)[:, -vertebrae_taken(way) :]
    return np.asarray(1 - np.prod(1 - vertebrae, axis=1))

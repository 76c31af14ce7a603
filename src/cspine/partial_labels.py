"""Studies of which not every label is known: what the known ones imply, and labels as numbers to calculate with.

In texts an unknown label is a blank, in the tables of studies it is UNKNOWN (-1), in an array of labels NaN. Whatever
reads labels leaves unknown ones out; nothing takes them for 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cspine.studies import LABELS, UNKNOWN, VERTEBRAE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

OVERALL = LABELS[0]
Labels = Mapping[str, int]  # of one study, by the names of LABELS: 0, 1 or UNKNOWN


def completed(labels: Labels) -> dict[str, int]:
    """``labels`` with what follows from the known ones, since patient_overall is the largest of C1..C7.

    An unfractured patient has no fractured vertebra; a fractured vertebra makes the patient fractured; seven known ones
    decide; and of a fractured patient whose other six are whole, the unknown one is fractured. Labels that contradict
    each other are left as they are: nothing follows from them.
    """
    if contradictory(labels):
        return dict(labels)
    overall, vertebrae = labels[OVERALL], {v: labels[v] for v in VERTEBRAE}
    unknown = [v for v in VERTEBRAE if vertebrae[v] == UNKNOWN]
    if 1 in vertebrae.values():
        overall = 1
    elif not unknown:
        overall = 0
    elif overall == 0:
        vertebrae |= dict.fromkeys(unknown, 0)
    elif overall == 1 and len(unknown) == 1:
        vertebrae[unknown[0]] = 1
    return {OVERALL: overall, **vertebrae}


def contradictory(labels: Labels) -> bool:
    """Whether the known labels cannot all be right: patient_overall is not what C1..C7 make it."""
    fractured = any(labels[v] == 1 for v in VERTEBRAE)
    whole = all(labels[v] == 0 for v in VERTEBRAE)
    return (labels[OVERALL] == 0 and fractured) or (labels[OVERALL] == 1 and whole)


def unknown_of(labels: Mapping[Any, Any]) -> list[str]:
    """The labels of a study that nobody knows, in the order of LABELS."""
    return [name for name in LABELS if labels[name] == UNKNOWN]


def truth_of(studies: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The labels of a table of studies as an array (studies, 8) in the order of LABELS: 0, 1, or NaN = unknown."""
    labels = studies[list(LABELS)].to_numpy(dtype="float64", copy=True)
    labels[labels == UNKNOWN] = float("nan")
    return labels

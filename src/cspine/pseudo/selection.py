"""Which pseudo-labelled vertebrae are taught at all: of each level the same share, the most certain first.

With one threshold for all, the levels a model finds easily would crowd out the others (class-balanced self-training,
Zou et al., ECCV 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cspine.pseudo.marking import Marked


def certainty(marked: Marked, vertebra: int) -> float:
    """Mean evidence of a vertebra's positive slices; 0 without any."""
    positive = marked.positive[:, vertebra]
    return float(marked.value[positive, vertebra].mean()) if positive.any() else 0.0


def kept(marked: Sequence[Marked], fractured: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """Whose pseudo-labels are taught: (studies, 7), False only for fractured vertebrae.

    Args:
        marked: the studies'.
        fractured: (studies, 7) known to be fractured.
        share: of each vertebra's fractured studies, rounded up.
    """
    keep = np.ones(fractured.shape, np.bool_)
    for vertebra in range(fractured.shape[1]):
        studies = np.flatnonzero(fractured[:, vertebra])
        sure = np.array([certainty(marked[int(i)], vertebra) for i in studies])
        order = studies[np.argsort(-sure, kind="stable")]
        keep[order[int(np.ceil(share * len(order))) :], vertebra] = False
    return keep

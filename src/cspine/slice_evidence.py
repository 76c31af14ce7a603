"""What a slice says about a fracture of each vertebra: the network's word, or that word where the vertebra is.

S4 localises its evidence. ASSUME (the source shows a poster only): the probability of a fracture times the probability,
by the same network, that the slice shows the vertebra at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.errors import CspineError
from cspine.studies import PRESENCE, VERTEBRAE

Values = TypeVar("Values", np.float32, np.float64)

EVIDENCE = ("fracture", "localized")
#: the columns of predictions.parquet, in the order of a network's outputs; presence only where it has such outputs
PREDICTED = (*VERTEBRAE, *PRESENCE)


def columns_for(ways: Iterable[str]) -> list[str]:
    """What predictions.parquet must have for these kinds of evidence."""
    return list(PREDICTED if "localized" in ways else VERTEBRAE)


def values_for(predictions: pd.DataFrame, evidence: str) -> NDArray[np.float64]:
    """The columns that ``evidence`` is weighed from, (slices, 7 or 14).

    Raises:
        CspineError: the predictions are of a network that does not say what a slice shows.
    """
    columns = columns_for([evidence])
    lacking = [name for name in columns if name not in predictions]
    if lacking:
        raise CspineError(
            f"predictions: found no column {lacking[0]}, which aggregate.evidence: {evidence} weighs by; expected a "
            "network that is taught what a slice shows (training.presence_weight above 0), or evidence: [fracture]"
        )
    return predictions[columns].to_numpy(dtype=np.float64)


def weighed(values: NDArray[Values], evidence: str) -> NDArray[Values]:
    """The evidence of each slice for each vertebra, (..., 7), of values (..., 7 or 14) in the order of PREDICTED."""
    count = len(VERTEBRAE)
    fractured = values[..., :count]
    return fractured * values[..., count : 2 * count] if evidence == "localized" else fractured

"""The quality of pseudo-labels as a table: every measure with its interval, and where two references disagree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cspine.bootstrap import Measured
from cspine.folds import LEAST_BOXED
from cspine.metric import Floats
from cspine.pseudo_quality.figures import ALL, Cells, Sums, measures_of, reliability, sums_of
from cspine.scores import LEAST_OF_A_CLASS

#: What is measured: whose labels, against which reference.
ARMS = {
    "boxes": "boxed studies of `select`, against their boxes",
    "truth": "the same studies, against the truth",
    "unboxed": "the unboxed studies of `train`, against the truth",
}
#: Differences of two arms. The first is on the same studies and so paired: what the boxes get wrong. The second is what
#: sets the studies apart, the third what the boxes say less what is asked for.
DIFFERENCES = (("boxes", "truth"), ("truth", "unboxed"), ("boxes", "unboxed"))
LEAST_STUDIES, LEAST_FRACTURED = LEAST_BOXED, LEAST_OF_A_CLASS  #: below this a row is marked as too few to measure
COLUMNS = ["arm", "than", "compared", "vertebra", "measure", "bin", "slices", "predicted",
           "value", "low", "high", "holds_zero", "studies", "fractured", "measurable"]  # fmt: skip

Ways = Mapping[str, Cells]  # by the names of ``references.COMPARED``


def quality_table(arms: Mapping[str, Ways], counts: Mapping[str, Floats]) -> pd.DataFrame:
    """One row for each arm, way of comparing, column and measure; then the same for each difference of two arms.

    Columns: arm; than (the arm it is compared with, or ""); compared; vertebra (``all`` or C1..C7); measure (of
    ``pseudo_quality.MEASURES``, or ``reliability``); bin (of a reliability, else -1) with its slices and mean
    predicted probability; value, low, high (95 % over studies); holds_zero (of a difference: whether the interval
    holds 0); studies and fractured (that the reference says something, and a fracture, about; of a difference the
    fewer); measurable (enough of both).

    Args:
        arms: what is there of ``ARMS``.
        counts: (draws, studies) of each arm, from ``bootstrap.multiplicities``; arms of the same studies share them.
    """
    sums = {arm: {way: sums_of(cells) for way, cells in ways.items()} for arm, ways in arms.items()}
    measured = {
        arm: {way: measures_of(of_way, counts[arm]) for way, of_way in ways.items()} for arm, ways in sums.items()
    }
    rows = [
        _row((arm, "", way, *key), found, _enough(sums[arm][way], key[0]))
        for arm, ways in measured.items()
        for way, found_of in ways.items()
        for key, found in found_of.items()
    ]
    rows += [
        row for arm, ways in sums.items() for way, of_way in ways.items() for row in _bins(arm, way, of_way, counts)
    ]
    for arm, than in DIFFERENCES:
        for way in [way for way in measured.get(arm, {}) if than in measured]:
            enough = {name: _fewer(sums[arm][way], sums[than][way], name) for name in sums[arm][way].names}
            rows += [
                _row((arm, than, way, *key), found.minus(measured[than][way][key]), enough[key[0]])
                for key, found in measured[arm][way].items()
            ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.astype({"bin": np.int8, "slices": np.int32, "studies": np.int32, "fractured": np.int32})


def _bins(arm: str, way: str, sums: Sums, counts: Mapping[str, Floats]) -> list[dict[str, Any]]:
    rows = []
    for number, cells, predicted, share in reliability(sums, ALL, counts[arm]):
        row = _row((arm, "", way, ALL, "reliability"), share, _enough(sums, ALL))
        rows.append(row | {"bin": number, "slices": cells, "predicted": predicted})
    return rows


def _row(key: tuple[str, str, str, str, str], found: Measured, enough: tuple[int, int]) -> dict[str, Any]:
    arm, than, way, vertebra, measure = key
    estimate, (studies, fractured) = found.estimate(), enough
    return {
        "arm": arm,
        "than": than,
        "compared": way,
        "vertebra": vertebra,
        "measure": measure,
        "bin": -1,
        "slices": 0,
        "predicted": float("nan"),
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "holds_zero": bool(than) and estimate.low <= 0 <= estimate.high,
        "studies": studies,
        "fractured": fractured,
        "measurable": studies >= LEAST_STUDIES and fractured >= LEAST_FRACTURED,
    }


def _enough(sums: Sums, column: str) -> tuple[int, int]:
    """How many studies the reference says something about, and a fracture, in this column.

    Of all vertebrae together: studies, not the sum over vertebrae.
    """
    place = sums.names.index(column)
    return int(sums.studies()[place]), int(sums.fractured()[place])


def _fewer(first: Sums, second: Sums, column: str) -> tuple[int, int]:
    (studies, fractured), (others, others_fractured) = _enough(first, column), _enough(second, column)
    return min(studies, others), min(fractured, others_fractured)

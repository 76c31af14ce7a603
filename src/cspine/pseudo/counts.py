"""What the rules of pseudo-labelling did, counted; and the plain words for a round that teaches little."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.pseudo.config import PseudoConfig
from cspine.studies import VERTEBRAE

Marks = NDArray[np.bool_]  # (slices, 7) of one study


class Tally:
    """Counts what the rules did, study by study."""

    def __init__(self, config: PseudoConfig) -> None:
        self.config = config
        # a column per vertebra and one for the whole study
        self.counts = {name: np.zeros(len(VERTEBRAE) + 1, dtype=np.int64) for name in COUNTS}

    def add(self, fractured: Marks, over: Marks, run: Marks) -> None:
        """One study: its vertebrae known to be fractured (7,), and its slices by threshold and by run (slices, 7)."""
        over, run = (np.column_stack([marks, marks.any(axis=1)]) for marks in (over, run))
        positive = over | run
        has = positive.any(axis=0)
        due = np.append(fractured, True)
        counted = (
            due,
            due & has,
            due & ~has,
            positive.sum(axis=0),
            over.sum(axis=0),
            (run & ~over).sum(axis=0),
        )
        for name, count in zip(COUNTS, counted, strict=True):
            self.counts[name] += count

    def table(self) -> pd.DataFrame:
        """fold, round, vertebra (C1..C7, all), COUNTS; a slice of several vertebrae is one slice of "all"."""
        counts = pd.DataFrame(self.counts)
        counts.insert(0, "vertebra", [*VERTEBRAE, "all"])
        counts.insert(0, "round", np.int16(self.config.round))
        counts.insert(0, "fold", np.int16(self.config.fold))
        return counts


COUNTS = (
    "studies_fractured",
    "studies_with_positive",
    "studies_without_positive",
    "slices_positive",
    "slices_by_threshold",
    "slices_by_run",
)


def warning_of(counts: pd.DataFrame) -> str:
    """One plain line about a round whose pseudo-labels carry little or nothing; "" where they do."""
    rows = counts[counts["vertebra"] == "all"]
    studies, positive, over = (
        int(rows[name].sum()) for name in ("studies_fractured", "slices_positive", "slices_by_threshold")
    )
    if positive == 0:
        why = "no slice reached the threshold" if studies else "there is no fractured study without boxes"
        return f"{why}: this round teaches nothing and its result is not a result"
    if over == 0:
        return f"no slice reached the threshold: all {positive} positive slices are runs around a peak"
    return ""

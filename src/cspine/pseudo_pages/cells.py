"""Everything said of one study's slices and vertebrae, side by side in one table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cspine.metric import Floats
from cspine.pseudo_pages.matrices import Panel
from cspine.slice_targets import targets_from_truth
from cspine.studies import UID, VERTEBRAE

WHATS = ("box", "probability", "label", "student", "truth")
SLICE = [UID, "z_index"]


@dataclass(frozen=True)
class Sources:
    """The tables that speak of slices; each has StudyInstanceUID, z_index and C1..C7."""

    probability: pd.DataFrame  # predictions.parquet behind the labels, training studies only
    label: pd.DataFrame  # pseudo-labels, of boxed studies too where these are shown
    box: pd.DataFrame  # labels/slices.parquet, the slices with a box
    student: pd.DataFrame | None  # predictions.parquet of the next round
    truth: pd.DataFrame | None  # the phantom's

    @staticmethod
    def of(
        predictions: pd.DataFrame,
        pseudo_labels: pd.DataFrame,
        labels: pd.DataFrame,
        student: pd.DataFrame | None,
        truth: pd.DataFrame | None,
    ) -> Sources:
        """From the tables as they are written."""
        own = predictions[predictions["cohort"] == "train"]
        return Sources(
            own,
            pseudo_labels,
            labels[labels["source"] == "box"],
            None if student is None else student[student["cohort"] == "train"],
            None if truth is None else targets_from_truth(truth, own),
        )

    def study(self, uid: str) -> pd.DataFrame:
        """One row per slice by z_index: slice_number, and ``{what}_{vertebra}`` for each of WHATS that there is.

        No box, and no pseudo-label of a study that has none: 0. A pseudo-label that is left out: NaN.
        """
        own = self.probability[self.probability[UID] == uid].sort_values("z_index").set_index("z_index")
        parts = [own[["slice_number"]]]
        for what in WHATS:
            table = getattr(self, what)
            if table is not None:
                values = table[table[UID] == uid].set_index("z_index")[list(VERTEBRAE)].astype(np.float64)
                absent = 0.0 if what == "box" or values.empty else np.nan
                parts.append(values.reindex(own.index, fill_value=absent).add_prefix(f"{what}_"))
        return pd.concat(parts, axis=1)


def panels_of(cells: pd.DataFrame, round: int) -> list[Panel]:
    """The matrices of a study, from what is given to what comes of it.

    Args:
        cells: from ``Sources.study``.
        round: whose predictions made the labels.
    """
    titles = {
        "box": "boxes" if _values(cells, "box").any() else "no boxes",
        "probability": f"model, round {round}",
        "label": "pseudo-label",
        "student": f"model, round {round + 1}",
        "truth": "truth",
    }
    return [
        Panel(titles[what], _values(cells, what), what in ("box", "truth"))
        for what in WHATS
        if f"{what}_{VERTEBRAE[0]}" in cells
    ]


def _values(cells: pd.DataFrame, what: str) -> Floats:
    return cells[[f"{what}_{v}" for v in VERTEBRAE]].to_numpy(dtype=np.float64)

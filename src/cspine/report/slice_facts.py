"""Everything that is said of each slice of a study, side by side, and by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cspine.analysis.slice_truth import FRACTURED
from cspine.bootstrap import Floats
from cspine.studies import PRESENCE, UID, UNKNOWN, VERTEBRAE

#: what is said of a slice and a vertebra; each is seven columns, as ``probability_C1``
SAID = ("probability", "label", "pseudo", "truth", "shown")
SLICE = ["cohort", UID, "z_index", "slice_number", "position"]


@dataclass(frozen=True)
class Sources:
    """The tables that speak of slices.

    Attributes:
        slices: index/slices.parquet.
        labels: the slice labels that are taught: training studies only.
        presence: labels/presence.parquet, by the masks.
        predictions: by fold, predictions.parquet; one without z_index says nothing of slices.
        pseudo_labels: by fold, of the training studies that it labels.
        localization: by fold; its rows ``predicted`` count.
        truth: the phantom's slices.
    """

    slices: pd.DataFrame
    labels: pd.DataFrame
    presence: pd.DataFrame
    predictions: Mapping[int, pd.DataFrame]
    pseudo_labels: Mapping[int, pd.DataFrame]
    localization: Mapping[int, pd.DataFrame]
    truth: pd.DataFrame | None

    def study(self, cohort: str, uid: str, fold: int) -> pd.DataFrame:
        """One row per slice from head to feet: SLICE, side_mm (of the square that the slice is padded to), source
        (box | unboxed | negative | ""), shown_by, and the columns of SAID.

        NaN is what nobody says: of a pseudo-label, also a slice that is left out. ``shown`` is 0..1, of the surest
        source there is: the truth, the mask, the localizer.

        Args:
            cohort: train | test.
            uid: of the study.
            fold: whose models' word counts.
        """
        own = _of(self.slices, cohort, uid).sort_values("z_index", ignore_index=True)
        side = own[["rows", "columns"]].max(axis=1) * own["column_spacing"]
        own = own[SLICE].assign(side_mm=side.astype(np.float32))
        rows = _of(self.labels, cohort, uid)
        blocks = {
            "probability": _values(_of(self.predictions.get(fold), cohort, uid), own, VERTEBRAE),
            "label": _values(rows, own, VERTEBRAE),
            "pseudo": _values(_of(self.pseudo_labels.get(fold), cohort, uid), own, VERTEBRAE),
            "truth": _values(_of(self.truth, cohort, uid), own, FRACTURED, "slice_number"),
        }
        blocks["shown"], shown_by = self._shown(own, cohort, uid, fold)
        source = rows.set_index("z_index")["source"].reindex(own["z_index"]).fillna("").to_numpy()
        columns = {f"{what}_{v}": values[:, n] for what, values in blocks.items() for n, v in enumerate(VERTEBRAE)}
        return own.assign(source=source, shown_by=shown_by, **columns)

    def _shown(self, own: pd.DataFrame, cohort: str, uid: str, fold: int) -> tuple[Floats, str]:
        """Which vertebrae each slice shows, (slices, 7), and who says so."""
        places = _of(self.localization.get(fold), cohort, uid)
        predicted = places[places["source"] == "predicted"] if len(places) else places
        found = {
            "truth": _values(_of(self.truth, cohort, uid), own, PRESENCE, "slice_number"),
            "mask": _values(_of(self.presence, cohort, uid), own, VERTEBRAE),
            "localizer": _values(predicted, own, PRESENCE),
        }
        for name, values in found.items():
            if np.isfinite(values).any():
                return values, name
        return found["truth"], ""


def _of(table: pd.DataFrame | None, cohort: str, uid: str) -> pd.DataFrame:
    """A study's rows of a table; of one without cohorts, which speaks of training studies, those of such a study."""
    if table is None:
        return pd.DataFrame()
    own = table[table[UID] == uid]
    return own[own["cohort"] == cohort] if "cohort" in own else own.iloc[: len(own) if cohort == "train" else 0]


def _values(table: pd.DataFrame, own: pd.DataFrame, columns: tuple[str, ...], key: str = "z_index") -> Floats:
    """(slices, 7) what a table says of the study's slices; NaN where it says nothing or does not know."""
    if not {key, *columns} <= set(table.columns):
        return np.full((len(own), len(columns)), np.nan)
    values = table.set_index(key)[list(columns)].reindex(own[key]).to_numpy(dtype=np.float64, copy=True)
    values[values == UNKNOWN] = np.nan
    return values

"""Boxes and the model together: a box says that a slice shows a fracture, the model which vertebra's."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cspine.metric import Floats
from cspine.pseudo.labels import COLUMNS, SLICE
from cspine.studies import CONFIDENCE, UID, VERTEBRAE


def united_with_boxes(labels: pd.DataFrame, predictions: pd.DataFrame, soft: bool) -> pd.DataFrame:
    """The boxed slices' labels weighed by the model's probabilities; all other slices of these studies as they were.

    In a boxed slice each vertebra's label (1 where nothing else is known, or what a localizer made of the box) is
    multiplied by what the model says, and divided by the slice's highest: some vertebra of it is fractured. A slice
    of which the model says nothing at all stays as it was.

    Args:
        labels: slice labels of boxed studies.
        predictions: predictions.parquet.
        soft: as they come out; else 1 from a half of the highest on, and 0.

    Returns:
        pseudo.labels.COLUMNS of the studies' slices, by study and z_index.
    """
    rows = labels.merge(predictions.loc[predictions["cohort"] == "train", [*SLICE, *VERTEBRAE]],
                        on=SLICE, how="left", validate="1:1", suffixes=("", "_model"))  # fmt: skip
    given = rows[list(VERTEBRAE)].to_numpy(np.float64)
    model = rows[[f"{vertebra}_model" for vertebra in VERTEBRAE]].to_numpy(np.float64)
    weighed = _weighed(given, model)
    if not soft:
        weighed = np.where(np.isnan(weighed), np.nan, weighed >= 0.5)
    boxed = (rows["source"] == "box").to_numpy()[:, None] & np.isfinite(weighed).any(axis=1, keepdims=True)
    rows[list(VERTEBRAE)] = np.where(boxed, weighed, given)
    rows = rows.reindex(columns=COLUMNS)
    rows[list(CONFIDENCE)] = rows[list(CONFIDENCE)].fillna(1.0)
    kinds = dict.fromkeys([*VERTEBRAE, *CONFIDENCE, "weight"], np.float32)
    return rows.astype(kinds).sort_values([UID, "z_index"], ignore_index=True)


def _weighed(given: Floats, model: Floats) -> Floats:
    product = given * model
    highest = np.fmax.reduce(product, axis=1)[:, None]
    return np.asarray(np.divide(product, highest, out=np.full_like(product, np.nan), where=highest > 0))

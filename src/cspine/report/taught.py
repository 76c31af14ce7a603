"""Training sets of every kind of method in the columns of one of slices, so that one figure shows them all."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cspine.studies import CONFIDENCE, VERTEBRAE

#: what one row of a training set is, for methods that judge slices, vertebrae or studies
NOUNS = {"slice": "slices", "vertebra": "vertebrae", "study": "studies"}


def as_of_slices(training_sets: pd.DataFrame) -> pd.DataFrame:
    """The same rows with C1..C7 (NaN: this row says nothing of it) and how far each is believed.

    Args:
        training_sets: training_set.parquet of any unit (stages build_training_set and build_study_set).
    """
    if training_sets.empty or CONFIDENCE[0] in training_sets:
        return training_sets
    table = training_sets
    if "fractured" in table:  # a row for each vertebra of each study
        own = {name: table["fractured"].where(table["vertebra"] == name) for name in VERTEBRAE}
        table = table.assign(**own)
    return table.assign(**dict.fromkeys(CONFIDENCE, np.float32(1)))

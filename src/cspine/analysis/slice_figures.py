"""Fracture AUC over slices: over those that show the vertebra, beside all slices."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.analysis.cells import SliceSet, Whole
from cspine.analysis.confusion import columns_of
from cspine.bootstrap import Floats, average
from cspine.scores import LEAST_OF_A_CLASS
from cspine.slice_aucs import slice_aucs
from cspine.studies import VERTEBRAE

IN_VIEW, ALL = "in view", "all"
MEAN = "mean"


def slice_auc_table(slices: SliceSet, counts: Floats) -> pd.DataFrame:
    """A row for C1..C7 and their mean, over the slices that show the vertebra and over all of which something is known.

    Columns: counted (in view | all), label (C1..C7 | mean), auc with interval, slices, fractured (of these), studies
    (that have them), fractured_studies, measurable (LEAST_OF_A_CLASS studies with a fractured slice, and as many
    without). The mean is over the measurable vertebrae; NaN without one.

    Args:
        slices: of a cohort.
        counts: (draws, studies) from ``bootstrap.resample_counts``.
    """
    known = ~np.isnan(slices.fractured)
    tables = [_counted(slices, known & (slices.shown == 1), IN_VIEW, counts), _counted(slices, known, ALL, counts)]
    return pd.concat(tables, ignore_index=True)


def _counted(slices: SliceSet, rows: NDArray[np.bool_], name: str, counts: Floats) -> pd.DataFrame:
    """The same over ``rows``, (slices, 7)."""
    found = slice_aucs(slices.fractured, slices.probability, rows, slices.study, counts)
    broken: NDArray[np.bool_] = rows & (slices.fractured == 1)
    sizes = [_sizes(slices.study, rows[:, [column]], broken[:, [column]]) for column in range(len(VERTEBRAE))]
    mean = average([auc for auc, size in zip(found, sizes, strict=True) if size["measurable"]], len(counts))
    together = _sizes(slices.study, rows, broken)
    together["measurable"] = any(size["measurable"] for size in sizes)
    labels, aucs = (*VERTEBRAE, MEAN), [*found, mean]
    table = pd.DataFrame(
        [
            {"counted": name, "label": label, **columns_of("auc", auc), **size}
            for label, auc, size in zip(labels, aucs, [*sizes, together], strict=True)
        ]
    )
    return table.astype(dict.fromkeys(("slices", "fractured", "studies", "fractured_studies"), np.int64))


def _sizes(study: Whole, rows: NDArray[np.bool_], broken: NDArray[np.bool_]) -> dict[str, int | bool]:
    """What is counted of some vertebrae, (slices, vertebrae): a slice counts once for each."""
    studies, with_one = (len(np.unique(study[cells.any(axis=1)])) for cells in (rows, broken))
    return {
        "slices": int(rows.sum()),
        "fractured": int(broken.sum()),
        "studies": studies,
        "fractured_studies": with_one,
        "measurable": min(with_one, studies - with_one) >= LEAST_OF_A_CLASS,
    }

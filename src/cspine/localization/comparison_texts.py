"""The comparison of localizers as a person reads it: a row for each measure, a column for each localizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cspine.score_texts import CLAIMS, TOO_FEW, data_name
from cspine.scores import LEAST_STUDIES
from cspine.studies import VERTEBRAE

COHORTS = {
    "segmented": "all segmented studies, each by models that were not taught it",
    "heldout": "those of them that the fold holds out, mean of its models",
}
#: measure, level -> what it is called
LINES = {
    ("presence_auc", "mean"): "presence AUC, mean of C1..C7",
    ("presence_f1", "mean"): "presence F1 at 0.5, mean",
    ("ordered_f1", "mean"): "  after the clean-up",
    ("ratio_error", "mean"): "ratio error where shown, mean",
    ("ratio_error", "T"): "  thoracic",
    ("box_iou", ""): "box overlap (IoU)",
    ("dice", "mean"): "Dice, mean of C1..C7",
    ("violations", ""): "order violations a study",
    ("violations_ordered", ""): "  after the clean-up",
}
FIRST, OTHERS = 32, 24  # widths of columns


def comparison_text(
    rows: pd.DataFrame, localizers: list[str], folds_run: list[int], phantom: bool, size: str, bootstrap: int
) -> str:
    """What it may claim first, then a block for each cohort.

    Args:
        rows: comparison.parquet.
        localizers: the columns.
        folds_run: the folds whose localizers were asked.
        phantom: the data are synthetic: said above all.
        size: smoke | demo | study.
        bootstrap: resamples behind the intervals.
    """
    lines = [
        f"localizers on {data_name(phantom)}",
        CLAIMS[size],
        f"folds run: {', '.join(map(str, folds_run))}; [95 % interval] over {bootstrap} resamples of studies",
        "clean-up: presence put in anatomical order",
        "ratio: voxels here / their largest number in a slice of the study; -- = no such output",
    ]
    for cohort, words in COHORTS.items():
        of_cohort = rows[rows["cohort"] == cohort]
        counted = of_cohort[of_cohort["measure"] != "trained_weights"]
        if counted.empty:
            lines += ["", f"{words}: none"]
            continue
        studies, slices = counted["studies"].max(), counted["slices"].max()
        few = [f"{TOO_FEW}: fewer than {LEAST_STUDIES} studies"] if studies < LEAST_STUDIES else []
        lines += ["", f"{words}: {studies} studies, {slices} slices", *few, _line("", localizers)]
        lines += [_line(name, [_cell(of_cohort, one, *key) for one in localizers]) for key, name in LINES.items()]
    lines += ["", *_by_vertebra(rows[rows["cohort"] == "segmented"], localizers)]
    weights = rows[rows["measure"] == "trained_weights"].set_index("localizer")["value"]
    return "\n".join([*lines, "", _line("trained weights", [f"{weights[one]:,.0f}" for one in localizers])]) + "\n"


def _by_vertebra(rows: pd.DataFrame, localizers: list[str]) -> list[str]:
    """AUC and F1 of each vertebra."""
    cells = {
        level: [
            " / ".join(f"{_value(rows, one, measure, level):.3f}" for measure in ("presence_auc", "presence_f1"))
            for one in localizers
        ]
        for level in VERTEBRAE
    }
    return [_line("presence AUC / F1 at 0.5", localizers), *(_line(level, row) for level, row in cells.items())]


def _cell(rows: pd.DataFrame, localizer: str, measure: str, level: str) -> str:
    found: Any = _row(rows, localizer, measure, level)
    if found is None or np.isnan(found["value"]):
        return "--"
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _value(rows: pd.DataFrame, localizer: str, measure: str, level: str) -> float:
    found = _row(rows, localizer, measure, level)
    return float("nan") if found is None else float(found["value"])


def _row(rows: pd.DataFrame, localizer: str, measure: str, level: str) -> Any:
    own = rows[(rows["localizer"] == localizer) & (rows["measure"] == measure) & (rows["level"] == level)]
    return own.iloc[0] if len(own) else None


def _line(first: str, others: list[str]) -> str:
    return (f"{first:<{FIRST}}" + "".join(f"{other:<{OTHERS}}" for other in others)).rstrip()

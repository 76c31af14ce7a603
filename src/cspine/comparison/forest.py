"""The forest plot: how far each method's loss is from the best constant's, in pairs on the same studies."""

from __future__ import annotations

import io

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cspine.comparison.config import CompareConfig
from cspine.score_texts import COHORTS

DOT, LINE, ZERO = "#2f6db3", "#1d2329", "#c62828"
FORM = "per_exam"  #: both forms would say the same twice; the table has the other
INCHES_A_ROW, INCHES_AROUND, WIDE = 0.34, 1.3, 9.0


def draw_forest(found: pd.DataFrame, config: CompareConfig) -> bytes:
    """The plot as PNG: a panel for each cohort, a row for each method in the table's order. Equal rows, equal bytes.

    Args:
        found: rows of comparison.csv.
        config: says what the data are, and what may be claimed.
    """
    cohorts = [cohort for cohort in COHORTS if cohort in set(found["cohort"])]
    height = len(cohorts) * (INCHES_A_ROW * found["method"].nunique() + INCHES_AROUND)
    with matplotlib.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(WIDE, height), layout="constrained", facecolor="white")
        panels = figure.subplots(len(cohorts), squeeze=False, sharex=True)[:, 0]
        figure.suptitle(_heading(config), x=0.01, ha="left", fontsize=11)
        for axes, cohort in zip(panels, cohorts, strict=True):
            _panel(axes, found[found["cohort"] == cohort].reset_index(drop=True), COHORTS[cohort], config)
        panels[-1].set_xlabel(
            "weighted log loss (per exam) minus the best constant's; below 0 = better than the constant\n"
            f"dot: all studies; line: 95 % interval over {config.bootstrap} resamples of studies, paired"
        )
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def _panel(axes: Axes, rows: pd.DataFrame, words: str, config: CompareConfig) -> None:
    name = f"minus_constant_{FORM}"
    for place, row in enumerate(rows.to_dict("records")):
        axes.plot([row[f"{name}_low"], row[f"{name}_high"]], [place, place], color=LINE, linewidth=1.4, zorder=2)
        axes.plot(row[name], place, "o", color=DOT, markersize=6, zorder=3)
        label = f"{row[name]:+.3f} [{row[f'{name}_low']:+.3f}, {row[f'{name}_high']:+.3f}]"
        axes.annotate(label, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    axes.axvline(0, color=ZERO, linewidth=1, linestyle="--", zorder=1)
    axes.set_yticks(range(len(rows)), labels=[_name(method, config) for method in rows["method"]])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(labelbottom=True)
    axes.set_title(f"{words}: {rows['studies'].iloc[0]} studies", loc="left", fontsize=10)


def _heading(config: CompareConfig) -> str:
    data = "the phantom (synthetic)" if config.phantom else "data.root"
    return f"Methods on {data}" + ("" if config.size == "study" else f"; {config.size} size: not a ranking")


def _name(method: str, config: CompareConfig) -> str:
    return f"{method} (reference)" if method == config.reference and len(config.methods) > 1 else method

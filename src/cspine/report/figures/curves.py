"""ROC and precision-recall curves: patients, and vertebrae pooled."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cspine.palette import FIRST, SECOND, SOFT
from cspine.report.drawn import About, Drawn, Form, draw, in_words
from cspine.report.panels import (
    COHORTS,
    band,
    cohorts_of,
    head,
    legend_below,
    panels,
    spoken,
    unit_square,
    with_interval,
)
from cspine.report.tables import few_of, number_of_studies, row_of

SHOWN = {"patient": FIRST, "vertebra": SECOND}
NAMES = {"roc": "ROC curves", "precision_recall": "Precision-recall curves"}
AXES = {
    "roc": ("false positive rate (1 \N{MINUS SIGN} specificity)", "sensitivity (recall)"),
    "precision_recall": ("recall (sensitivity)", "precision"),
}


def roc(areas: pd.DataFrame, curves: pd.DataFrame, about: About) -> Drawn:
    """Sensitivity against false positive rate with pointwise bands, a panel for each cohort.

    Args:
        areas: errors/areas.parquet.
        curves: errors/curves.parquet.
        about: for the caption.
    """
    caption = (
        "Receiver operating characteristics of patients and of vertebrae (C1 to C7 pooled). Bands: pointwise "
        f"{about.intervals}; brackets: those of the area under the curve (AUC). Dotted: chance.{about.data}"
    )
    return _curves("roc", areas, curves, caption, about)


def precision_recall(areas: pd.DataFrame, curves: pd.DataFrame, about: About) -> Drawn:
    """Precision against recall with pointwise bands and the prevalence, a panel for each cohort.

    Args:
        areas: errors/areas.parquet.
        curves: errors/curves.parquet.
        about: for the caption.
    """
    caption = (
        "Precision against recall of patients and of vertebrae (C1 to C7 pooled). Bands: pointwise "
        f"{about.intervals}; brackets: those of the average precision (AP). Dotted: the prevalence, which is the "
        f"precision of whoever knows nothing.{about.data}"
    )
    return _curves("precision_recall", areas, curves, caption, about)


def _curves(kind: str, areas: pd.DataFrame, curves: pd.DataFrame, caption: str, about: About) -> Drawn:
    title, cohorts = NAMES[kind], cohorts_of(areas)
    if not cohorts:
        return in_words(kind, title, "no study with a known label was predicted")
    drawn = curves[(curves["curve"] == kind) & curves["level"].isin(list(SHOWN))].dropna(subset=["y"])
    if drawn.empty:
        return in_words(kind, title, "no cohort has both classes, so there is no curve")

    def figure(form: Form) -> Figure:
        page, grid = panels(form, len(cohorts), 4.6)
        for axes, cohort in zip(grid, cohorts, strict=True):
            _panel(axes, kind, areas[areas["cohort"] == cohort], drawn[drawn["cohort"] == cohort])
            head(axes, about.studies(COHORTS[cohort], number_of_studies(areas, cohort)), *AXES[kind])
        return page

    said = [f"{COHORTS[c]}: " + "; ".join(_label(kind, row_of(areas, c, level)) for level in SHOWN) for c in cohorts]
    return draw(kind, title, caption, spoken(said).replace("\n", " "), figure)


def _panel(axes: Axes, kind: str, areas: pd.DataFrame, curves: pd.DataFrame) -> None:
    unit_square(axes)
    if kind == "roc":
        axes.plot([0, 1], [0, 1], color=SOFT, linestyle=":", linewidth=1.2)
    for level, colour in SHOWN.items():
        rows, area = curves[curves["level"] == level].sort_values("x"), areas[areas["level"] == level].iloc[0]
        x, y, low, high = (rows[name].to_numpy(np.float64) for name in ("x", "y", "y_low", "y_high"))
        step = None if kind == "roc" else "pre"
        band(axes, x, low, high, colour, step)
        style = "steps-pre" if step else "default"
        axes.plot(x, y, color=colour, drawstyle=style, label=_label(kind, area))
        if kind == "precision_recall":
            axes.axhline(area["prevalence"], color=colour, linestyle=":", linewidth=1.2)
    legend_below(axes)


def _label(kind: str, area: pd.Series) -> str:
    name, words = ("auc", "AUC") if kind == "roc" else ("average_precision", "AP")
    more = "" if kind == "roc" else f",\nprevalence {area['prevalence']:.2f}"
    value = with_interval(area[name], area[f"{name}_low"], area[f"{name}_high"])
    return f"{area['level']}: {words} {value}{more}{few_of(area)}"

"""The audit's histograms, training and test studies side by side."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cspine.pages import drawing, drawing_style
from cspine.palette import FIRST, SECOND

MOST_BINS = 24
MOST_SIZES = 8  #: bars of sizes; the others are one bar
COHORTS = {"train": FIRST, "test": SECOND}
NAMES = {"train": "training", "test": "test"}


class Drawn(NamedTuple):
    """A figure of the page."""

    svg: str
    caption: str


def histograms(studies: pd.DataFrame) -> list[Drawn]:
    """Slices, thickness, sizes and fields of view of the readable studies; nothing where there is none."""
    readable = studies[studies["slices"] > 0]
    if readable.empty:
        return []
    wide = readable.assign(field_mm=readable[["height_mm", "width_mm"]].max(axis=1))
    return [
        _histogram(wide, "slices", "Slices per study", ""),
        _histogram(wide, "thickness", "Distance of slices", "mm"),
        _sizes(wide),
        _histogram(wide, "field_mm", "Field of view", "mm"),
        _histogram(wide, "extent_mm", "First to last slice", "mm"),
    ]


def _histogram(studies: pd.DataFrame, column: str, name: str, unit: str) -> Drawn:
    values = {c: studies.loc[studies["cohort"] == c, column].dropna().to_numpy(np.float64) for c in COHORTS}
    values = {cohort: numbers for cohort, numbers in values.items() if len(numbers)}
    everything = np.concatenate([*values.values(), np.empty(0)])
    in_words = "; ".join(
        f"{NAMES[cohort]}: median {np.median(numbers):.4g}, {numbers.min():.4g} to {numbers.max():.4g}"
        for cohort, numbers in values.items()
    )
    caption = f"{name}{', ' + unit if unit else ''} ({in_words})" if values else f"{name}: not known of any study"
    edges = _edges(everything)
    with drawing_style():
        figure, axes = _figure()
        shown = [numbers for numbers in values.values()]
        colours = [COHORTS[cohort] for cohort in values]
        labels = [f"{NAMES[cohort]}, {len(numbers):,} studies" for cohort, numbers in values.items()]
        if values:
            axes.hist(shown, bins=edges.tolist(), color=colours, label=labels, stacked=True)
        _finish(axes, f"{name}{', ' + unit if unit else ''}", len(values))
        return Drawn(drawing(figure, f"histogram-{column.replace('_', '-')}", f"Histogram. {caption}"), caption)


def _sizes(studies: pd.DataFrame) -> Drawn:
    names = studies["rows"].astype(str) + " x " + studies["columns"].astype(str)
    order = [name for name, _ in sorted(Counter(names).items(), key=lambda pair: (-pair[1], pair[0]))]
    kept = order[:MOST_SIZES]
    names = names.where(names.isin(kept), "others")
    bars = [*kept, *(["others"] if len(order) > len(kept) else [])]
    counts = {c: [int(((studies["cohort"] == c) & (names == bar)).sum()) for bar in bars] for c in COHORTS}
    counts = {cohort: numbers for cohort, numbers in counts.items() if sum(numbers)}
    in_words = ", ".join(f"{bar}: {sum(n[i] for n in counts.values()):,}" for i, bar in enumerate(bars))
    caption = f"Rows x columns, studies ({in_words})"
    with drawing_style():
        figure, axes = _figure()
        left = np.zeros(len(bars))
        for cohort, numbers in counts.items():
            label = f"{NAMES[cohort]}, {sum(numbers):,} studies"
            axes.barh(bars, numbers, left=left, height=0.6, color=COHORTS[cohort], label=label)
            left += numbers
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.set_xlabel("studies")
        _legend(axes, len(counts))
        return Drawn(drawing(figure, "sizes", f"Bars. {caption}"), caption)


def _edges(values: np.ndarray) -> np.ndarray:
    if len(values) == 0 or values.min() == values.max():
        middle = float(values[0]) if len(values) else 0.0
        return np.array([middle - 0.5, middle + 0.5])
    edges = np.histogram_bin_edges(values, bins="auto")
    return edges if len(edges) <= MOST_BINS + 1 else np.linspace(values.min(), values.max(), MOST_BINS + 1)


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.6, 2.8), layout="constrained")
    return figure, figure.add_subplot()


def _finish(axes: Axes, label: str, cohorts: int) -> None:
    axes.set_xlabel(label)
    axes.set_ylabel("studies")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    _legend(axes, cohorts)


def _legend(axes: Axes, cohorts: int) -> None:
    if cohorts:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=cohorts, fontsize=10)

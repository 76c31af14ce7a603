"""A study as matrices side by side: its slices from head to feet, its vertebrae, and who says what of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cspine.metric import Floats
from cspine.pages import drawing, drawing_style
from cspine.studies import VERTEBRAE

MODEL, GIVEN, LEFT_OUT = (0.18, 0.43, 0.70), (0.85, 0.51, 0.17), (0.5, 0.5, 0.5)  # seen on light and on dark paper
OPAQUE_LEFT_OUT = 0.35


class Panel(NamedTuple):
    """One matrix."""

    title: str
    values: Floats  # (slices, 7) 0..1; NaN: left out, shown grey
    given: bool  # boxes and truth, in another colour than what comes from a model


def coloured(panel: Panel) -> NDArray[np.float64]:
    """(slices, 7, 4) of a panel: one colour, as opaque as the value is high, so that it stands on any paper."""
    cells = np.empty((*panel.values.shape, 4))
    unknown = np.isnan(panel.values)
    cells[..., :3] = GIVEN if panel.given else MODEL
    cells[..., 3] = np.nan_to_num(panel.values)
    cells[unknown] = (*LEFT_OUT, OPAQUE_LEFT_OUT)
    return cells


def draw_matrices(name: str, uid: str, z: Sequence[int], panels: Sequence[Panel]) -> str:
    """The panels as one inline SVG.

    Args:
        name: of the drawing, unique in the page.
        uid: of the study, for who cannot see it.
        z: (slices,) the slices' z_index, the head first.
        panels: what to show, from left to right.
    """
    with drawing_style():
        height = float(np.clip(len(z) / 28, 2.6, 6.0))
        figure = Figure(figsize=(1.75 * len(panels), height), layout="constrained")
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, panel in zip(grid, panels, strict=True):
            extent = (-0.5, len(VERTEBRAE) - 0.5, z[-1] + 0.5, z[0] - 0.5)
            axes.imshow(coloured(panel), extent=extent, aspect="auto", interpolation="none")
            axes.set_title(panel.title, fontsize=11)
            axes.set_xticks(range(len(VERTEBRAE)), [v[1] for v in VERTEBRAE])
            axes.tick_params(length=2, labelsize=10)
        grid[0].set_ylabel("slice from the head")
        grid[0].set_xlabel("C1 ... C7")
    return drawing(figure, name, _in_words(uid, len(z), panels))


def _in_words(uid: str, slices: int, panels: Sequence[Panel]) -> str:
    told = [f"{panel.title} {int((np.nan_to_num(panel.values) >= 0.5).any(axis=1).sum())}" for panel in panels]
    return f"Study {uid}, {slices} slices; slices with any vertebra at 0.5 or more: {', '.join(told)}"

"""Values with their intervals, one below the other: a dot, a line, and the numbers beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from cspine.palette import FIRST, INK, LINE, PAPER, SOFT
from cspine.report.drawn import SMALL
from cspine.report.panels import with_interval

ROW, LINE_OF_TEXT, AROUND = 0.3, 0.17, 1.0  #: inches: of a row, of a line of words above it, of heading and axis
TOP = 0.03  # inches from a row's upper end to its words


@dataclass(frozen=True)
class Row:
    """One value. A hollow dot stands for one that is not measurable."""

    name: str  # of one line or two
    value: float
    low: float
    high: float
    measurable: bool = True
    colour: str = FIRST
    constant: float | None = None  # drawn as a short upright line


def height_of(groups: Iterable[Sequence[Row]], stacked: bool = False) -> float:
    """Inches of panels that hold these rows.

    Args:
        groups: the rows of each panel.
        stacked: names and numbers stand above their rows, as on narrow screens.
    """
    most = max(groups, key=len)
    return len(most) * _height_of_row(most, stacked) + AROUND


def forest(
    axes: Axes, rows: Sequence[Row], digits: int = 2, sign: str = "", zero: float | None = None, stacked: bool = False
) -> None:
    """Draw rows from above, with name and numbers beside each, or above it.

    Args:
        axes: of one panel; its heading and the name of its x axis are the caller's.
        rows: in the order of the page.
        digits: of the numbers written.
        sign: ``+`` for differences.
        zero: where a line says that there is nothing: a difference of 0, an AUC of 0.5.
        stacked: names and numbers stand above their rows.
    """
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    if zero is not None:
        axes.axvline(zero, color=SOFT, linestyle=":", linewidth=1.2)
    below = (TOP + 0.1 + LINE_OF_TEXT * _lines(rows)) / _height_of_row(rows, True) - 0.5 if stacked else 0.0
    for place, row in enumerate(rows):
        _dot(axes, row, place + below)
        words, colour = with_interval(row.value, row.low, row.high, digits, sign), INK if row.measurable else SOFT
        (_above if stacked else _beside)(axes, row.name, words, place, colour)
    axes.set_yticks([] if stacked else range(len(rows)), labels=[] if stacked else [row.name for row in rows])
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _lines(rows: Sequence[Row]) -> int:
    return max((row.name.count("\n") + 1 for row in rows), default=1)


def _height_of_row(rows: Sequence[Row], stacked: bool) -> float:
    return ROW + LINE_OF_TEXT * (_lines(rows) if stacked else _lines(rows) - 1)


def _dot(axes: Axes, row: Row, place: float) -> None:
    face = row.colour if row.measurable else PAPER
    axes.plot([row.low, row.high], [place, place], color=row.colour, linewidth=1.6, clip_on=False)
    axes.plot(row.value, place, "o", color=row.colour, markersize=6, markerfacecolor=face, clip_on=False)
    if row.constant is not None:
        axes.plot(row.constant, place, "|", color=INK, markersize=13, markeredgewidth=1.6)


def _beside(axes: Axes, name: str, words: str, place: int, colour: str) -> None:
    """The numbers at the right; the name is the tick's."""
    axes.annotate(
        words, (1, place), xycoords=("axes fraction", "data"), xytext=(9, 0), textcoords="offset points", va="center",
        fontsize=SMALL, color=colour,
    )  # fmt: skip


def _above(axes: Axes, name: str, words: str, place: int, colour: str) -> None:
    """Both above the dot, on paper of their own: lines of the axis end there."""
    for x, text, side in ((0, name, "left"), (1, words, "right")):
        axes.text(
            x, place - 0.45, text, transform=axes.get_yaxis_transform(), va="top", ha=side, fontsize=SMALL,
            color=colour, bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip


def said(rows: Sequence[Row], digits: int = 2, sign: str = "") -> str:
    """The same in words."""
    told = ((row.name.replace("\n", ", "), with_interval(row.value, row.low, row.high, digits, sign)) for row in rows)
    return "; ".join(f"{name}: {value}" for name, value in told)

"""Values with their intervals, one below the other: a dot, a line, and the numbers beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from cspine.palette import FIRST, INK, LINE, PAPER, SOFT
from cspine.report.drawn import SMALL
from cspine.report.panels import with_interval

ROW, LINE_OF_TEXT, AROUND = 0.3, 0.17, 1.0  #: inches: of a row, of a line of words above it, of heading and axis


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
    lines = max((row.name.count("\n") + 1 for row in most), default=1)
    return len(most) * (ROW + LINE_OF_TEXT * (lines if stacked else lines - 1)) + AROUND


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
    for place, row in enumerate(rows):
        _dot(axes, row, place + (0.3 if stacked else 0.0))
        words, colour = with_interval(row.value, row.low, row.high, digits, sign), INK if row.measurable else SOFT
        (_above if stacked else _beside)(axes, row.name, words, place, colour)
    axes.set_yticks([] if stacked else range(len(rows)), labels=[] if stacked else [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


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
    where = axes.get_yaxis_transform()
    axes.text(0, place - 0.45, name, transform=where, va="top", fontsize=SMALL, color=colour)
    axes.text(1, place - 0.45, words, transform=where, va="top", ha="right", fontsize=SMALL, color=colour)


def said(rows: Sequence[Row], digits: int = 2, sign: str = "") -> str:
    """The same in words."""
    names = [row.name.replace("\n", ", ") for row in rows]
    return "; ".join(
        f"{name}: {with_interval(row.value, row.low, row.high, digits, sign)}"
        for name, row in zip(names, rows, strict=True)
    )

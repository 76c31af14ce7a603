"""A figure of the report, in the page and as files: one style, drawn for a wide screen and for a narrow one.

A figure is drawn at the size at which it is printed, so its 9.5 points are 9 or more on screens of 400 pixels and
from 800 on: a narrow screen is given the narrow drawing, its panels one below the other. Equal tables give equal bytes.
"""

from __future__ import annotations

import html
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure

from cspine.pages import drawing, drawing_style
from cspine.palette import SOFT

DPI = 150  # of the PNG
SMALL, NORMAL = 9.5, 10.0  #: sizes of text, in points
_STYLE = {
    "font.size": NORMAL,
    "axes.labelsize": NORMAL,
    "axes.titlesize": NORMAL,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "butt",
}


class Form(NamedTuple):
    """The room there is."""

    width: float  # inches
    narrow: bool


WIDE, NARROW = Form(8.4, False), Form(4.0, True)


@dataclass(frozen=True)
class Drawn:
    """A figure with its words. Only numbers of the tables are in it."""

    name: str  # of its files, and unique in the page
    title: str
    caption: str  # what is drawn, of how many studies, what the intervals are
    description: str  # its numbers, for who cannot see it
    figure: Figure  # at the width of a printed page
    narrow: Figure  # the same for a narrow screen


@dataclass(frozen=True)
class About:
    """What every caption has to say."""

    phantom: bool  # the data are the phantom
    bootstrap: int = 1000  # resamples of studies behind each interval

    def studies(self, words: str, number: int) -> str:
        """E.g. ``held-out phantom studies, n = 28``."""
        return f"{words} {'phantom ' if self.phantom else ''}studies, n = {number:,}"

    @property
    def data(self) -> str:
        """The sentence that the phantom's captions end with; nothing of other data."""
        return " Data: the phantom, which says nothing about patients." if self.phantom else ""

    @property
    def intervals(self) -> str:
        """What an interval is."""
        return f"95 % intervals over {self.bootstrap:,} resamples of studies"


def draw(name: str, title: str, caption: str, description: str, figure: Callable[[Form], Figure]) -> Drawn:
    """A figure in both forms, laid out once and for all.

    Args:
        name: letters, digits and ``_``.
        title: a few words.
        caption: one or more sentences.
        description: the numbers in words.
        figure: draws it in a form, with colours of ``cspine.palette``, on ``layout="constrained"``.
    """
    with drawing_style(), matplotlib.rc_context(_STYLE):  # type: ignore[arg-type]
        wide, narrow = (_settled(figure(form)) for form in (WIDE, NARROW))
    return Drawn(name, title, caption, description, wide, narrow)


def in_words(name: str, title: str, reason: str) -> Drawn:
    """The figure where there is nothing to draw: it says why."""

    def figure(form: Form) -> Figure:
        blank = Figure(figsize=(form.width, 1.0))
        blank.text(0.5, 0.5, reason, ha="center", va="center", color=SOFT, wrap=True)
        return blank

    return draw(name, title, f"{title}: {reason}.", reason, figure)


def inline(drawn: Drawn) -> str:
    """Both forms as inline SVG in the page's colours, of which the page's style shows one; needs no escaping."""
    forms = {"wide": drawn.figure, "narrow": drawn.narrow}
    drawings = {
        form: drawing(figure, f"{drawn.name}-{form}", drawn.description, drawn.title) for form, figure in forms.items()
    }
    return "".join(f'<div class="{form}">{svg}</div>' for form, svg in drawings.items())


def write_figure(drawn: Drawn, png: Path, svg: Path) -> None:
    """The wide form on light paper: PNG of 150 dpi, and SVG whose text is text, with title and description."""
    words = {"Title": drawn.title, "Description": drawn.description}
    text = io.StringIO()
    with drawing_style():
        drawn.figure.savefig(
            text, format="svg", facecolor="white", metadata={**words, "Date": None, "Creator": "cspine"}
        )
        drawn.figure.savefig(png, dpi=DPI, facecolor="white", metadata={**words, "Software": None})
    described = f"</title>\n <desc>{html.escape(drawn.description)}</desc>"
    svg.write_text(text.getvalue().replace("</title>", described, 1), encoding="utf-8")


def _settled(figure: Figure) -> Figure:
    """Laid out: what is drawn later, in whichever resolution, is the same drawing."""
    for _ in range(2):  # legends and labels move axes, which move legends
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure

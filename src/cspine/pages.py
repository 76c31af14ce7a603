"""Self-contained HTML pages: one file, no script, no network; light, dark, small screens and paper.

What a page is made of: a jinja2 template that extends ``page.html`` and uses its macros, matplotlib figures as inline
SVG that takes its colours from the page, and pictures as embedded PNG. Equal content gives equal bytes.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jinja2
import matplotlib
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from cspine.page_texts import MACROS, SKELETON, STYLE
from cspine.palette import INK, LIGHT, LINE

GREYS = 80  # of a picture: more than an eye tells apart in a slice
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: it scales, is found and read aloud
    "svg.hashsalt": "cspine",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "grid.color": LINE,
    "patch.edgecolor": INK,
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"), INK),
}


@dataclass(frozen=True)
class Table:
    """Rows under a head. Long ones are folded behind the first ``shown`` rows."""

    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""
    shown: int = 20
    most: int = 500  # rows of the page; how many more there are is said below

    @property
    def open_rows(self) -> int:
        """How many rows are not folded: a few more than ``shown``, where folding would hide no more than these."""
        return len(self.rows) if len(self.rows) <= self.shown * 3 // 2 else self.shown

    @cached_property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers only: they are set to the right."""
        columns = zip(*self.rows, strict=True) if self.rows else [() for _ in self.head]
        return [bool(cells) and all(isinstance(cell, int | float) for cell in cells) for cells in columns]


def render(template: str, **values: Any) -> str:
    """The page of a template's text. Values are escaped; a name that is not given is an error."""
    texts = {"page.html": SKELETON, "macros.html": MACROS, "template.html": template}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(texts), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["number"] = _number
    return environment.get_template("template.html").render(style=STYLE, **values)


def drawing(figure: Figure, name: str, description: str, title: str = "") -> str:
    """A figure as inline SVG in the page's colours; markup that needs no escaping.

    Args:
        figure: drawn with colours of ``cspine.palette``, inside ``drawing_style()``.
        name: of the drawing, unique in the page.
        description: what it shows, for who cannot see it.
        title: a few words that a pointer is shown; without them it is the description.
    """
    text = io.StringIO()
    with drawing_style():
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r' id="image[0-9a-f]{10}"', "", svg)  # made of its content: two equal images would have one id
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", svg)  # ids are the page's: no two may be equal
    svg = re.sub(r'^<svg [^>]*viewBox="([^"]*)"[^>]*>', _opening(name, description, title), svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r">\s+<|<!--.*?-->", lambda found: "><" if found[0].startswith(">") else "", svg)
    svg = re.sub(r' (d|x|y|transform)="[^"]*"', _shortened, svg)
    for colour, drawn in LIGHT.items():
        svg = svg.replace(drawn, f"var(--{colour})")
    return svg


def drawing_style() -> Any:
    """The context in which figures for ``drawing`` are made."""
    return matplotlib.rc_context(_STYLE)


def picture(figure: Figure, description: str, colours: Sequence[str] = ()) -> str:
    """A figure in greys and a few ``colours`` as an embedded PNG; markup that needs no escaping.

    So few colours keep the page small, and none of them is lost among the greys.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=figure.get_facecolor(), metadata={"Software": None})
    palette = Image.new("P", (1, 1))
    palette.putpalette(_shades(colours))
    image = Image.open(buffer).convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
    small = io.BytesIO()
    image.save(small, format="PNG", optimize=True)
    data = base64.b64encode(small.getvalue()).decode()
    size = 'width="{}" height="{}"'.format(*image.size)
    return f'<img src="data:image/png;base64,{data}" {size} alt="{html.escape(description)}">'


def _shades(colours: Sequence[str]) -> list[int]:
    """A PNG palette: greys, and each colour from a quarter of its light to all of it, as its edges have it."""
    greys = [round(255 * i / (GREYS - 1)) for i in range(GREYS)]
    tinted = [
        round(255 * part * share) for colour in colours for share in (0.25, 0.5, 0.75, 1.0) for part in to_rgb(colour)
    ]
    return [value for grey in greys for value in (grey, grey, grey)] + tinted


def _shortened(attribute: re.Match[str]) -> str:
    """Two decimals are a hundredth of a point: more only makes the page large."""
    return re.sub(r"(\.\d\d)\d+", r"\1", attribute[0].replace("\n", ""))


def _opening(name: str, description: str, title: str) -> str:
    said = f'<title id="{name}-title">{html.escape(title or description)}</title>'
    labels = f'aria-labelledby="{name}-title"'
    if title:
        said += f'<desc id="{name}-desc">{html.escape(description)}</desc>'
        labels += f' aria-describedby="{name}-desc"'
    return rf'<svg viewBox="\g<1>" role="img" {labels}>' + said.replace("\\", r"\\")


def _number(value: Any) -> str:
    """Whole numbers with thousands, others with what their size needs."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)

"""report.html: the chapters as one page that needs no network."""

from __future__ import annotations

from collections.abc import Sequence

from cspine.pages import render
from cspine.report import browser, cases
from cspine.report.drawn import Drawn, inline
from cspine.report.parts import Chapter, Folded, Part, kind_of
from cspine.report.template import STYLE, TEMPLATE


def report_page(title: str, tone: str, headline: str, sentences: Sequence[str], chapters: Sequence[Chapter]) -> str:
    """The page's HTML.

    Args:
        title: of the page.
        tone: good | warn | bad, of what stands on top.
        headline: what it comes to.
        sentences: what a reader has to know before anything else.
        chapters: in their order.
    """
    return render(
        TEMPLATE,
        title=title,
        tone=tone,
        headline=headline,
        sentences=sentences,
        chapters=chapters,
        kind_of=kind_of,
        inline=inline,
        styles=STYLE + cases.STYLE + browser.STYLE,
        script=browser.SCRIPT,
    )


def figures_in(chapters: Sequence[Chapter]) -> dict[str, Drawn]:
    """Every figure of the chapters by its name."""
    return {drawn.name: drawn for chapter in chapters for drawn in _figures(chapter.parts)}


def _figures(parts: Sequence[Part]) -> list[Drawn]:
    found: list[Drawn] = []
    for part in parts:
        found += [part] if isinstance(part, Drawn) else _figures(part.parts) if isinstance(part, Folded) else []
    return found

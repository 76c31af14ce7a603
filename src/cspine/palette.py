"""The colours of pages and figures: on light paper, and on dark.

A figure is drawn in the light ones; in a page each of them becomes the page's variable (``pages.drawing``), so that
dark mode and print have their own. All but paper, lines and bands have a contrast of 3 : 1 or more to their paper;
neighbours in FIRST to FOURTH and in C1 to C7 stay apart for colour-blind eyes. Nothing is said by colour alone.
"""

from __future__ import annotations

from cspine.studies import VERTEBRAE

#: name -> (on light paper, on dark)
COLOURS = {
    "ink": ("#1d2329", "#e6e9ec"),
    "paper": ("#ffffff", "#14181c"),
    "soft": ("#59636e", "#9aa5b0"),
    "line": ("#d1d9e0", "#3a434c"),
    "band": ("#f3f5f7", "#1d2329"),
    "first": ("#2f6db3", "#6ea8e6"),
    "second": ("#c9731f", "#f0a860"),
    "third": ("#00806b", "#4cc7ae"),
    "fourth": ("#7a2559", "#f3c6e2"),
    "good": ("#1a7f37", "#57c275"),
    "warn": ("#9a6700", "#e0b341"),
    "bad": ("#c62828", "#ff7b72"),
    "c1": ("#2a6fb5", "#7fb4ee"),
    "c2": ("#b8611a", "#f0a55c"),
    "c3": ("#7a5bc0", "#b8a0f5"),
    "c4": ("#7d7816", "#d8cc4c"),
    "c5": ("#0a86a5", "#5cc8ec"),
    "c6": ("#c23b55", "#ff8597"),
    "c7": ("#5d6975", "#b3bcc5"),
}
#: what is printed otherwise than on a light screen
PRINTED = {"ink": "#000000", "soft": "#444444", "line": "#bbbbbb", "band": "#ffffff", "warn": "#7a5200"}

INK, PAPER, SOFT, LINE = (COLOURS[name][0] for name in ("ink", "paper", "soft", "line"))
FIRST, SECOND, THIRD, FOURTH = (COLOURS[name][0] for name in ("first", "second", "third", "fourth"))
OF_VERTEBRA = {vertebra: COLOURS[vertebra.lower()][0] for vertebra in VERTEBRAE}

LIGHT = {name: light for name, (light, _) in COLOURS.items()}
DARK = {name: dark for name, (_, dark) in COLOURS.items()}


def variables(colours: dict[str, str]) -> str:
    """The same as CSS variables: ``--ink: #1d2329; ...``."""
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())

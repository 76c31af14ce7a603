"""The worst errors: which slice, and what drove the answer."""

from __future__ import annotations

import html

import pandas as pd

from cspine.report.cases import NOTE, Case, cases_section
from cspine.report.config import ReportConfig
from cspine.report.parts import Chapter, Heading, Markup, Part, Words

KINDS = {"false negative": "Fractures that it missed", "false positive": "Fractures that are none"}
MEANING = (
    "Vertebrae, the furthest beyond their threshold first, at most one of a study in each list. They are chosen for "
    "being wrong: "
    "they say how the method fails, not how often."
)


def worst(cases: pd.DataFrame, explained: pd.DataFrame, names: dict[str, str], config: ReportConfig) -> Chapter:
    """The cases by kind, the worst first."""
    shown = cases_section(cases, explained, names)
    parts: list[Part] = [Words(MEANING), Words(NOTE)]
    for kind, title in KINDS.items():
        own = [case for case in shown if case.kind == kind]
        parts.append(Heading(title))
        parts.append(Markup(_grid(own)) if own else Words("None."))
    return Chapter("worst", "Worst errors", parts)


def _grid(cases: list[Case]) -> str:
    return '<div class="cases">' + "".join(map(_case, cases)) + "</div>"


def _case(case: Case) -> str:
    facts = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in case.facts)
    return f"<article><h4>{html.escape(case.title)}</h4>{case.picture}<dl>{facts}</dl></article>"

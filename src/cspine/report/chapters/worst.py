"""The worst errors: which slice, and what drove the answer."""

from __future__ import annotations

import html

import pandas as pd

from cspine.report.cases import Case, cases_section
from cspine.report.config import ReportConfig
from cspine.report.parts import Chapter, Heading, Markup, Part, Words

KINDS = {"false negative": "Fractures that it missed", "false positive": "Fractures that are none"}
MEANING = (
    "Each picture is the slice in which the model is most sure of the vertebra, as the model saw it. Bright is what drives the "
    "answer: masking it weakens the answer most. It is a place to look at first, not an outline of a fracture, and a model may "
    "be right for a wrong reason."
)


def worst(cases: pd.DataFrame, explained: pd.DataFrame, names: dict[str, str], config: ReportConfig) -> Chapter:
    """The cases by kind, the worst first."""
    shown = cases_section(cases, explained, names)
    parts: list[Part] = [Words(MEANING)]
    for kind, title in KINDS.items():
        own = [case for case in shown if case.kind == kind]
        parts.append(Heading(title))
        parts.append(Markup(_grid(own)) if own else Words("None."))
    return Chapter("worst", "Worst errors", parts)


def _grid(cases: list[Case]) -> str:
    return '<div class="cases">' + "".join(map(_case, cases)) + "</div>"


def _case(case: Case) -> str:
    facts = "".join(f"<li>{html.escape(fact)}</li>" for fact in case.facts)
    return f"<article><h4>{html.escape(case.title)}</h4><figure>{case.picture}</figure><ul>{facts}</ul></article>"

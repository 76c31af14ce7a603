"""What a chapter is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from cspine.pages import Table
from cspine.report.drawn import Drawn


@dataclass(frozen=True)
class Heading:
    """A title below the chapter's."""

    text: str


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: str
    soft: bool = False  # a remark


@dataclass(frozen=True)
class Points:
    """Sentences, one below the other."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Listing:
    """Text as it stands in a file."""

    text: str


@dataclass(frozen=True)
class Markup:
    """HTML that is made elsewhere and safe as it is."""

    html: str


@dataclass(frozen=True)
class Folded:
    """Parts that are shown when asked for."""

    summary: str
    parts: Sequence[Part]


Part: TypeAlias = Heading | Words | Points | Listing | Markup | Folded | Table | Drawn


@dataclass(frozen=True)
class Chapter:
    """One chapter of the page."""

    id: str  # where a link leads to
    title: str
    parts: Sequence[Part]


def kind_of(part: Any) -> str:
    """By which the template tells the parts apart."""
    return type(part).__name__.lower()

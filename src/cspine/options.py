"""A command's options, read from the signature of its ``main``; standard library only.

    def main(output: str, configfile: list[str] | None = None, dry_run: bool = False, *rest: str) -> int | None

is called by ``OUTPUT [--configfile FILE ...] [--dry-run] [anything else ...]``. Its docstring is the help text, the
lines under ``Args:`` are the options' own.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

Main = Callable[..., int | None]


def called(main: Main, name: str, words: list[str]) -> int:
    """Call ``main`` with what the command line ``words`` say; returns its exit status."""
    parser, parameters = parser_of(main, name), inspect.signature(main).parameters.values()
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    options, others = parser.parse_known_args(words)
    if others and rest is None:
        parser.error(f"unknown: {' '.join(others)}")
    values = vars(options)
    named = [values.pop(p.name) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    return main(*named, *others, **values) or 0


def parser_of(main: Main, name: str) -> argparse.ArgumentParser:
    """The parser of a command: one option for each parameter, positional where there is no default."""
    text, helps = described(main)
    parser = argparse.ArgumentParser(
        prog=f"python -m cspine {name}", description=text, formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip
    hints = get_type_hints(main)
    for parameter in inspect.signature(main).parameters.values():
        if parameter.kind is not parameter.VAR_POSITIONAL:
            _add(parser, parameter, hints[parameter.name], helps.get(parameter.name, ""))
    return parser


def described(main: Main) -> tuple[str, dict[str, str]]:
    """The docstring up to ``Args:``, and the text of each parameter under it."""
    text, _, listed = (inspect.getdoc(main) or "").partition("\n\nArgs:\n")
    helps: dict[str, str] = {}
    name = ""
    for line in listed.splitlines():
        if line.startswith("    ") and not line.startswith("     "):
            name, _, line = line.strip().partition(":")
        helps[name] = f"{helps.get(name, '')} {line.strip()}".strip()
    return text, helps


def _add(parser: argparse.ArgumentParser, parameter: inspect.Parameter, kind: Any, text: str) -> None:
    many = any(getattr(k, "__origin__", k) is list for k in (kind, *get_args(kind)))
    text = text.replace("%", "%%")
    if parameter.default is parameter.empty:
        parser.add_argument(parameter.name, help=text)
    elif kind is bool:
        parser.add_argument(_option(parameter), action="store_true", help=text)
    elif bool in get_args(kind):  # --watch, or --watch 5
        number = next(k for k in get_args(kind) if k is not bool)
        parser.add_argument(_option(parameter), type=number, nargs="?", const=True, default=False, help=text)
    elif many:
        parser.add_argument(_option(parameter), nargs="+", action="extend", default=parameter.default, help=text)
    else:
        number = next((k for k in (kind, *get_args(kind)) if k in (int, float)), str)
        parser.add_argument(_option(parameter), type=number, default=parameter.default, help=text)


def _option(parameter: inspect.Parameter) -> str:
    return "--" + parameter.name.replace("_", "-")

"""The config a run uses: overrides, `extends:`, types, checks; a mistake stops a run before its first job."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from cspine.contradictions import contradictions
from cspine.errors import CspineError
from cspine.layers import Config, completed, extended
from cspine.schema import coerce, mistakes

MOST_ERRORS = 12
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's where PyYAML has it: seven times as fast


def complete_config(raw: Config, schema: Config, sources: dict[str, Config] | None = None) -> Config:
    """The config a run uses: ``set=`` applied, methods extended, leaves typed, everything checked.

    Args:
        raw: what Snakemake has merged from config.yaml, --configfile and --config.
        schema: workflow/schemas/config.schema.yaml as a dict.
        sources: content by file name, in the order they were merged, to say where a wrong key stands.

    Raises:
        CspineError: one line per mistake: full path, what was found, what is allowed, the nearest known key.
    """
    config = apply_overrides(copy.deepcopy(raw))
    for kind in ("methods", "localizers", "views"):
        if isinstance(config.get(kind), dict):
            config[kind] = {name: extended(config[kind], name, kind) for name in config[kind]}
    config = coerce(config, schema, schema)
    wrong = [_line(path, text, sources or {}) for path, text in mistakes(config, schema)]
    if not wrong:
        config["methods"] = {name: completed(block) for name, block in config["methods"].items()}
        wrong = [_line(path, text, sources or {}) for path, text in contradictions(config)]
    if wrong:
        more = f"\n  ... and {len(wrong) - MOST_ERRORS} more" if len(wrong) > MOST_ERRORS else ""
        raise CspineError("the configuration cannot be used:\n  " + "\n  ".join(wrong[:MOST_ERRORS]) + more)
    return config


def apply_overrides(config: Config) -> Config:
    """Apply and remove ``set``: ``a.b.c=1`` texts, several separated by blanks or commas outside brackets."""
    given = config.pop("set", None)
    if isinstance(given, (dict, list)):  # Snakemake reads values as YAML, where ": " makes a block of a text
        raise CspineError(
            f"--config set: found {given!r}, expected a text; write blocks as JSON without a blank after the colon: "
            """'set=views.slice.step_down=[{"codec":"jpeg-90"}]'"""
        )
    for assignment in _assignments(given):
        path, equals, text = assignment.partition("=")
        if not equals:
            raise CspineError(f"--config set: {assignment!r} is not of the form path.to.key=value")
        *parents, leaf = path.strip().split(".")
        block = config
        for parent in parents:
            block = block.setdefault(parent, {})
            if not isinstance(block, dict):
                raise CspineError(f"--config set: {path}: {parent} is not a block with keys")
        block[leaf] = yaml.safe_load(text)
    return config


def _assignments(given: Any) -> list[str]:
    if given is None:
        return []
    pieces, depth, piece = [], 0, ""
    for letter in str(given) + " ":
        depth += (letter in "[{") - (letter in "]}")
        if depth == 0 and letter in ", ":
            pieces.append(piece)
            piece = ""
        else:
            piece += letter
    return [p for p in pieces if p]


def _line(path: list[Any], text: str, sources: dict[str, Config]) -> str:
    place = next((name for name in reversed(sources) if _holds(sources[name], path)), None)
    return f"{place + ': ' if place else ''}{'.'.join(map(str, path))}: {text}"


def _holds(source: Any, path: list[Any]) -> bool:
    for part in path:
        inside = part in source if isinstance(source, dict) else isinstance(source, list) and part in range(len(source))
        if not inside:
            return False
        source = source[part]
    return True


def read_yaml(path: Path) -> Config:
    """A YAML file as a dict; what is not one is an error that names the file and the line."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=SAFE_LOADER)
    except FileNotFoundError:
        raise CspineError(f"{path} does not exist") from None
    except yaml.YAMLError as error:
        raise CspineError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise CspineError(f"{path}: expected keys with values, found {type(content).__name__}")
    return content

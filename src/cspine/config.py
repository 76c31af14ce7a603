"""The config a run uses: overrides, `extends:`, types, checks; a mistake stops a run before its first job."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cspine.errors import CspineError
from cspine.schema import Mistake, coerce, mistakes

Config = dict[str, Any]
MOST_ERRORS = 12


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
    if isinstance(config.get("methods"), dict):
        config["methods"] = {name: extended(config["methods"], name) for name in config["methods"]}
    config = coerce(config, schema, schema)
    wrong = [_line(path, text, sources or {}) for path, text in mistakes(config, schema)]
    if not wrong:
        wrong = [_line(path, text, sources or {}) for path, text in _contradictions(config)]
    if wrong:
        more = f"\n  ... and {len(wrong) - MOST_ERRORS} more" if len(wrong) > MOST_ERRORS else ""
        raise CspineError("the configuration cannot be used:\n  " + "\n  ".join(wrong[:MOST_ERRORS]) + more)
    return config


def apply_overrides(config: Config) -> Config:
    """Apply and remove ``set``: ``a.b.c=1`` texts, several separated by blanks or commas outside brackets."""
    given = config.pop("set", None)
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


def extended(methods: Config, name: str, seen: tuple[str, ...] = ()) -> Config:
    """The block ``name`` over the block it ``extends``, and so on; circles and unknown names are errors."""
    block = methods[name]
    parent = block.get("extends") if isinstance(block, dict) else None
    if parent is None:
        return block
    if parent not in methods or name in seen:
        why = "extends itself" if name in seen else f"extends {parent!r}; the methods are: {', '.join(sorted(methods))}"
        raise CspineError(f"methods.{name}: {why}")
    own = {k: v for k, v in block.items() if k != "extends"}
    return merged(extended(methods, parent, (*seen, name)), own)


def merged(base: Config, differences: Config) -> Config:
    """``differences`` laid over ``base``, block by block."""
    result = dict(base)
    for key, value in differences.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


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


def _contradictions(config: Config) -> Iterator[Mistake]:
    for fold in config["folds"]["run"]:
        if fold >= config["folds"]["count"]:
            yield (
                ["folds", "run"],
                f"fold {fold} does not exist: folds.count is {config['folds']['count']} (0 .. count - 1)",
            )
    if config["submission"]["method"] not in config["methods"]:
        known = ", ".join(sorted(config["methods"]))
        yield (
            ["submission", "method"],
            f"no method {config['submission']['method']!r}; the methods are: {known}",
        )
    if config["phantom"]["slices"][0] > config["phantom"]["slices"][1]:
        yield ["phantom", "slices"], f"found {config['phantom']['slices']}, expected [fewest, most]"
    for name, block in config["methods"].items():
        for role in ("teacher", "student"):
            network = merged(block, block.get(role, {})).get("network", {})
            if network.get("trainable") == "head" and network.get("weights") == "none":
                text = (
                    "head needs network.weights: a final layer on random features learns nothing; hub, a file, or all"
                )
                yield ["methods", name, "network", "trainable"], text
                break


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
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CspineError(f"{path} does not exist") from None
    except yaml.YAMLError as error:
        raise CspineError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise CspineError(f"{path}: expected keys with values, found {type(content).__name__}")
    return content

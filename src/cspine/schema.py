"""The closed schema: leaves typed as it wants them, and every departure from it as one sentence with its path."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from cspine.errors import CspineError
from cspine.family_keys import keys_of
from cspine.methods.registry import FAMILIES, module_of, unit_of

Schema = dict[str, Any]
Mistake = tuple[list[Any], str]  # where, what


def coerce(value: Any, schema: Schema, root: Schema) -> Any:
    """Types as the schema wants them: YAML 1.1 reads 1e-3, and Snakemake every nested --config value, as text."""
    schema = _resolved(schema, root)
    if isinstance(value, dict):
        return {k: coerce(v, _property(schema, k, v, root), root) for k, v in value.items()}
    if isinstance(value, list):
        return [coerce(v, schema.get("items", {}), root) for v in value]
    kinds = {s.get("type") for s in [schema, *schema.get("anyOf", [])]}
    if isinstance(value, str) and kinds & {"number", "integer", "boolean", "array"}:
        value = _from_text(value, kinds)
    if "number" in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if "integer" in kinds and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _from_text(text: str, kinds: set[Any]) -> Any:
    if kinds & {"number", "integer"}:
        try:
            return float(text) if not text.lstrip("+-").isdigit() else int(text)
        except ValueError:
            return text
    parsed = yaml.safe_load(text)
    return parsed if isinstance(parsed, bool | list) else text


def mistakes(config: dict[str, Any], schema: Schema) -> Iterator[Mistake]:
    """Where ``config`` departs from the schema: unknown keys with the nearest known one, wrong values, missing keys."""
    validator = Draft202012Validator(schema)
    yield from _explained(validator.iter_errors(config), schema, [])
    for kind in ("methods", "localizers"):
        blocks = config.get(kind)
        for name, block in blocks.items() if isinstance(blocks, dict) else ():
            if isinstance(block, dict) and block.get("family") is not None:  # else said already
                yield from _of_family(validator, schema, [kind, name], block)
    views = config.get("views")
    for name, block in views.items() if isinstance(views, dict) else ():
        if isinstance(block, dict) and block.get("kind") is not None:
            yield from _of_view(validator, schema, name, block)


def _of_view(validator: Draft202012Validator, schema: Schema, name: str, block: dict[str, Any]) -> Iterator[Mistake]:
    """Where a view's block departs from what its kind has."""
    prefix = schema["properties"]["views"]["familyPrefix"]
    kinds = [key.removeprefix(prefix) for key in schema["$defs"] if key.startswith(prefix)]
    if block["kind"] not in kinds:
        yield ["views", name, "kind"], f"no kind {block['kind']!r} of views; those are: {', '.join(kinds)}"
    elif name not in schema["properties"]["views"]["properties"]:  # those are held against their kind already
        part = validator.evolve(schema={**schema["$defs"][prefix + block["kind"]], "$defs": schema["$defs"]})
        yield from _explained(part.iter_errors(block), schema, ["views", name])


def _of_family(
    validator: Draft202012Validator, schema: Schema, path: list[Any], block: dict[str, Any]
) -> Iterator[Mistake]:
    """Where a method's or localizer's block departs from what its family has."""
    prefix = schema["properties"][path[0]].get("familyPrefix", "")
    name = f"{prefix}{block['family']}"
    try:
        module_of(block["family"])
    except CspineError as error:
        yield [*path, "family"], str(error).removeprefix("methods: ")
        return
    if name not in schema["$defs"]:
        if path[0] == "methods" and _judges(block["family"], schema):
            name = f"methods_of_{unit_of(block['family'])}"
            yield from _of_own_keys(path, block)
        else:
            known = sorted(family for family in FAMILIES if f"{prefix}{family}" in schema["$defs"])
            yield [*path, "family"], f"{block['family']} is no family of {path[0]}; those are: {', '.join(known)}"
            return
    part = validator.evolve(schema={**schema["$defs"][name], "$defs": schema["$defs"]})
    yield from _explained(part.iter_errors(block), schema, path)


def _judges(family: str, schema: Schema) -> bool:
    """Whether a family without a definition of its own is one of methods: it is none of localizers."""
    return f"localizer_{family}" not in schema["$defs"]


def _of_own_keys(path: list[Any], block: dict[str, Any]) -> Iterator[Mistake]:
    """Where network and augment depart from what the dataclasses of a family without a definition have."""
    for kind in ("network", "augment"):
        known = keys_of(block["family"], kind)
        given = block.get(kind, {})
        if known is None or not isinstance(given, dict):
            continue
        for key in given.keys() - known.keys():
            near = difflib.get_close_matches(str(key), list(known), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}? " if near else ""
            yield [*path, kind, key], f"unknown key; {hint}known here: {', '.join(sorted(known))}"
        for key in sorted(name for name, needed in known.items() if needed and name not in given):
            yield [*path, kind, key], f"missing; the family {block['family']} expects it"


def _explained(errors: Any, root: Schema, prefix: list[Any]) -> Iterator[Mistake]:
    for error in sorted(errors, key=lambda e: [str(p) for p in e.absolute_path]):
        yield from _explain(error, root, prefix + list(error.absolute_path))


def _explain(error: ValidationError, root: Schema, path: list[Any]) -> Iterator[Mistake]:
    assert isinstance(error.schema, dict)
    schema = _resolved(error.schema, root)
    instance: Any = error.instance
    wanted: Any = error.validator_value
    if error.validator == "additionalProperties":
        known = sorted(schema["properties"])
        for key in instance:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
                hint = f"did you mean {'.'.join(map(str, [*path, near[0]]))}? " if near else ""
                yield [*path, key], f"unknown key; {hint}known here: {', '.join(known)}"
    elif error.validator == "required":
        missing = [k for k in wanted if k not in instance]
        for key in missing:
            yield (
                [*path, key],
                f"missing; expected {_wanted(_resolved(schema.get('properties', {}).get(key, {}), root))}",
            )
    else:
        yield path, f"found {_shown(error.instance)}, expected {_wanted(schema)}"


def _shown(value: Any) -> str:
    kind = {str: "text", bool: "true/false", int: "integer", float: "number", list: "list", dict: "block"}
    return f"{value!r} ({kind.get(type(value), 'nothing')})"


def _wanted(schema: Schema) -> str:
    if "anyOf" in schema:
        return " or ".join(_wanted(s) for s in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    words = {
        "minimum": "at least {}",
        "maximum": "at most {}",
        "exclusiveMinimum": "above {}",
        "exclusiveMaximum": "below {}",
        "pattern": "matching {}",
        "minItems": "of at least {} items",
        "maxItems": "of at most {} items",
    }
    kind = {"integer": "an integer", "number": "a number", "string": "a text", "boolean": "true or false"}
    kind |= {"array": "a list", "object": "a block of keys"}
    limits = [text.format(schema[word]) for word, text in words.items() if word in schema]
    return " ".join([kind.get(schema.get("type", ""), "another value"), " and ".join(limits)]).strip()


def _resolved(schema: Schema, root: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    target = root
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    return {**target, **{k: v for k, v in schema.items() if k != "$ref"}}


def _of_its_unit(family: Any, schema: Schema, root: Schema) -> Schema | None:
    """The definition for a method's family that has none of its own; None where there is no such family."""
    of_methods = "familyPrefix" not in schema and family in FAMILIES
    return root["$defs"].get(f"methods_of_{unit_of(family)}") if of_methods else None


def _property(schema: Schema, key: str, value: Any, root: Schema) -> Schema:
    found = schema.get("properties", {}).get(key)
    if found is None and isinstance(schema.get("additionalProperties"), dict):
        family = value.get(schema.get("familyKey", "family")) if isinstance(value, dict) else None
        known = root["$defs"].get(f"{schema.get('familyPrefix', '')}{family}")
        found = known or _of_its_unit(family, schema, root) or schema["additionalProperties"]
    return found or {}

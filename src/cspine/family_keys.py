"""The keys that a family's own dataclasses have, read from its source: a config is checked without importing torch."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from cspine.errors import CspineError
from cspine.methods.registry import module_of

SOURCES = Path(__file__).parent.parent  #: where the package ``cspine`` lies
#: the block of a method -> the dataclass of the family's module that stands for it
CLASSES = {"network": "NetworkConfig", "augment": "AugmentConfig"}


def keys_of(family: str, block: str) -> dict[str, bool] | None:
    """The keys of a family's ``network`` or ``augment`` block, and whether each must be given; None = it has no such.

    Raises:
        CspineError: the registry names a module that is not there.
    """
    return _fields(module_of(family), CLASSES[block])


@cache
def _fields(module: str, name: str) -> dict[str, bool] | None:
    """The fields of the dataclass ``name`` of a module, or of where the module imports it from."""
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return {
                field.target.id: field.value is None
                for field in node.body
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            }
    for inner in ast.walk(_tree(module)):
        if isinstance(inner, ast.ImportFrom) and inner.module and inner.module.startswith("cspine."):
            for alias in inner.names:
                if (alias.asname or alias.name) == name:
                    return _fields(inner.module, alias.name)
    return None


@cache
def _tree(module: str) -> ast.Module:
    path = SOURCES.joinpath(*module.split(".")).with_suffix(".py")
    if not path.is_file():
        raise CspineError(f"methods/registry.py: no module {module}; expected the file src/{path.relative_to(SOURCES)}")
    return ast.parse(path.read_text(encoding="utf-8"))

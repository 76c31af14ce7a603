"""The code a stage's result depends on, as one digest.

An AST hash (comments, formatting and docstrings do not count) over the static import closure of the stage under
``src/cspine``, plus the closure of the one method module its config names. The method registry maps names to modules
as text and is left out, so adding a method changes no other method's key.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from cspine import module_memory
from cspine.methods.registry import module_of

PACKAGE = Path(__file__).parent
_known: dict[str, tuple[Path, module_memory.Facts]] = {}  # every module read so far
CANNOT_CHANGE_A_RESULT = frozenset(
    {
        "cspine.allocator",  # which memory is kept
        "cspine.budget",  # how long the session lasts
        "cspine.comparison.spent",  # seconds and memory, from the store's records: in no key
        "cspine.crew",  # which process does what
        "cspine.devices",  # where torch computes
        "cspine.errors",  # the exception's class
        "cspine.faults",  # where tests kill the process
        "cspine.gpu_pool",  # which GPU of several
        "cspine.gpus",  # the same
        "cspine.methods.registry",  # names to module paths; the module named is in the closure itself
        "cspine.pace",  # whether there is time for another step
        "cspine.pausing",  # when a stage stops, to go on later
        "cspine.peers",  # how the processes of a stage on several devices start and end
        "cspine.pools",  # how worker processes start and end
        "cspine.progress",  # lines for the person
        "cspine.runtime",  # devices, worker counts, checkpoint intervals
        "cspine.stage",  # names for Path
        "cspine.tracked",  # what it is told
        "cspine.tracking",  # Weights & Biases
    }
)


def fingerprint(stage: str, family: str | None = None) -> str:
    """12 hex digits that change when, and only when, code the stage runs has changed."""
    text = "\n".join(f"{name} {_module_digest(name)}" for name in _modules(stage, family))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def closure(module: str) -> frozenset[str]:
    """``module`` and every module of the package it imports, directly or not, also inside functions."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in seen or name in CANNOT_CHANGE_A_RESULT:
            continue
        seen.add(name)
        todo += _imports(name)
    return frozenset(seen)


def module_digests(stage: str, family: str | None = None) -> dict[str, str]:
    """Digest by module of the closure: what ``done.json`` keeps, so that one can be told which module changed."""
    return {name: _module_digest(name)[:12] for name in _modules(stage, family)}


@cache
def foreign_imports(stage: str, family: str | None = None) -> frozenset[str]:
    """The modules of other packages that the stage's code names, by their first part: ``torch``, ``cv2`` ..."""
    return foreign_to(_modules(stage, family))


def foreign_to(modules: Iterable[str]) -> frozenset[str]:
    """What these modules of the package import of others, by its first part."""
    names = [name.split(".")[0] for module in modules for name in _imported(module)]
    return frozenset(names) - {"cspine", ""}


def _modules(stage: str, family: str | None) -> list[str]:
    roots = [f"cspine.stages.{stage}"] + ([module_of(family)] if family else [])
    return sorted(set().union(*(closure(root) for root in roots)))


def _path(module: str) -> Path | None:
    parts = module.split(".")[1:]
    for path in (
        PACKAGE.joinpath(*parts).with_suffix(".py") if parts else None,
        PACKAGE.joinpath(*parts, "__init__.py"),
    ):
        if path is not None and path.is_file():
            return path
    return None


@cache
def _tree(module: str) -> ast.Module:
    path = _path(module)
    assert path is not None, module
    return ast.parse(path.read_text(encoding="utf-8"))


def remember() -> None:
    """Leave what was read of the modules to other processes of this run; see ``cspine.module_memory``."""
    module_memory.remember(_known, reader=Path(__file__))


@cache
def _read(module: str) -> module_memory.Facts:
    """The module's digest and every name it imports, in one pass."""
    path = _path(module)
    assert path is not None, module
    facts = module_memory.recall(module, path, reader=Path(__file__)) or _parsed(module)
    _known[module] = (path, facts)
    return facts


def _parsed(module: str) -> module_memory.Facts:
    pieces: list[str] = []
    imports: list[str] = []
    _dump(_tree(module), pieces, imports)
    return hashlib.sha256("\x00".join(pieces).encode()).hexdigest(), tuple(imports)


def _module_digest(module: str) -> str:
    return _read(module)[0]


def _imported(module: str) -> tuple[str, ...]:
    return _read(module)[1]


@cache
def _imports(module: str) -> list[str]:
    names = _imported(module)
    own = [n for n in names if n.split(".")[0] == "cspine"]
    parents = [".".join(n.split(".")[:i]) for n in own for i in range(1, n.count(".") + 1)]
    return [n for n in own + parents if _path(n) is not None]


def _dump(node: object, pieces: list[str], imports: list[str]) -> None:
    # Own dump instead of ast.dump(): the latter prints other text under other Python versions (empty fields), and a
    # result made under 3.11 must be found again under 3.12.
    if isinstance(node, ast.AST):
        pieces.append(type(node).__name__)
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports += _names(node)
        for name in node._fields:
            value = getattr(node, name, None)
            if name == "body" and isinstance(value, list):
                value = _without_docstring(node, value)
            if value is None or value == [] or name in ("kind", "type_comment", "type_ignores", "type_params"):
                continue
            pieces.append(name)
            _dump(value, pieces, imports)
        pieces.append(")")
    elif isinstance(node, list):
        for item in node:
            _dump(item, pieces, imports)
        pieces.append("]")
    else:
        pieces.append(repr(node))


def _names(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.module is None or node.level:
        return []
    return [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]


def _without_docstring(node: ast.AST, body: list[ast.stmt]) -> list[ast.stmt]:
    documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    if documented and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        return body[1:] if isinstance(body[0].value.value, str) else body
    return body

"""``store.key_versions``: libraries whose installed version is a reason to make a result again.

Versions are recorded with every result and are in no key, so that a notebook service's new image does not undo a week.
Those named here count, in the key of each stage whose code imports the library: naming torch trains again and reads no
CT again. A library that nothing here imports (a decoder that another library finds) counts in every key. Standard
library only.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from functools import cache

from cspine.errors import CspineError
from cspine.fingerprint import PACKAGE, foreign_imports

VARIABLE = "CSPINE_KEY_VERSIONS"  # JSON list of names, from the workflow's main process
KEY = "store.key_versions"


def announce(names: Iterable[str]) -> None:
    """Called by the workflow: jobs read the names from the environment.

    Raises:
        CspineError: one of them is not installed.
    """
    names = list(names)
    for name in names:
        _installed(name)
    os.environ[VARIABLE] = json.dumps(names)


def versions_of(stage: str, family: str | None = None) -> dict[str, str]:
    """Version by name of the libraries that count in the key of ``stage``; empty unless the config names some."""
    names: list[str] = json.loads(os.environ.get(VARIABLE, "[]"))
    return {name: _installed(name) for name in sorted(names) if _counts(name, stage, family)}


def _counts(name: str, stage: str, family: str | None) -> bool:
    modules = _modules(name)
    return bool(modules & foreign_imports(stage, family)) or not modules & _imported_anywhere()


@cache
def _installed(name: str) -> str:
    import importlib.metadata  # 15 ms that a lookup without such names does without

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        raise CspineError(
            f"{KEY}: found {name!r}, which is not installed here; expected names of installed packages as pip lists "
            "them, e.g. [torch, timm]"
        ) from None


@cache
def _modules(name: str) -> frozenset[str]:
    """The modules a package brings: ``opencv-python-headless`` brings ``cv2``."""
    import importlib.metadata

    package = importlib.metadata.distribution(name)
    listed = (package.read_text("top_level.txt") or "").split()
    if not listed:
        listed = [file.parts[0].partition(".")[0] for file in package.files or () if file.suffix in (".py", ".so")]
    return frozenset(listed)


@cache
def _imported_anywhere() -> frozenset[str]:
    text = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    return frozenset(re.findall(r"^\s*(?:import|from) (\w+)", text, re.MULTILINE))

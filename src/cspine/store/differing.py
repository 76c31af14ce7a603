"""How the record of a result differs from what the present config, code and libraries would ask for, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cspine.amounts import pairs_of
from cspine.fingerprint import fingerprint, module_digests
from cspine.hashing import canonical_json
from cspine.signature import STAGES
from cspine.store import key_versions

Block = Callable[..., dict[str, Any]]  # block(stage, **at) -> the present config block
MOST_NAMED = 4  # modules in one line


def departures(record: dict[str, Any], at: str, block: Block) -> list[str]:
    """What of the config, the code and the versions in the key is not as it was; empty when all is.

    Args:
        record: of a done.json or request.json.
        at: the wildcards to compare at; one result may serve several methods.
        block: gives the present config block; raises KeyError where it is gone.

    Raises:
        KeyError, CspineError: the present has no such method, view or stage.
    """
    stage = record["stage"]
    if not (STAGES / f"{stage}.py").is_file():
        raise KeyError(stage)
    config = block(stage, **pairs_of(at))
    family = config.get("family")
    found = []
    if canonical_json(config) != canonical_json(record["config"] or {}):
        found.append("config: " + ", ".join(differences(record["config"] or {}, config)))
    if fingerprint(stage, family) != record["code"]:
        found.append(f"code: {changed_modules(record, family)}")
    versions = key_versions.versions_of(stage, family)
    if versions != record.get("versions_in_key", {}):
        found.append("versions: " + ", ".join(differences(record.get("versions_in_key", {}), versions)))
    return found


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Leaves that differ, as ``path old -> new``."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(set(old) | set(new))
        return [d for k in keys for d in differences(old.get(k), new.get(k), f"{prefix}.{k}" if prefix else str(k))]
    return [] if old == new else [f"{prefix} {_shown(old)} -> {_shown(new)}"]


def changed_modules(record: dict[str, Any], family: str | None) -> str:
    """The modules of a stage that are not as they were when ``record`` was made, a few of them by name."""
    old, new = record.get("modules", {}), module_digests(record["stage"], family)
    names = [name for name in sorted(set(old) | set(new)) if old.get(name) != new.get(name)] if old else []
    more = f" and {len(names) - MOST_NAMED} more modules" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more if names else "not what it was"


def _shown(value: Any) -> str:
    return "(none)" if value is None else str(value)

"""What lies at the declared places at one moment, each looked at once: a shard is an input of hundreds of jobs."""

from __future__ import annotations

from pathlib import Path

from cspine.store.records import content_digest


class Contents:
    """Digests by place. For one look at a store in which nothing is written meanwhile; a job's key never asks here."""

    def __init__(self) -> None:
        self._known: dict[Path, str | None] = {}

    def at(self, path: Path) -> str | None:
        """The digest of what ``path`` leads to; None where nothing is."""
        if path not in self._known:
            self._known[path] = content_digest(path) if path.exists() else None
        return self._known[path]

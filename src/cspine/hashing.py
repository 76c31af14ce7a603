"""Digests and the seeds drawn from them: the same on every machine, Python version and hash seed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, so that equal configs give equal digests."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(*parts: Any) -> str:
    """SHA-256 (64 hex digits) of plain JSON-able values."""
    return hashlib.sha256(canonical_json(list(parts)).encode()).hexdigest()


def seed_of(*parts: Any) -> int:
    """A seed below 2**63 that is a function of the parts only, e.g. ``seed_of("augment", seed, epoch, index)``."""
    return int(digest_of(*parts)[:16], 16) >> 1


def shard_of(uid: str, shards: int) -> int:
    """The shard a study belongs to: stable when other studies come or go."""
    return int(hashlib.sha256(uid.encode()).hexdigest()[:8], 16) % shards


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes; of a folder, of its sorted relative paths and their files' digests."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return digest_of(*[[p.relative_to(path).as_posix(), file_digest(p)] for p in files])
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

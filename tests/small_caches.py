"""Caches of the tests: how their slices are encoded, as a file."""

from __future__ import annotations

from pathlib import Path

from cspine.cache.encodings import Encoding


def encoding_file(folder: Path, pixels: int, codec: str = "zstd-delta") -> Path:
    """What plan_cache would hand to ingest."""
    path = folder / f"form-{pixels}-{codec}.json"
    Encoding(pixels, codec).write(path)
    return path

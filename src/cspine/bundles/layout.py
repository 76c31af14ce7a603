"""The names of a bundle's files."""

from __future__ import annotations

MANIFEST, CONFIG, README = "bundle.json", "config.json", "README.md"


def model_name(fold: int) -> str:
    """The weights of a fold's model."""
    return f"model-fold-{fold}.safetensors"

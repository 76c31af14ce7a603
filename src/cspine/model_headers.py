"""What a file of weights says of itself in its header; read without torch, which takes seconds to import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from cspine.errors import CspineError

METADATA = "cspine"


def read_header(path: Path) -> dict[str, Any]:
    """The header alone.

    Raises:
        CspineError: the file was not written by ``write_tensors``.
    """
    try:
        with safe_open(path, framework="np") as stream:
            return json.loads((stream.metadata() or {})[METADATA])
    except (KeyError, SafetensorError):
        raise CspineError(f"{path} is not a model of cspine: its header has no {METADATA!r} entry") from None

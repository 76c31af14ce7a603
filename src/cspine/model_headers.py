"""What a file of weights says of itself in its header; read without torch, which takes seconds to import."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from cspine.errors import CspineError

METADATA = "cspine"
COUNTED_ON_THE_WAY = ("running_mean", "running_var", "num_batches_tracked")  # batch normalisation's, no weights


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


def parameters_of(path: Path) -> int:
    """How many weights a finished model has, trained or not, by the shapes its header lists.

    Raises:
        CspineError: the file was not written by ``write_tensors``.
    """
    read_header(path)
    with safe_open(path, framework="np") as stream:
        names = [name for name in stream.keys() if not name.endswith(COUNTED_ON_THE_WAY)]  # noqa: SIM118
        return sum(math.prod(stream.get_slice(name).get_shape()) for name in names)

"""How the slices of a cache are encoded: what ``plan_cache`` decides and ``ingest`` follows, as a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from cspine.cache.codecs import check_codec
from cspine.errors import CspineError

LEAST_PIXELS = 8


@dataclass(frozen=True)
class Encoding:
    """All that a size plan may choose.

    Attributes:
        pixels: side of a cached slice.
        codec: a name that ``codecs.check_codec`` knows.
    """

    pixels: int
    codec: str

    def __post_init__(self) -> None:
        check_codec(self.codec)
        if self.pixels < LEAST_PIXELS:
            raise CspineError(f"a cached slice of {self.pixels} pixels; at least {LEAST_PIXELS} are needed")

    def __str__(self) -> str:
        return f"{self.pixels} px {self.codec}"

    def write(self, path: Path) -> None:
        """Write it; equal encodings are equal bytes, so that shards made by one plan fit another."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), sort_keys=True) + "\n", encoding="utf-8")


def read_encoding(path: Path) -> Encoding:
    """What ``Encoding.write`` wrote.

    Raises:
        CspineError: the file holds something else.
    """
    try:
        return Encoding(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CspineError(f"{path}: expected the form of a cache as plan_cache writes it ({error})") from error

"""Random access to the slices of cache shards."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cspine.cache.codecs import Blob, Image, crc32, decode
from cspine.cache.shard_file import ShardFile
from cspine.cache.shards import agreed
from cspine.errors import CspineError

OPEN_FILES = 64
RECENT = 16  # decoded slices kept: read in order with their neighbours, each is decoded once and not three times


@dataclass(frozen=True)
class _Place:
    shard: int
    row: int  # of the study's first slice
    slices: int


class SliceCache:
    """Random access to cached slices: ``cache[uid, z_index]`` -> uint8 (pixels, pixels).

    Opens nothing until it is asked, so it may be handed to worker processes (fork, spawn, pickle); each opens its own
    files. A study found in several shards (the public test studies are training studies too) is read from the first.
    Errors name the shard, study and slice. What it holds in memory is bounded: 16 bytes a slice of the whole cache,
    ``RECENT`` decoded slices, and what one read brings.
    """

    _shards: list[ShardFile]
    _open: OrderedDict[int, ShardFile]  # those that may hold a descriptor, the one used last at the end
    _recent: OrderedDict[tuple[int, int], Image]  # decoded slices by shard and row
    _studies: dict[str, _Place] | None
    _metadata: dict[str, Any]

    def __init__(self, shards: Sequence[Path]) -> None:
        self.shards = [Path(s) for s in shards]
        self._studies = None

    def __getitem__(self, key: tuple[str, int]) -> Image:
        uid, z_index = key
        return self.read(uid, [z_index])[0]

    def __contains__(self, uid: object) -> bool:
        return uid in self._places()

    def read(self, uid: str, z_indices: Sequence[int] | NDArray[Any] | range) -> Image:
        """The slices ``z_indices`` of a study, in any order, uint8 (n, pixels, pixels).

        Raises:
            CspineError: no such study or slice, or its blob is damaged or cannot be read.
        """
        place = self._place(uid)
        rows = [place.row + _checked(uid, place, int(z)) for z in z_indices]
        images = self._decoded(uid, place, rows)
        return np.stack([images[row] for row in rows]) if rows else np.empty((0, self.pixels, self.pixels), np.uint8)

    def slices_of(self, uid: str) -> int:
        """How many slices of a study are cached."""
        return self._place(uid).slices

    @property
    def metadata(self) -> dict[str, Any]:
        """The footer all shards share (``shards.agreed``)."""
        self._places()
        return self._metadata

    @property
    def pixels(self) -> int:
        """Side of a cached slice."""
        return int(self.metadata["pixels"])

    @property
    def centre(self) -> float:
        """The share of a slice's side that the view shows."""
        return float(self.metadata.get("centre", 1.0))

    def __getstate__(self) -> dict[str, Any]:
        return {"shards": self.shards, "_studies": None}

    def _place(self, uid: str) -> _Place:
        try:
            return self._places()[uid]
        except KeyError:
            message = f"study {uid} is in none of the {len(self.shards)} cache shards; was it readable (findings)?"
            raise CspineError(message) from None

    def _places(self) -> dict[str, _Place]:
        if self._studies is None:
            self._shards = [ShardFile(path) for path in self.shards]
            self._open, self._recent = OrderedDict(), OrderedDict()
            self._metadata = agreed(self.shards, [shard.footer for shard in self._shards])
            studies: dict[str, _Place] = {}
            for number, shard in enumerate(self._shards):
                for uid, row, slices in shard.studies:
                    studies.setdefault(uid, _Place(number, row, slices))
            self._studies = studies
        return self._studies

    def _decoded(self, uid: str, place: _Place, rows: Sequence[int]) -> dict[int, Image]:
        """Each of ``rows``; those that were not read lately are read together and in the file's order."""
        images = {row: self._recent[place.shard, row] for row in rows if (place.shard, row) in self._recent}
        missing = sorted(set(rows) - images.keys())
        if missing:
            images |= self._read(uid, place, missing)
        for row in rows:
            self._recent[place.shard, row] = images[row]
            self._recent.move_to_end((place.shard, row))
        while len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        return images

    def _read(self, uid: str, place: _Place, rows: Sequence[int]) -> dict[int, Image]:
        shard = self._shard(place.shard)
        images = {}
        try:
            for row, blob in shard.blobs(rows):
                images[row] = self._image(blob, shard, row, f"study {uid}, z_index {row - place.row}")
        except (OSError, pa.ArrowException) as error:
            first, last = rows[0] - place.row, rows[-1] - place.row
            why = " ".join(str(error).split())  # Arrow's fill several lines
            raise _damaged(shard, f"study {uid}, z_index {first} to {last}", f"cannot be read: {why}") from error
        return images

    def _image(self, blob: Blob, shard: ShardFile, row: int, name: str) -> Image:
        if crc32(blob) != shard.checksums[row]:
            raise _damaged(shard, name, "are damaged (checksum differs)")
        try:
            return decode(blob, self._metadata["pixels"], self._metadata["codec"])
        except (ValueError, RuntimeError) as error:  # of imagecodecs
            raise _damaged(shard, name, f"are no {self._metadata['codec']}: {error}") from error

    def _shard(self, number: int) -> ShardFile:
        shard = self._open[number] = self._shards[number]
        self._open.move_to_end(number)
        if len(self._open) > OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return shard


def _checked(uid: str, place: _Place, z: int) -> int:
    if not 0 <= z < place.slices:
        raise CspineError(f"study {uid} has slices 0..{place.slices - 1} in the cache, not {z}")
    return z


def _damaged(shard: ShardFile, name: str, how: str) -> CspineError:
    return CspineError(f"{shard.path}: the pixels of {name} {how}; delete this shard's result and run again")

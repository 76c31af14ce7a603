"""Random access to the slices of cache shards."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cspine.cache.codecs import Image, decode
from cspine.cache.shards import common_metadata, crc32
from cspine.errors import CspineError

OPEN_FILES = 64
ROW_GROUPS = 16
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
    Errors name the shard, study and slice.
    """

    _files: OrderedDict[int, pq.ParquetFile]
    _groups: OrderedDict[tuple[int, int], tuple[list[int], pa.Array]]  # checksums and blobs
    _recent: OrderedDict[tuple[int, int], Image]  # decoded slices by shard and row
    _starts: dict[int, NDArray[np.int64]]  # first row of each row group, per shard
    _studies: dict[str, _Place] | None
    _metadata: dict[str, Any] | None

    def __init__(self, shards: Sequence[Path]) -> None:
        self.shards = [Path(s) for s in shards]
        self._forget()

    def __getitem__(self, key: tuple[str, int]) -> Image:
        uid, z_index = key
        return self.read(uid, [z_index])[0]

    def __contains__(self, uid: object) -> bool:
        return uid in self._places()

    def read(self, uid: str, z_indices: Sequence[int] | NDArray[Any] | range) -> Image:
        """The slices ``z_indices`` of a study, uint8 (n, pixels, pixels)."""
        place = self._place(uid)
        images = np.empty((len(z_indices), self.pixels, self.pixels), np.uint8)
        for i, z in enumerate(z_indices):
            if not 0 <= z < place.slices:
                raise CspineError(f"study {uid} has slices 0..{place.slices - 1} in the cache, not {z}")
            images[i] = self._slice(uid, place, int(z))
        return images

    def slices_of(self, uid: str) -> int:
        """How many slices of a study are cached."""
        return self._place(uid).slices

    @property
    def metadata(self) -> dict[str, Any]:
        """The footer all shards share (but for the cohort)."""
        if self._metadata is None:
            self._metadata = common_metadata(self.shards)
        return self._metadata

    @property
    def pixels(self) -> int:
        """Side of a cached slice."""
        return int(self.metadata["pixels"])

    def __getstate__(self) -> dict[str, Any]:
        return {"shards": self.shards}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.shards = state["shards"]
        self._forget()

    def _forget(self) -> None:
        self._files, self._groups, self._starts, self._recent = OrderedDict(), OrderedDict(), {}, OrderedDict()
        self._studies, self._metadata = None, None

    def _place(self, uid: str) -> _Place:
        try:
            return self._places()[uid]
        except KeyError:
            message = f"study {uid} is in none of the {len(self.shards)} cache shards; was it readable (findings)?"
            raise CspineError(message) from None

    def _places(self) -> dict[str, _Place]:
        if self._studies is None:
            studies: dict[str, _Place] = {}
            for number in range(len(self.shards)):
                for uid, row, slices in _studies_of(self._file(number)):
                    studies.setdefault(uid, _Place(number, row, slices))
            self._studies = studies
        return self._studies

    def _slice(self, uid: str, place: _Place, z: int) -> Image:
        key = place.shard, place.row + z
        if key not in self._recent:
            self._recent[key] = self._decoded(uid, place, z)
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)
        self._recent.move_to_end(key)
        return self._recent[key]

    def _decoded(self, uid: str, place: _Place, z: int) -> Image:
        starts = self._starts[place.shard]
        group = int(np.searchsorted(starts, place.row + z, side="right")) - 1
        checksums, blobs = self._group(place.shard, group)
        at = place.row + z - int(starts[group])
        blob = blobs[at].as_py()
        if crc32(blob) != checksums[at]:
            raise CspineError(
                f"{self.shards[place.shard]}: the pixels of study {uid}, z_index {z} are damaged (checksum differs);"
                " delete this shard's result and run again"
            )
        return decode(blob, self.pixels, self.metadata["codec"])

    def _group(self, shard: int, group: int) -> tuple[list[int], pa.Array]:
        key = shard, group
        if key not in self._groups:
            file = self._file(shard)
            table = file.read_row_group(group, columns=["crc32", "pixels"], use_threads=False)
            blobs = table.column("pixels").combine_chunks()
            self._groups[key] = table.column("crc32").to_pylist(), blobs
            if len(self._groups) > ROW_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]

    def _file(self, shard: int) -> pq.ParquetFile:
        if shard not in self._files:
            file = pq.ParquetFile(self.shards[shard], memory_map=False, pre_buffer=False)
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
            self._starts[shard] = np.cumsum([0, *sizes], dtype=np.int64)[:-1]
            self._files[shard] = file
            if len(self._files) > OPEN_FILES:
                self._files.popitem(last=False)[1].close()
        self._files.move_to_end(shard)
        return self._files[shard]


def _studies_of(file: pq.ParquetFile) -> Iterator[tuple[str, int, int]]:
    """(uid, first row, number of rows) of each study of a shard; its rows lie together."""
    table = file.read(columns=["StudyInstanceUID"], use_threads=False)
    uids = table.column("StudyInstanceUID").combine_chunks()
    if len(uids) == 0:
        return
    runs = pc.run_end_encode(uids)
    ends = runs.run_ends.to_pylist()
    for uid, start, end in zip(runs.values.to_pylist(), [0, *ends[:-1]], ends, strict=True):
        yield uid, start, end - start

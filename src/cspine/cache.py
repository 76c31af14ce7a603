"""The slice cache: encoded slices and their geometry in plain Parquet files, one per shard of studies.

A shard is ordinary Parquet (DuckDB and pandas read it): columns of ``slices.GEOMETRY`` and ``pixels``, rows by study
and z, small row groups so that one slice costs one short read. Its footer says under "cspine" how it was made.
"""

from __future__ import annotations

import json
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cspine.errors import CspineError
from cspine.slices import GEOMETRY

VERSION = 1  #: of the shard's layout
FOOTER = b"cspine"
ROWS_PER_GROUP = 32  # 25 us to read, while decoding one slice takes 110
OPEN_FILES = 64
ROW_GROUPS = 16
RECENT = 16  # decoded slices kept: read in order with their neighbours, each is decoded once and not three times

Image = NDArray[np.uint8]


def _encode_zstd(image: Image) -> bytes:
    return bytes(imagecodecs.zstd_encode(imagecodecs.delta_encode(image, axis=0).tobytes(), level=3))


def _decode_zstd(blob: bytes, pixels: int) -> Image:
    differences = np.frombuffer(imagecodecs.zstd_decode(blob), np.uint8)
    return np.asarray(imagecodecs.delta_decode(differences.reshape(pixels, pixels), axis=0), np.uint8)


#: name -> (encode, decode); "zstd-delta" is lossless: zstd 3 on the difference to the pixel above
CODECS: dict[str, tuple[Callable[[Image], bytes], Callable[[bytes, int], Image]]] = {
    "zstd-delta": (_encode_zstd, _decode_zstd),
}


def encode(image: Image, codec: str = "zstd-delta") -> bytes:
    """One (pixels, pixels) slice as a blob."""
    return _codec(codec)[0](image)


def decode(blob: bytes, pixels: int, codec: str = "zstd-delta") -> Image:
    """The (pixels, pixels) slice in a blob."""
    return _codec(codec)[1](blob, pixels)


def crc32(blob: bytes) -> int:
    """The checksum kept beside a blob."""
    return zlib.crc32(blob)


def write_shard(path: Path, rows: Iterable[Mapping[str, Any]], metadata: Mapping[str, Any]) -> int:
    """Write rows (the columns of ``GEOMETRY`` and ``pixels``, an encoded blob) as they come; returns their number.

    Memory holds one row group. The same rows and metadata give the same bytes.
    """
    schema = _schema().with_metadata({FOOTER: json.dumps(dict(metadata), sort_keys=True).encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    options = {"compression": "NONE", "use_dictionary": False, "write_statistics": False}
    with pq.ParquetWriter(path, schema, **options) as writer:
        remaining = iter(rows)
        while group := list(islice(remaining, ROWS_PER_GROUP)):
            columns = [pa.array([row[name] for row in group], schema.field(name).type) for name in schema.names]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=ROWS_PER_GROUP)
            count += len(group)
    return count


def read_metadata(path: Path) -> dict[str, Any]:
    """How a shard was made, from its footer: view, cohort, pixels, window_center, window_width, codec, version."""
    found = pq.read_schema(path).metadata or {}
    if FOOTER not in found:
        raise CspineError(f"{path} is not a cache shard: its footer has no '{FOOTER.decode()}'; make it again (ingest)")
    return dict(json.loads(found[FOOTER]))


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


def common_metadata(shards: Sequence[Path]) -> dict[str, Any]:
    """The footer of the shards without their cohort; a CspineError names the first one made in another way."""
    if not shards:
        raise CspineError("no cache shard was given")
    common: dict[str, Any] = {}
    for path in shards:
        found = read_metadata(path)
        found.pop("cohort", None)
        if not common:
            common = found
        if found != common:
            keys = sorted(k for k in {*found, *common} if found.get(k) != common.get(k))
            differ = ", ".join(f"{k} {found.get(k)} instead of {common.get(k)}" for k in keys)
            raise CspineError(f"{path} was made in another way than {shards[0]}: {differ}; run ingest again for both")
    if common.get("version") != VERSION:
        raise CspineError(
            f"{shards[0]} has layout version {common.get('version')}, this code reads {VERSION}; run ingest"
        )
    return common


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


def _schema() -> pa.Schema:
    kinds = {"str": pa.string(), "bool": pa.bool_()}
    fields = [pa.field(n, kinds.get(k) or pa.type_for_alias(k), nullable=False) for n, k in GEOMETRY.items()]
    return pa.schema([*fields, pa.field("pixels", pa.binary(), nullable=False)])


def _codec(name: str) -> tuple[Callable[[Image], bytes], Callable[[bytes, int], Image]]:
    if name not in CODECS:
        raise CspineError(f"no cache codec '{name}'; there are {', '.join(CODECS)}")
    return CODECS[name]

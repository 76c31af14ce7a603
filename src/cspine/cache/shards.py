"""A cache shard: encoded slices and their geometry in a plain Parquet file, written row group by row group.

A shard is ordinary Parquet (DuckDB and pandas read it): columns of ``slices.GEOMETRY`` and ``pixels``, rows by study
and z, small row groups so that one slice costs one short read. Its footer says under "cspine" how it was made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cspine.cache.codecs import check_codec, crc32, encoder
from cspine.errors import CspineError
from cspine.slices import GEOMETRY

__all__ = ["VERSION", "common_metadata", "crc32", "open_shard", "read_metadata", "write_shard"]

VERSION = 1  #: of the shard's layout
FOOTER = b"cspine"
ROWS_PER_GROUP = 32  # what is read at the first touch: 0.5 MB at 256 pixels, 1 ms from a disk of 500 MB/s
OWN = ("cohort", "encoder", "resampler")  # keys of the footer in which shards of one cache may differ


def write_shard(path: Path, rows: Iterable[Mapping[str, Any]], metadata: Mapping[str, Any]) -> int:
    """Write rows (the columns of ``GEOMETRY`` and ``pixels``, an encoded blob) as they come; returns their number.

    Memory holds one row group. The same rows and metadata give the same bytes with the same versions of Arrow, which
    writes its own into the file, and of the encoder.

    Args:
        metadata: how the blobs were made: view, cohort, pixels, centre, window_center, window_width, codec. The footer
            says besides which layout this is and what encoded (``version``, ``encoder``).
    """
    check_codec(metadata["codec"])
    # The encoder's version is content although no library's version is in a key: another encoder may write other blobs
    # anyway, so nothing that could stay equal becomes different. Whoever looks at a JPEG wants to know.
    footer = {**metadata, "version": VERSION, "encoder": encoder()}
    schema = _schema().with_metadata({FOOTER: json.dumps(footer, sort_keys=True).encode()})
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


def open_shard(path: Path) -> pq.ParquetFile:
    """A shard as Arrow reads it; read into memory it is given back, and never mapped: a map counts as the process's."""
    try:
        return pq.ParquetFile(path, memory_map=False, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        raise CspineError(
            f"{path} cannot be read as a cache shard ({error}); delete this shard's result and run again"
        ) from error


def read_metadata(path: Path) -> dict[str, Any]:
    """How a shard was made, from its footer: what ``write_shard`` was told, layout version and encoder."""
    with open_shard(path) as file:
        return metadata_of(path, file)


def metadata_of(path: Path, file: pq.ParquetFile) -> dict[str, Any]:
    """The same of a shard that is open."""
    found = file.schema_arrow.metadata or {}
    if FOOTER not in found:
        raise CspineError(f"{path} is not a cache shard: its footer has no '{FOOTER.decode()}'; make it again (ingest)")
    return dict(json.loads(found[FOOTER]))


def common_metadata(shards: Sequence[Path]) -> dict[str, Any]:
    """The footer that the shards share; a CspineError names the first one made in another way."""
    return agreed(shards, map(read_metadata, shards))


def agreed(shards: Sequence[Path], footers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the ``footers`` of ``shards`` share: all but cohort and the libraries that made them.

    Raises:
        CspineError: no shard, shards made in different ways, or of a layout or codec that this code does not know.
    """
    if not shards:
        raise CspineError("no cache shard was given")
    common: dict[str, Any] = {}
    for path, footer in zip(shards, footers, strict=True):
        found = {key: value for key, value in footer.items() if key not in OWN}
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
    check_codec(common["codec"])
    return common


def _schema() -> pa.Schema:
    kinds = {"str": pa.string(), "bool": pa.bool_()}
    fields = [pa.field(n, kinds.get(k) or pa.type_for_alias(k), nullable=False) for n, k in GEOMETRY.items()]
    return pa.schema([*fields, pa.field("pixels", pa.binary(), nullable=False)])

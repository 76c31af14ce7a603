"""A cache shard: encoded slices and their geometry in a plain Parquet file, written row group by row group.

A shard is ordinary Parquet (DuckDB and pandas read it): columns of ``slices.GEOMETRY`` and ``pixels``, rows by study
and z, small row groups so that one slice costs one short read. Its footer says under "cspine" how it was made.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cspine.errors import CspineError
from cspine.slices import GEOMETRY

VERSION = 1  #: of the shard's layout
FOOTER = b"cspine"
ROWS_PER_GROUP = 32  # 25 us to read, while decoding one slice takes 110


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


def crc32(blob: bytes) -> int:
    """The checksum kept beside a blob."""
    return zlib.crc32(blob)


def read_metadata(path: Path) -> dict[str, Any]:
    """How a shard was made, from its footer: view, cohort, pixels, window_center, window_width, codec, version."""
    found = pq.read_schema(path).metadata or {}
    if FOOTER not in found:
        raise CspineError(f"{path} is not a cache shard: its footer has no '{FOOTER.decode()}'; make it again (ingest)")
    return dict(json.loads(found[FOOTER]))


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


def _schema() -> pa.Schema:
    kinds = {"str": pa.string(), "bool": pa.bool_()}
    fields = [pa.field(n, kinds.get(k) or pa.type_for_alias(k), nullable=False) for n, k in GEOMETRY.items()]
    return pa.schema([*fields, pa.field("pixels", pa.binary(), nullable=False)])

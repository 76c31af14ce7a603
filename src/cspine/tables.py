"""Reading and writing tables: the same rows give the same bytes (fixed row groups, no pandas index, zstd)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cspine.errors import CspineError

ROWS_PER_GROUP = 65_536


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write ``table`` as Parquet. String columns become utf-8 under every pandas version, so digests agree."""
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    schema = pa.schema([pa.field(f.name, _plain(f.type)) for f in arrow.schema])
    arrow = arrow.cast(schema).replace_schema_metadata(None)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(arrow, path, compression="zstd", row_group_size=ROWS_PER_GROUP, write_statistics=False)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a Parquet table; a missing column is an error that names the file and the column."""
    file = pq.ParquetFile(path)
    missing = [c for c in columns or [] if c not in file.schema_arrow.names]
    if missing:
        raise CspineError(f"{path}: no column {', '.join(missing)}; it has {', '.join(file.schema_arrow.names)}")
    return file.read(columns=list(columns) if columns is not None else None).to_pandas()


def _plain(kind: pa.DataType) -> pa.DataType:
    # pandas 3 writes large_string where pandas 2.2 writes string; an empty object column has type null
    if pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return pa.string()
    return kind

"""One shard, open for reading: its studies, checksums and blobs, of which one is a single short read."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cspine.cache.offsets import OtherLayoutError, plain_chunks, value_spans
from cspine.cache.shards import metadata_of, open_shard
from cspine.studies import UID

BLOBS = "pixels"
UNKNOWN = -1  # where a blob lies whose row group was not read yet


class ShardFile:
    """A shard's footer, studies and checksums, and its blobs by row.

    Of Parquet's own metadata only the places of the row groups are kept: all of it would be 3 kB a group, in every
    process that reads. A group's first blob costs one read of the group, which is walked for where its blobs lie; from
    then on a blob, or neighbours of one group, cost one read of just their bytes. What cannot be walked is read by
    Arrow, a row group at a time.

    Attributes:
        footer: how it was made (``shards.read_metadata``).
        studies: (uid, first row, slices) of each study; its rows lie together.
        checksums: crc32 of each blob, (rows,).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_shard(path) as file:
            self.footer = metadata_of(path, file)
            groups = file.metadata
            sizes = [groups.row_group(g).num_rows for g in range(groups.num_row_groups)]
            self._group_starts = [0, *accumulate(sizes)]  # one more, the end
            self._chunks = plain_chunks(groups, BLOBS)
            table = file.read(columns=[UID, "crc32"], use_threads=False)
        self.studies = list(_runs(table.column(UID)))
        self.checksums: NDArray[np.uint32] = table.column("crc32").to_numpy().astype(np.uint32)
        self._starts, self._stops = (array("q", [UNKNOWN]) * len(self.checksums) for _ in range(2))  # of each blob
        self._descriptor: int | None = None
        self._parquet: pq.ParquetFile | None = None
        self._last: tuple[int, pa.Array] | None = None  # the row group that Arrow read last

    def blobs(self, rows: Sequence[int]) -> Iterator[tuple[int, memoryview]]:
        """(row, blob) of each of ``rows``, which rise. Neighbours come with one read.

        Raises:
            OSError, pyarrow.ArrowException: the file is cut short, gone, or damaged outside the blobs.
        """
        for group, first, last in _runs_in_groups(rows, self._group_starts):
            if self._chunks is None:
                yield from self._by_arrow(group, first, last)
            elif self._starts[first] != UNKNOWN:
                yield from self._read(first, last)
            else:
                yield from self._first_read(group, first, last)

    def close(self) -> None:
        """Give the file's descriptor back; what is known of the file stays, and the next read opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        if self._parquet is not None:
            self._parquet.close()
        self._descriptor = self._parquet = self._last = None

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):  # it could be opened at all
            self.close()

    def _read(self, first: int, last: int) -> Iterator[tuple[int, memoryview]]:
        start = self._starts[first]
        data = memoryview(self._bytes(start, self._stops[last] - start))
        for row in range(first, last + 1):
            yield row, data[self._starts[row] - start : self._stops[row] - start]

    def _first_read(self, group: int, first: int, last: int) -> Iterator[tuple[int, memoryview]]:
        assert self._chunks is not None
        chunk_start, size = self._chunks[group]
        begin, end = self._group_starts[group : group + 2]
        data = self._bytes(chunk_start, size)
        try:
            spans = value_spans(data, end - begin)
        except OtherLayoutError:
            yield from self._by_arrow(group, first, last)
            return
        for row, (start, stop) in enumerate(spans, begin):
            self._starts[row], self._stops[row] = chunk_start + start, chunk_start + stop
        for row in range(first, last + 1):
            yield row, memoryview(data)[slice(*spans[row - begin])]

    def _by_arrow(self, group: int, first: int, last: int) -> Iterator[tuple[int, memoryview]]:
        if self._last is None or self._last[0] != group:
            if self._parquet is None:
                self._parquet = open_shard(self.path)
            table = self._parquet.read_row_group(group, columns=[BLOBS], use_threads=False)
            self._last = group, table.column(BLOBS).combine_chunks()
        begin = self._group_starts[group]
        for row in range(first, last + 1):
            yield row, memoryview(self._last[1][row - begin].as_py())

    def _bytes(self, start: int, size: int) -> bytes:
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        data = os.pread(self._descriptor, size, start)
        if len(data) != size:
            raise OSError(f"it ends at byte {start + len(data)}, where {size} bytes from {start} were expected")
        return data


def _runs_in_groups(rows: Sequence[int], starts: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(row group, first row, last row) of each run of neighbouring rows of one group."""
    at = 0
    while at < len(rows):
        first = last = rows[at]
        group = bisect_right(starts, first) - 1
        at += 1
        while at < len(rows) and rows[at] == last + 1 < starts[group + 1]:
            last += 1
            at += 1
        yield group, first, last


def _runs(uids: pa.ChunkedArray) -> Iterator[tuple[str, int, int]]:
    """(uid, first row, rows) of each run of one study."""
    if len(uids) == 0:
        return
    runs: Any = pc.run_end_encode(uids.combine_chunks())
    ends = runs.run_ends.to_pylist()
    for uid, start, end in zip(runs.values.to_pylist(), [0, *ends[:-1]], ends, strict=True):
        yield uid, start, end - start

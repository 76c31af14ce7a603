"""Where the values of a Parquet column lie, so that one can be read by itself and not with its row group.

Parquet says where a column chunk begins and how long it is, not where a value in it lies. But in a required column of
bytes that is neither compressed nor a dictionary, a chunk is pages, a page a header and its values, and a value its
length (4 bytes, least significant first) and its bytes. So one walk over a chunk finds them all. Whatever is not
exactly so raises ``OtherLayoutError``, and the chunk is read by Arrow instead.

Source: Apache Parquet format 2.11, "Data Pages", "Encodings: Plain", and parquet.thrift (PageHeader); Thrift's compact
protocol, in which the headers are written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

DATA_PAGE, PLAIN = 0, 0  # parquet.thrift: PageType, Encoding
TRUE, FALSE, I16, I32, I64, BINARY, STRUCT = 1, 2, 4, 5, 6, 8, 12  # Thrift's compact types
Header = dict[int, Any]  # field number -> value, or the header of a struct


class OtherLayoutError(Exception):
    """Not the layout that can be walked; says nothing about whether the file is well."""


def plain_chunks(metadata: pq.FileMetaData, column: str) -> list[tuple[int, int]] | None:
    """(start, bytes) of the column's chunk in each row group; None if its values cannot be walked."""
    number = metadata.schema.names.index(column)
    kind = metadata.schema.column(number)
    if kind.physical_type != "BYTE_ARRAY" or kind.max_definition_level or kind.max_repetition_level:
        return None  # a null or a list puts levels before the values
    chunks = [metadata.row_group(g).column(number) for g in range(metadata.num_row_groups)]
    if any(c.compression != "UNCOMPRESSED" or c.has_dictionary_page for c in chunks):
        return None
    return [(c.data_page_offset, c.total_compressed_size) for c in chunks]


def value_spans(chunk: bytes, values: int) -> list[tuple[int, int]]:
    """(start, stop) in ``chunk`` of each of its values.

    Raises:
        OtherLayoutError: the chunk is not ``values`` values, whole, in plain pages.
    """
    spans: list[tuple[int, int]] = []
    try:
        for start, stop, count in _pages(chunk):
            at = start
            for _ in range(count):
                if at + 4 > stop:
                    raise OtherLayoutError("a page ends within a value")
                begin = at + 4
                at = begin + int.from_bytes(chunk[at:begin], "little")
                spans.append((begin, at))
            if at != stop:
                raise OtherLayoutError("a page's values do not fill it")
    except (IndexError, KeyError, TypeError, RecursionError) as error:
        raise OtherLayoutError("a page header that breaks off or lacks a field") from error
    if len(spans) != values:
        raise OtherLayoutError(f"{len(spans)} values where {values} were expected")
    return spans


def _pages(chunk: bytes) -> Iterator[tuple[int, int, int]]:
    """(start, end, values) of the pages of a chunk."""
    at = 0
    while at < len(chunk):
        header, start = _struct(chunk, at)
        kind, size, stored, page = header[1], header[2], header[3], header[5]
        at = start + stored
        if kind != DATA_PAGE or page[2] != PLAIN or size != stored or page[1] < 0 or not start <= at <= len(chunk):
            raise OtherLayoutError("a page of another kind or size")
        yield start, at, page[1]


def _struct(data: bytes, at: int) -> tuple[Header, int]:
    """A struct of Thrift's compact protocol, and where it ends; the bytes of text are left out."""
    header: Header = {}
    field = 0
    while data[at]:
        field, kind, at = _field(data, at, field)
        if kind in (TRUE, FALSE):
            header[field] = kind == TRUE
        elif kind in (I16, I32, I64):
            value, at = _varint(data, at)
            header[field] = (value >> 1) ^ -(value & 1)  # zigzag: 0, -1, 1, -2, ...
        elif kind == BINARY:
            length, at = _varint(data, at)
            at += length
        elif kind == STRUCT:
            header[field], at = _struct(data, at)
        else:
            raise OtherLayoutError(f"a field of Thrift type {kind} in a page header")
    return header, at + 1


def _field(data: bytes, at: int, before: int) -> tuple[int, int, int]:
    """(number, type, where its value begins): mostly one byte, of which half is the step from the field before."""
    step, kind = data[at] >> 4, data[at] & 15
    if step:
        return before + step, kind, at + 1
    number, at = _varint(data, at + 1)
    return (number >> 1) ^ -(number & 1), kind, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where it ends."""
    value = 0
    for shift in range(0, 64, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise OtherLayoutError("a number of more than 64 bits in a page header")

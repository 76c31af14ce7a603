"""Where the values of a Parquet column lie: found exactly, or not at all."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cspine.cache.offsets import OtherLayoutError, plain_chunks, value_spans

PLAIN: dict[str, Any] = {"compression": "none", "use_dictionary": False}


def written(values: list[bytes], nullable: bool = False, **options: Any) -> bytes:
    schema = pa.schema([pa.field("number", pa.int32()), pa.field("value", pa.binary(), nullable=nullable)])
    table = pa.table([range(len(values)), values], schema=schema)
    stream = BytesIO()
    pq.write_table(table, stream, **(PLAIN | options))
    return stream.getvalue()


def chunks_of(file: bytes) -> list[tuple[int, int]] | None:
    return plain_chunks(pq.read_metadata(BytesIO(file)), "value")


@given(
    values=st.lists(st.binary(max_size=300), min_size=1, max_size=60),
    group=st.integers(1, 60),
    page=st.sampled_from([1, 200, 5000]),
    batch=st.integers(1, 20),
    statistics=st.booleans(),
    checksum=st.booleans(),
)
def test_every_value_is_found_in_whatever_pages(
    values: list[bytes], group: int, page: int, batch: int, statistics: bool, checksum: bool
) -> None:
    options: dict[str, Any] = {"row_group_size": group, "data_page_size": page, "write_batch_size": batch}
    file = written(values, write_statistics=statistics, write_page_checksum=checksum, **options)
    chunks = chunks_of(file)
    assert chunks is not None
    found = []
    for number, (start, size) in enumerate(chunks):
        chunk = file[start : start + size]
        found += [chunk[a:b] for a, b in value_spans(chunk, min(group, len(values) - number * group))]
    assert found == values


@pytest.mark.parametrize(
    "options", [{"compression": "snappy"}, {"use_dictionary": True}, {"nullable": True}, {"compression": "zstd"}]
)
def test_other_columns_are_not_walked(options: dict[str, Any]) -> None:
    assert chunks_of(written([b"a", b"a", b"b"], **options)) is None


@pytest.mark.parametrize(
    "options", [{"data_page_version": "2.0"}, {"column_encoding": {"value": "DELTA_LENGTH_BYTE_ARRAY"}}]
)
def test_other_pages_are_not_walked(options: dict[str, Any]) -> None:
    file = written([b"first", b"second"], **options)
    [(start, size)] = chunks_of(file) or []
    with pytest.raises(OtherLayoutError):
        value_spans(file[start : start + size], 2)


def test_another_number_of_values_is_not_what_was_asked_for() -> None:
    file = written([b"first", b"second"])
    [(start, size)] = chunks_of(file) or []
    for count in (1, 3):
        with pytest.raises(OtherLayoutError, match=f"2 values where {count} were expected"):
            value_spans(file[start : start + size], count)


@given(st.data())
def test_damage_is_found_or_leads_nowhere_outside(data: st.DataObject) -> None:
    file = written([bytes([i]) * 20 for i in range(10)], data_page_size=60, write_batch_size=2)
    [(start, size)] = chunks_of(file) or []
    chunk = bytearray(file[start : start + size])
    for _ in range(data.draw(st.integers(1, 4))):
        chunk[data.draw(st.integers(0, size - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(chunk[: data.draw(st.integers(0, size))])
    try:
        spans = value_spans(cut, 10)
    except OtherLayoutError:
        return
    assert len(spans) == 10 and all(0 <= a <= b <= len(cut) for a, b in spans)

"""The slice cache: what is written comes back, from any process, and damage is named."""

from __future__ import annotations

import json
import os
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from cspine.cache import reading, shards
from cspine.cache.codecs import crc32, decode, encode, encoder
from cspine.cache.reading import SliceCache
from cspine.cache.shards import VERSION, common_metadata, read_metadata, write_shard
from cspine.crew import Task, shared_out
from cspine.errors import CspineError

PIXELS = 16
HOW: dict[str, Any] = {"view": "slice", "cohort": "train", "pixels": PIXELS, "centre": 1.0, "codec": "zstd-delta"}
HOW |= {"window_center": 400.0, "window_width": 2000.0}


def slice_of(uid: str, z: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng([len(uid), ord(uid[-1]), z])
    return rng.integers(0, 256, (PIXELS, PIXELS)).astype(np.uint8)


def rows_of(*studies: tuple[str, int], codec: str = "zstd-delta") -> list[dict[str, Any]]:
    geometry = {"slice_number": 7, "position": 1.5, "rows": 20, "columns": 30, "row_spacing": 0.4}
    geometry |= {"column_spacing": 0.5, "reversed": False}
    rows = []
    for uid, slices in studies:
        for z in range(slices):
            blob = encode(slice_of(uid, z), codec)
            row = {"StudyInstanceUID": uid, "z_index": z, "crc32": crc32(blob), "pixels": blob}
            rows.append(row | geometry)
    return rows


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "shard-0.parquet"
    assert write_shard(path, iter(rows_of(("a", 40), ("b", 1), ("c", 30))), HOW) == 71
    return path


def test_every_cached_slice_is_read_back(shard: Path) -> None:
    slices = SliceCache([shard])
    for uid, z in (("c", 29), ("a", 0), ("a", 31), ("a", 32), ("b", 0), ("c", 0)):
        assert np.array_equal(slices[uid, z], slice_of(uid, z))
    stack = slices.read("a", [39, 0, 0])
    assert stack.shape == (3, PIXELS, PIXELS)
    assert np.array_equal(stack, np.stack([slice_of("a", z) for z in (39, 0, 0)]))
    assert slices.slices_of("a") == 40 and "b" in slices and "d" not in slices


def test_nothing_is_opened_before_it_is_asked_for(tmp_path: Path) -> None:
    slices = SliceCache([tmp_path / "later.parquet"])
    write_shard(tmp_path / "later.parquet", rows_of(("a", 2)), HOW)
    assert np.array_equal(slices["a", 1], slice_of("a", 1))


def test_a_cache_in_use_is_read_by_a_process_of_its_own(shard: Path) -> None:
    slices = SliceCache([shard])
    assert slices.pixels == PIXELS and slices["a", 3] is not None
    assert len(pickle.dumps(slices)) < 1000  # where the shards lie, and nothing that was read
    with shared_out([("c", [5, 4])], Task(_read, slices), 1) as stacks:
        assert np.array_equal(next(stacks), slices.read("c", [5, 4]))


def _read(wanted: tuple[str, list[int]], slices: SliceCache) -> np.ndarray:
    return slices.read(*wanted)


def test_neighbours_come_with_one_read_of_their_bytes(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slices, reads = SliceCache([shard]), reads_of(monkeypatch)
    blobs = {row["z_index"]: len(row["pixels"]) for row in rows_of(("a", 40))}
    assert slices["a", 10] is not None and len(reads) == 1  # of the row group, to see what lies where
    reads.clear()
    for wanted in ([4, 5, 6], [20, 18, 19, 20]):
        assert np.array_equal(slices.read("a", wanted), np.stack([slice_of("a", z) for z in wanted]))
    assert reads == [sum(blobs[z] + 4 for z in wanted) - 4 for wanted in ((4, 5, 6), (18, 19, 20))]
    reads.clear()
    assert slices.read("a", [0, 5, 9]) is not None and len(reads) == 2  # 5 is remembered, 0 and 9 lie apart
    assert slices.read("a", [30, 31, 32, 33]) is not None and len(reads) == 4  # two row groups


def test_slices_read_in_order_with_their_neighbours_are_decoded_once(
    shard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices, decoded = SliceCache([shard]), []

    def counted(*given: Any) -> NDArray[np.uint8]:
        decoded.append(given)
        return decode(*given)

    monkeypatch.setattr(reading, "decode", counted)
    for z in range(40):
        slices.read("a", np.arange(z - 2, z + 3).clip(0, 39))
    assert len(decoded) == 40
    everything = slices.read("a", range(40))  # more than are remembered
    assert np.array_equal(everything[[0, 39]], np.stack([slice_of("a", 0), slice_of("a", 39)]))


def test_what_is_read_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "OPEN_FILES", 2)
    paths = [tmp_path / f"shard-{n}.parquet" for n in range(4)]
    for n, path in enumerate(paths):
        write_shard(path, rows_of((f"study-{n}", 40)), HOW)
    caches, random = [SliceCache(paths)], np.random.default_rng(0)

    def read(times: int) -> int:
        for n, z in random.integers([4, 40], size=(times, 2)).tolist():
            assert np.array_equal(caches[0][f"study-{n}", z], slice_of(f"study-{n}", z))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        at_first, later = read(500), read(2000)
    finally:
        tracemalloc.stop()
    assert later - at_first < 4 * PIXELS**2
    assert files_held(tmp_path) <= 2
    caches.clear()
    assert files_held(tmp_path) == 0


def test_a_damaged_blob_names_shard_study_and_slice(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    at = content.index(encode(slice_of("c", 3)))
    content[at + 20] ^= 1
    shard.write_bytes(content)
    slices = SliceCache([shard])
    assert np.array_equal(slices["c", 2], slice_of("c", 2))
    with pytest.raises(CspineError, match=r"shard-0.parquet.*study c, z_index 3"):
        slices["c", 3]


def test_a_damaged_page_header_is_left_to_arrow_and_then_named(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    at = pq.read_metadata(shard).row_group(0).column(10).data_page_offset
    content[at + 1] ^= 0xFF
    shard.write_bytes(content)
    slices = SliceCache([shard])
    assert np.array_equal(slices["c", 2], slice_of("c", 2))  # of another row group
    with pytest.raises(CspineError, match=r"shard-0.parquet.*study a, z_index 3 to 5.*cannot be read.*run again"):
        slices.read("a", [3, 5])


def test_a_blob_that_is_whole_but_no_slice_of_this_size_is_named(tmp_path: Path) -> None:
    write_shard(tmp_path / "s.parquet", rows_of(("a", 2)), HOW | {"pixels": PIXELS + 1})
    with pytest.raises(
        CspineError, match=r"s\.parquet.*study a, z_index 1 are no zstd-delta: 256 pixels where 17 x 17"
    ):
        SliceCache([tmp_path / "s.parquet"])["a", 1]


def test_a_shard_that_is_cut_short_is_named(shard: Path) -> None:
    whole = shard.read_bytes()
    slices = SliceCache([shard])
    assert np.array_equal(slices["a", 0], slice_of("a", 0))
    shard.write_bytes(whole[: len(whole) // 2])  # while it is open
    with pytest.raises(CspineError, match=r"shard-0.parquet.*study c, z_index 29.*ends at byte \d+"):
        slices["c", 29]
    for size in (0, 100, len(whole) // 2, len(whole) - 1):
        shard.write_bytes(whole[:size])
        for opened in (lambda: SliceCache([shard])["a", 0], lambda: read_metadata(shard)):
            with pytest.raises(CspineError, match=r"shard-0.parquet cannot be read as a cache shard"):
                opened()


def test_unknown_studies_and_slices_are_named(shard: Path) -> None:
    slices = SliceCache([shard])
    with pytest.raises(CspineError, match="study nobody"):
        slices["nobody", 0]
    with pytest.raises(CspineError, match=r"study a has slices 0\.\.39 .* not 40"):
        slices["a", 40]
    with pytest.raises(CspineError, match="not -1"):
        slices["a", -1]


def test_a_study_of_two_shards_is_read_from_the_first(tmp_path: Path) -> None:
    first, second = tmp_path / "1.parquet", tmp_path / "2.parquet"
    write_shard(first, rows_of(("a", 3)), HOW)
    write_shard(second, rows_of(("a", 2)), HOW | {"cohort": "test"})
    assert SliceCache([first, second]).slices_of("a") == 3


def test_shards_of_different_views_are_refused_by_name(tmp_path: Path, shard: Path) -> None:
    other = tmp_path / "other.parquet"
    write_shard(other, [], HOW | {"pixels": 32})
    with pytest.raises(CspineError, match=r"other\.parquet.*pixels 32 instead of 16"):
        common_metadata([shard, other])
    assert "cohort" not in common_metadata([shard])


def test_a_shard_is_plain_parquet_in_small_row_groups(shard: Path) -> None:
    file = pq.ParquetFile(shard)
    assert [file.metadata.row_group(i).num_rows for i in range(3)] == [32, 32, 7]
    pixels = file.metadata.row_group(0).column(file.schema_arrow.names.index("pixels"))
    assert pixels.compression == "UNCOMPRESSED" and "DICTIONARY" not in str(pixels.encodings)
    table = file.read()
    assert json.loads(table.schema.metadata[b"cspine"]) == read_metadata(shard)
    kinds = {f.name: str(f.type) for f in table.schema}
    assert kinds["z_index"] == kinds["slice_number"] == "int32" and kinds["rows"] == "int16"
    assert kinds["crc32"] == "uint32" and kinds["position"] == "float" and kinds["reversed"] == "bool"


def test_a_shard_says_what_it_was_made_with(shard: Path) -> None:
    assert read_metadata(shard) == HOW | {"version": VERSION, "encoder": encoder()}
    assert encoder().startswith("imagecodecs 2")


def test_shards_of_several_encoders_are_one_cache_and_those_of_several_layouts_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / name for name in ("old.parquet", "new.parquet", "later.parquet")]
    for path, uid, written_by in zip(paths, "abc", ("imagecodecs 2024.9.22", "imagecodecs 2030.1.1", "x"), strict=True):
        monkeypatch.setattr(shards, "encoder", lambda written_by=written_by: written_by)
        monkeypatch.setattr(shards, "VERSION", VERSION + (uid == "c"))
        write_shard(path, rows_of((uid, 3)), HOW)
    monkeypatch.undo()
    both = SliceCache(paths[:2])
    assert np.array_equal(both["a", 2], slice_of("a", 2)) and np.array_equal(both["b", 1], slice_of("b", 1))
    assert "encoder" not in both.metadata and read_metadata(paths[0])["encoder"] == "imagecodecs 2024.9.22"
    with pytest.raises(CspineError, match=r"later\.parquet has layout version 2, this code reads 1; run ingest"):
        SliceCache(paths[2:]).slices_of("c")


def test_the_footer_names_the_codec_by_which_slices_are_read(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    write_shard(path, rows_of(("a", 3), codec="jpeg-100"), HOW | {"codec": "jpeg-100"})
    assert np.abs(SliceCache([path])["a", 1].astype(int) - slice_of("a", 1)).max() <= 2
    with pytest.raises(CspineError, match=r"views.<name>.codec.*zstd-delta.*jpeg-<quality>"):
        write_shard(path, [], HOW | {"codec": "jpeg"})


@pytest.mark.parametrize(
    "layout",
    [
        {"compression": "snappy"},
        {"compression": "zstd", "row_group_size": 10, "use_dictionary": False},
        {"compression": "none", "row_group_size": 71, "data_page_version": "2.0", "use_dictionary": False},
        {"compression": "none", "row_group_size": 50, "data_page_size": 500, "use_dictionary": False},
    ],
)
def test_a_shard_that_another_program_wrote_gives_the_same_slices(
    tmp_path: Path, shard: Path, layout: dict[str, Any]
) -> None:
    pq.write_table(pq.read_table(shard), tmp_path / "other.parquet", **layout)
    slices, others = SliceCache([shard]), SliceCache([tmp_path / "other.parquet"])
    for uid, wanted in (("a", [31, 32, 2]), ("c", range(30)), ("b", [0]), ("a", [31])):
        assert np.array_equal(others.read(uid, wanted), slices.read(uid, wanted))


def test_a_shard_that_pandas_wrote_gives_the_same_slices(tmp_path: Path, shard: Path) -> None:
    table = pd.read_parquet(shard)
    table.attrs = {}
    schema = pa.Schema.from_pandas(table).with_metadata(pq.read_schema(shard).metadata)
    table.to_parquet(tmp_path / "other.parquet", schema=schema, index=False)
    assert pq.ParquetFile(tmp_path / "other.parquet").metadata.row_group(0).column(10).compression == "SNAPPY"
    wanted = range(3, 40, 4)
    others = SliceCache([tmp_path / "other.parquet"])
    assert np.array_equal(others.read("a", wanted), SliceCache([shard]).read("a", wanted))


def test_a_file_that_is_no_shard_says_so(tmp_path: Path) -> None:
    pq.write_table(pq.read_table(_plain(tmp_path)).replace_schema_metadata(None), tmp_path / "plain.parquet")
    with pytest.raises(CspineError, match=r"plain\.parquet is not a cache shard"):
        read_metadata(tmp_path / "plain.parquet")


def test_an_empty_shard_is_a_shard(tmp_path: Path) -> None:
    write_shard(tmp_path / "empty.parquet", [], HOW)
    assert "a" not in SliceCache([tmp_path / "empty.parquet"])
    assert read_metadata(tmp_path / "empty.parquet")["pixels"] == PIXELS


def test_the_same_rows_give_the_same_bytes(tmp_path: Path, shard: Path) -> None:
    write_shard(tmp_path / "again.parquet", rows_of(("a", 40), ("b", 1), ("c", 30)), HOW)
    assert (tmp_path / "again.parquet").read_bytes() == shard.read_bytes()


def reads_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the reads of shards from now on."""
    reads: list[int] = []
    real = os.pread

    def counted(descriptor: int, size: int, start: int) -> bytes:
        reads.append(size)
        return real(descriptor, size, start)

    monkeypatch.setattr(os, "pread", counted)
    return reads


def files_held(folder: Path) -> int:
    """How many files of ``folder`` this process holds open; 0 where the system does not say."""
    return sum(str(link.resolve()).startswith(str(folder)) for link in Path("/proc/self/fd").glob("*"))


def _plain(folder: Path) -> Path:
    path = folder / "source.parquet"
    write_shard(path, rows_of(("a", 1)), HOW)
    return path

"""The slice cache: what is written comes back, from any process, and damage is named."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from cspine.cache import reading
from cspine.cache.codecs import CODECS, decode, encode
from cspine.cache.reading import SliceCache
from cspine.cache.shards import VERSION, common_metadata, crc32, read_metadata, write_shard
from cspine.errors import CspineError

PIXELS = 16
FOOTER = {
    "view": "slice",
    "cohort": "train",
    "pixels": PIXELS,
    "codec": "zstd-delta",
    "version": VERSION,
}
FOOTER |= {"window_center": 400.0, "window_width": 2000.0}


def slice_of(uid: str, z: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng([len(uid), ord(uid[-1]), z])
    return rng.integers(0, 256, (PIXELS, PIXELS)).astype(np.uint8)


def rows_of(*studies: tuple[str, int]) -> list[dict[str, Any]]:
    geometry = {"slice_number": 7, "position": 1.5, "rows": 20, "columns": 30, "row_spacing": 0.4}
    geometry |= {"column_spacing": 0.5, "reversed": False}
    rows = []
    for uid, slices in studies:
        for z in range(slices):
            blob = encode(slice_of(uid, z))
            row = {"StudyInstanceUID": uid, "z_index": z, "crc32": crc32(blob), "pixels": blob}
            rows.append(row | geometry)
    return rows


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "shard-0.parquet"
    assert write_shard(path, iter(rows_of(("a", 40), ("b", 1), ("c", 30))), FOOTER) == 71
    return path


@pytest.mark.parametrize("codec", list(CODECS))
def test_a_slice_comes_back_exactly_from_its_blob(codec: str) -> None:
    for image in (
        slice_of("a", 0),
        np.zeros((PIXELS, PIXELS), np.uint8),
        np.full((PIXELS, PIXELS), 255, np.uint8),
    ):
        back = decode(encode(image, codec), PIXELS, codec)
        assert back.dtype == np.uint8 and np.array_equal(back, image)


def test_smooth_slices_are_stored_smaller_than_their_pixels() -> None:
    smooth = np.add.outer(np.arange(256), np.arange(256)).clip(0, 255).astype(np.uint8)
    assert len(encode(smooth)) < smooth.size / 20


def test_an_unknown_codec_is_answered_with_the_known_ones() -> None:
    with pytest.raises(CspineError, match="zstd-delta"):
        encode(slice_of("a", 0), "gif")


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
    write_shard(tmp_path / "later.parquet", rows_of(("a", 2)), FOOTER)
    assert np.array_equal(slices["a", 1], slice_of("a", 1))


def test_a_cache_in_use_can_be_pickled(shard: Path) -> None:
    slices = SliceCache([shard])
    assert slices.pixels == PIXELS and slices["a", 3] is not None
    copy = pickle.loads(pickle.dumps(slices))
    assert np.array_equal(copy["c", 5], slice_of("c", 5))


def test_few_files_and_row_groups_are_held_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "OPEN_FILES", 2)
    monkeypatch.setattr(reading, "ROW_GROUPS", 3)
    paths = [tmp_path / f"shard-{n}.parquet" for n in range(4)]
    for n, path in enumerate(paths):
        write_shard(path, rows_of((f"study-{n}", 3)), FOOTER)
    slices = SliceCache(paths)
    for n in (0, 3, 1, 2, 0, 3):
        assert np.array_equal(slices[f"study-{n}", 2], slice_of(f"study-{n}", 2))
        assert len(slices._files) <= 2 and len(slices._groups) <= 3


def test_a_damaged_blob_names_shard_study_and_slice(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    at = content.index(encode(slice_of("c", 3)))
    content[at + 20] ^= 1
    shard.write_bytes(content)
    slices = SliceCache([shard])
    assert np.array_equal(slices["c", 2], slice_of("c", 2))
    with pytest.raises(CspineError, match=r"shard-0.parquet.*study c, z_index 3"):
        slices["c", 3]


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
    write_shard(first, rows_of(("a", 3)), FOOTER)
    write_shard(second, rows_of(("a", 2)), FOOTER | {"cohort": "test"})
    assert SliceCache([first, second]).slices_of("a") == 3


def test_shards_of_different_views_are_refused_by_name(tmp_path: Path, shard: Path) -> None:
    other = tmp_path / "other.parquet"
    write_shard(other, [], FOOTER | {"pixels": 32})
    with pytest.raises(CspineError, match=r"other\.parquet.*pixels 32 instead of 16"):
        common_metadata([shard, other])
    assert "cohort" not in common_metadata([shard])


def test_a_shard_is_plain_parquet_in_small_row_groups(shard: Path) -> None:
    file = pq.ParquetFile(shard)
    assert [file.metadata.row_group(i).num_rows for i in range(3)] == [32, 32, 7]
    pixels = file.metadata.row_group(0).column(file.schema_arrow.names.index("pixels"))
    assert pixels.compression == "UNCOMPRESSED" and "DICTIONARY" not in str(pixels.encodings)
    table = file.read()
    assert json.loads(table.schema.metadata[b"cspine"]) == FOOTER == read_metadata(shard)
    kinds = {f.name: str(f.type) for f in table.schema}
    assert kinds["z_index"] == kinds["slice_number"] == "int32" and kinds["rows"] == "int16"
    assert kinds["crc32"] == "uint32" and kinds["position"] == "float" and kinds["reversed"] == "bool"


def test_a_file_that_is_no_shard_says_so(tmp_path: Path) -> None:
    pq.write_table(pq.read_table(_plain(tmp_path)).replace_schema_metadata(None), tmp_path / "plain.parquet")
    with pytest.raises(CspineError, match=r"plain\.parquet is not a cache shard"):
        read_metadata(tmp_path / "plain.parquet")


def test_an_empty_shard_is_a_shard(tmp_path: Path) -> None:
    write_shard(tmp_path / "empty.parquet", [], FOOTER)
    assert "a" not in SliceCache([tmp_path / "empty.parquet"])
    assert read_metadata(tmp_path / "empty.parquet")["pixels"] == PIXELS


def test_the_same_rows_give_the_same_bytes(tmp_path: Path, shard: Path) -> None:
    write_shard(tmp_path / "again.parquet", rows_of(("a", 40), ("b", 1), ("c", 30)), FOOTER)
    assert (tmp_path / "again.parquet").read_bytes() == shard.read_bytes()


def _plain(folder: Path) -> Path:
    path = folder / "source.parquet"
    write_shard(path, rows_of(("a", 1)), FOOTER)
    return path

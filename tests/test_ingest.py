"""From DICOM files to a cache shard: what is cached, in which order, and that nothing stops it."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cspine.cache.reading import SliceCache
from cspine.cache.shards import read_metadata
from cspine.errors import CspineError
from cspine.stages import ingest as stage
from cspine.stages.ingest import (
    CONSEQUENCES,
    IngestConfig,
    Ingested,
    StudyJob,
    ingest,
    ingest_study,
    read_all,
)
from cspine.tables import read_table
from cspine.windows import apply_window, resize_slice
from dicom_makers import neck, write_csv, write_study

CONFIG = IngestConfig(pixels=16)


def raw(folder: Path) -> Path:
    """Studies in train_images: `down` numbered from head to feet, `up` the other way, `bad` without a slice."""
    images = folder / "raw" / "train_images"
    write_study(images / "down", [0, -1, -2, -3])
    write_study(images / "up", [0, 2, 4], spacing=(0.3, 0.3))
    write_study(images / "bad", [0], Modality="US")
    return folder / "raw"


def listing(root: Path, path: Path, extra: tuple[tuple[str, str], ...] = ()) -> Path:
    files = sorted((root / "train_images").rglob("*.dcm"))
    rows = [{"StudyInstanceUID": f.parent.name, "file": f.name, "size": f.stat().st_size} for f in files]
    rows += [{"StudyInstanceUID": uid, "file": name, "size": 1000} for uid, name in extra]
    write_csv(path, ("StudyInstanceUID", "file", "size", "digest"), rows)
    return path


def run(root: Path, out: Path, inventory: Path, config: IngestConfig = CONFIG) -> Path:
    out.mkdir(exist_ok=True)
    tables = {name: out / f"{name}.parquet" for name in ("shard", "studies", "findings")}
    ingest(root, inventory, **tables, config=config)
    return out


def test_the_cache_holds_windowed_slices_from_cranial_to_caudal(tmp_path: Path) -> None:
    root = raw(tmp_path)
    out = run(root, tmp_path / "out", listing(root, tmp_path / "list.csv"))
    cache = SliceCache([out / "shard.parquet"])
    for uid, heights in (("down", [0, -1, -2, -3]), ("up", [4, 2, 0])):
        expected = [resize_slice(apply_window(neck(z), 400, 2000), 16) for z in heights]
        assert np.array_equal(cache.read(uid, range(len(heights))), np.stack(expected))
    rows = pd.read_parquet(out / "shard.parquet").set_index(["StudyInstanceUID", "z_index"])
    assert rows.index.tolist() == [
        ("down", 0),
        ("down", 1),
        ("down", 2),
        ("down", 3),
        ("up", 0),
        ("up", 1),
        ("up", 2),
    ]
    assert rows["slice_number"].tolist() == [1, 2, 3, 4, 3, 2, 1]
    assert rows["position"].tolist() == [0, -1, -2, -3, 4, 2, 0]
    assert rows.loc[("up", 0), "row_spacing"] == np.float32(0.3)
    assert (rows[["rows", "columns"]] == 32).all(axis=None)
    assert read_metadata(out / "shard.parquet") == {
        "view": "slice",
        "cohort": "train",
        "pixels": 16,
        "window_center": 400.0,
        "window_width": 2000.0,
        "centre": 1.0,
        "codec": "zstd-delta",
        "version": 1,
    }


def test_every_study_has_a_row_and_says_whether_it_was_readable(tmp_path: Path) -> None:
    root = raw(tmp_path)
    inventory = listing(root, tmp_path / "list.csv", extra=(("down", "5.dcm"), ("gone", "1.dcm")))
    (root / "train_images" / "up" / "2.dcm").write_bytes(b"shorter")
    out = run(root, tmp_path / "out", inventory)
    studies = read_table(out / "studies.parquet").set_index("StudyInstanceUID")
    assert studies.index.tolist() == ["bad", "down", "gone", "up"]
    assert studies["slices"].tolist() == [0, 4, 0, 2]
    assert studies["readable"].tolist() == [False, True, False, True]
    assert studies["reversed"].tolist() == [False, False, False, True]
    assert studies["reason"].tolist() == ["no-readable-slice", "", "no-readable-slice", ""]
    assert studies["thickness"]["down"] == 1 and np.isnan(studies["thickness"]["bad"])
    findings = read_table(out / "findings.parquet")
    assert {(f.StudyInstanceUID, f.code, f.file) for f in findings.itertuples()} == {
        ("bad", "not-ct", "1.dcm"),
        ("bad", "no-readable-slice", ""),
        ("down", "file-missing", "5.dcm"),
        ("gone", "file-missing", "1.dcm"),
        ("gone", "no-readable-slice", ""),
        ("up", "file-changed", "2.dcm"),
        ("up", "not-dicom", "2.dcm"),
    }


def test_a_shard_without_studies_is_written(tmp_path: Path) -> None:
    (tmp_path / "raw" / "train_images").mkdir(parents=True)
    out = run(tmp_path / "raw", tmp_path / "out", listing(tmp_path / "raw", tmp_path / "list.csv"))
    assert read_table(out / "studies.parquet").empty and read_table(out / "findings.parquet").empty
    assert read_metadata(out / "shard.parquet")["cohort"] == "train"


def test_one_and_two_workers_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = raw(tmp_path)
    inventory = listing(root, tmp_path / "list.csv")
    monkeypatch.setattr(stage, "SMALL_SHARD", 0)
    for workers in ("1", "2"):
        monkeypatch.setenv("CSPINE_WORKERS", workers)
        run(root, tmp_path / workers, inventory)
    for name in ("shard", "studies", "findings"):
        one, two = (tmp_path / w / f"{name}.parquet" for w in ("1", "2"))
        assert one.read_bytes() == two.read_bytes()


def crash_on_bad(job: StudyJob, config: IngestConfig) -> Ingested:
    """A decoder that takes its process with it."""
    if job.folder.name == "bad":
        os.kill(os.getpid(), signal.SIGKILL)
    return ingest_study(job, config)


def test_a_study_that_kills_its_process_is_reported_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = raw(tmp_path)
    monkeypatch.setattr(stage, "ingest_study", crash_on_bad)
    jobs = stage.list_jobs(listing(root, tmp_path / "list.csv"), root / "train_images")
    results = list(read_all(jobs, CONFIG, 2))
    assert [r.study["StudyInstanceUID"] for r in results] == ["bad", "down", "up"]
    assert [r.study["slices"] for r in results] == [0, 4, 3]
    assert [f.code for r in results for f in r.findings] == ["decoder-crash"]
    assert results[0].study["reason"] == "decoder-crash"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"view": "volume"}, r"ingest\.view is 'volume'; choose one of slice"),
        ({"cohort": "valid"}, "train, test"),
        ({"codec": "gif"}, "zstd-delta"),
        ({"window_width": 0}, "positive width"),
    ],
)
def test_a_wrong_config_names_the_choices(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CspineError, match=message):
        replace(CONFIG, **change)


def test_a_wrong_number_of_workers_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = raw(tmp_path)
    monkeypatch.setenv("CSPINE_WORKERS", "many")
    with pytest.raises(CspineError, match="CSPINE_WORKERS is 'many'"):
        run(root, tmp_path / "out", listing(root, tmp_path / "list.csv"))


def test_every_reason_code_of_ingest_is_explained() -> None:
    text = Path(__file__).parents[1].joinpath("docs/findings.md").read_text(encoding="utf-8")
    assert [code for code in CONSEQUENCES if f"`{code}`" not in text] == []

"""From DICOM files to a cache shard: what is cached, in which order, and that nothing stops it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cspine.cache.codecs import encoder
from cspine.cache.reading import SliceCache
from cspine.cache.shards import read_metadata
from cspine.errors import CspineError
from cspine.stages import ingest as stage
from cspine.stages.ingest import IngestConfig, ingest
from cspine.study_pool import studies_read
from cspine.tables import read_table
from cspine.views.study_rows import CONSEQUENCES, Form, StudyJob, crashed, ingest_study
from cspine.views.windows import Window, apply_window, resize_slice
from dicom_makers import neck, write_csv, write_study
from small_caches import encoding_file

CONFIG = IngestConfig()
PIXELS = 16


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
    ingest(root, inventory, encoding_file(out, PIXELS), **tables, config=config)
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
        "encoder": encoder(),
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


@pytest.mark.parametrize(("workers", "death"), [("1", "SIGSEGV"), ("2", "SIGKILL")])
def test_a_study_that_kills_its_process_is_reported_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str, death: str
) -> None:
    root = raw(tmp_path)
    inventory = listing(root, tmp_path / "list.csv")
    whole = run(root, tmp_path / "whole", inventory)
    monkeypatch.setattr(stage, "SMALL_SHARD", 0)
    monkeypatch.setenv("CSPINE_WORKERS", workers)
    monkeypatch.setenv("CSPINE_FAULT", f"read-study-down:1:{death}")
    out = run(root, tmp_path / "out", inventory)
    studies = read_table(out / "studies.parquet")
    assert studies[["StudyInstanceUID", "slices", "reason"]].to_numpy().tolist() == [
        ["bad", 0, "no-readable-slice"],
        ["down", 0, "decoder-crash"],
        ["up", 3, ""],
    ]
    findings = read_table(out / "findings.parquet")
    assert findings.query("code == 'decoder-crash'")["StudyInstanceUID"].tolist() == ["down"]
    expected = pd.read_parquet(whole / "shard.parquet").query("StudyInstanceUID == 'up'").reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_parquet(out / "shard.parquet"), expected)


def test_a_death_that_no_study_causes_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker killed from outside, as by the kernel for memory: what it was reading is read again on its own."""
    root = raw(tmp_path)
    inventory = listing(root, tmp_path / "list.csv")
    whole = run(root, tmp_path / "whole", inventory)
    monkeypatch.setenv("CSPINE_FAULT", "read-study:2")  # the second one that a process reads; alone it is the first
    out = run(root, tmp_path / "out", inventory)
    for name in ("shard", "studies", "findings"):
        assert (out / f"{name}.parquet").read_bytes() == (whole / f"{name}.parquet").read_bytes()


def test_the_processes_that_read_load_no_library_that_reading_does_not_need(tmp_path: Path) -> None:
    """Else they would start three times as slowly; and the parent starts them before it loads its own."""
    write_study(tmp_path / "study", [0, -1])
    code = (
        "import sys; from pathlib import Path; from cspine.views.study_rows import *; from cspine.study_pool import *;"
        "job = StudyJob(Path(sys.argv[1]), (('1.dcm', 1), ('2.dcm', 1)));"
        "rows = ingest_study(job, Form(Window(400, 2000), 16, 1.0, 'zstd-delta')).rows; assert len(rows) == 2;"
        "import cspine.stages.ingest;"
        "print([m for m in ('pandas', 'pyarrow', 'pydicom', 'torch', 'jsonargparse') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(tmp_path / "study")], capture_output=True, text=True)
    assert (answer.stdout, answer.stderr) == ("[]\n", "")


def test_no_more_than_two_studies_a_worker_are_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What memory ingest needs does not grow with the studies of a shard."""
    monkeypatch.setenv("CSPINE_FAULT_TRACE", str(tmp_path / "trace"))
    for n in range(9):
        write_study(tmp_path / f"{n}", [0])
    jobs = [StudyJob(tmp_path / f"{n}", (("1.dcm", 1),)) for n in range(9)]
    form = Form(Window(400, 2000), 16, 1.0, "zstd-delta")
    with studies_read(jobs, ingest_study, form, crashed, 1) as read:
        for taken in range(1, 10):
            assert next(read).study["StudyInstanceUID"] == str(taken - 1)
            begun = (tmp_path / "trace").read_text().split().count("read-study")
            assert begun <= taken + 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cohort": "valid"}, "train, test"),
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

"""The size of a cache before it is written: projected from a sample, held against a budget and against the disk."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cspine.cache.encodings import Encoding, read_encoding
from cspine.cache.shards import read_metadata
from cspine.cache.sizes import (
    FILES,
    FILES_OF_STUDY,
    MARGIN,
    ListedStudy,
    Projection,
    SampledStudy,
    draw_files,
    fitting,
    project,
)
from cspine.errors import CspineError
from cspine.stages.ingest import IngestConfig, ingest
from cspine.stages.plan_cache import PlanConfig, plan_cache
from cspine.views.study_rows import StudyJob
from cspine.views.study_sizes import lost_sizes
from dicom_makers import dicom_bytes, write_csv

STEPS: list[dict[str, Any]] = [{"codec": "jpeg-90"}, {"codec": "jpeg-50"}, {"codec": "jpeg-50", "pixels": 16}]
CONFIG = PlanConfig(pixels=48, step_down=STEPS)
SLICES = 6


# ------------------------------------------------------------------------------------------------ pure functions


def listed(count: int, cohort: str = "train", files: int = 30) -> list[ListedStudy]:
    return [ListedStudy(cohort, f"{cohort}-{i}", tuple(map(str, range(files + i % 7)))) for i in range(count)]


def test_the_sample_is_spread_over_studies_cohorts_and_each_study() -> None:
    studies = [*listed(500), *listed(3, "test")]
    drawn = draw_files(studies, seed=1)
    assert len(drawn) == FILES / FILES_OF_STUDY + 1 and {s.cohort for s in drawn} == {"train", "test"}
    whole = {s.uid: len(s.files) for s in studies}
    for study in drawn:
        places = np.array([int(name) for name in study.files])
        assert len(places) == FILES_OF_STUDY and (np.diff(places) >= whole[study.uid] // FILES_OF_STUDY).all()
    assert drawn == draw_files(studies[::-1], seed=1) != draw_files(studies, seed=2)


def test_a_small_set_is_looked_at_in_more_files_and_never_twice_in_one() -> None:
    assert [len(s.files) for s in draw_files(listed(2, files=150), seed=1)] == [100, 100]
    few = draw_files([*listed(2, files=5), ListedStudy("train", "without files", ())], seed=1)
    assert [s.files for s in few] == [tuple("01234"), tuple("012345")]
    assert draw_files([], seed=1) == []


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Studies differ in level and slices, slices along the study; one cohort's are half as large."""
    rng = np.random.default_rng(5)
    sizes = {}
    for study in [*listed(300), *listed(40, "test")]:
        level = rng.normal(20_000, 4000) / (2 if study.cohort == "test" else 1)
        along = np.sin(np.linspace(0, 3, len(study.files)))
        sizes[study] = np.maximum(level * (0.7 + 0.5 * along) + rng.normal(0, 500, len(along)), 100).astype(int)
    files = {c: sum(len(s.files) for s in sizes if s.cohort == c) for c in ("train", "test")}
    whole = {(s.cohort, s.uid): s for s in sizes}
    truth = sum(int(v.sum()) for v in sizes.values()) + 100 * sum(files.values()) + 7
    errors, held = [], 0
    for seed in range(60):
        sample = []
        for study in draw_files(list(sizes), seed):
            own, count = whole[study.cohort, study.uid], len(study.files)
            blobs = int(sizes[own][list(map(int, study.files))].sum())
            sample.append(SampledStudy(study.cohort, len(own.files), count, count, (blobs,)))
        found = project(sample, files, 0, overhead=100, fixed=7, seed=seed)
        held += found.low <= truth <= found.high
        errors.append(found.size / truth - 1)
    assert held >= 52 and abs(float(np.mean(errors))) < 0.01 and float(np.std(errors)) < 0.04


def test_files_that_give_no_slice_take_no_room_and_a_cohort_not_seen_is_like_the_others() -> None:
    sample = [SampledStudy("train", 10, 4, 4, (400,)), SampledStudy("train", 10, 4, 0, (0,))]
    assert project(sample, {"train": 20, "test": 0}, 0, overhead=10, fixed=5, seed=0).size == 20 * (440 / 8) + 5
    assert project(sample, {"train": 20, "test": 2}, 0, overhead=10, fixed=5, seed=0).size == 22 * (440 / 8) + 5
    nothing = project([], {"train": 0, "test": 0}, 0, overhead=10, fixed=5, seed=0)
    assert (nothing.size, nothing.low, nothing.high) == (5, 5, 5)


def test_what_must_fit_is_the_margin_or_the_intervals_end() -> None:
    certain, doubtful = Projection(100, 99, 101), Projection(100, 60, 140)
    assert certain.asked == pytest.approx(100 * (1 + MARGIN)) and doubtful.asked == 140
    assert fitting([certain, doubtful], 111) == [True, False]
    assert fitting([certain, doubtful], 0) == [True, True]  # no limit


def test_an_encoding_is_equal_bytes_and_anything_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "form.json"
    Encoding(256, "jpeg-95").write(path)
    assert read_encoding(path) == Encoding(256, "jpeg-95") and json.loads(path.read_text())["pixels"] == 256
    path.write_text('{"pixels": 256}')
    with pytest.raises(CspineError, match=r"form\.json.*plan_cache"):
        read_encoding(path)
    with pytest.raises(CspineError, match="gif"):
        Encoding(256, "gif")
    with pytest.raises(CspineError, match="at least 8"):
        Encoding(4, "jpeg-95")


def test_a_wrong_choice_is_named() -> None:
    with pytest.raises(CspineError, match=r"views\.slice\.when_larger is 'shrink'; choose refuse or step_down"):
        PlanConfig(when_larger="shrink")


# ----------------------------------------------------------------------------------------------------- the stage


def noisy(number: int) -> np.ndarray:
    """A slice like no other, in Hounsfield units."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:64, :64]
    neck = np.where((x - 32) ** 2 + (y - 32) ** 2 < 600 + 40 * (number % 9), 50.0, -1000.0)
    return np.rint(neck + rng.normal(0, 60 + 20 * (number % 5), (64, 64))).astype(np.int16)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine training studies and two of the test set, of six slices each."""
    root = tmp_path_factory.mktemp("raw")
    for study in range(11):
        folder = root / ("train_images" if study < 9 else "test_images") / f"1.2.{study}"
        folder.mkdir(parents=True)
        for z in range(SLICES):
            content = dicom_bytes(noisy(10 * study + z), position=(0, 0, -z), number=z + 1)
            (folder / f"{z + 1}.dcm").write_bytes(content)
    return root


class Plan:
    """plan_cache in a folder like the store's, and what it wrote."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.root, self.place = root, folder / "work" / "plan_cache" / "key"
        self.place.mkdir(parents=True)
        self.form, self.plan = self.place / "form.json", self.place / "plan.json"
        self.shards = {c: [folder / f"{c}-{n}.csv" for n in range(2)] for c in ("train", "test")}
        for cohort, paths in self.shards.items():
            files = sorted(f for f in (root / f"{cohort}_images").rglob("*") if f.is_file())
            rows = [{"StudyInstanceUID": f.parent.name, "file": f.name, "size": f.stat().st_size} for f in files]
            for n, path in enumerate(paths):
                own = [row for row in rows if int(str(row["StudyInstanceUID"]).rsplit(".", 1)[1]) % 2 == n]
                write_csv(path, ("StudyInstanceUID", "file", "size", "digest"), own)

    def run(self, config: PlanConfig = CONFIG) -> dict[str, Any]:
        plan_cache(self.root, self.shards["train"], self.shards["test"], self.form, self.plan, config=config)
        return dict(json.loads(self.plan.read_text()))

    def written(self) -> list[Path]:
        """The shards that ingest makes by the plan."""
        shards = []
        for cohort, lists in self.shards.items():
            for n, path in enumerate(lists):
                out = [self.place / f"{cohort}-{n}.{what}.parquet" for what in ("shard", "studies", "findings")]
                ingest(self.root, path, self.form, *out, config=IngestConfig(cohort=cohort))
                shards.append(out[0])
        return shards


def bytes_of(paths: list[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def test_the_projection_is_what_ingest_then_writes(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan(tmp_path, root)
    figures = plan.run()
    assert figures["files"] == {"train": 54, "test": 12}
    assert figures["sampled"] == {"studies": 11, "files": 66, "slices": 66}  # a set this small is seen as a whole
    found = figures["encodings"][figures["chosen"]]
    assert (found["pixels"], found["codec"], found["fits"]) == (48, "zstd-delta", True)
    assert bytes_of(plan.written()) == pytest.approx(found["bytes"], rel=0.01)
    assert found["low"] <= found["bytes"] <= found["high"]
    line = capsys.readouterr().err
    assert re.search(
        r"plan_cache: 66 slices as 48 px zstd-delta: \d+ kB \(\d+ kB to \d+ kB\), about 0 s on 1 worker$", line, re.M
    )


def test_a_view_over_its_budget_is_refused_with_what_would_fit_and_the_keys(tmp_path: Path, root: Path) -> None:
    plan = Plan(tmp_path, root)
    sizes = [e["bytes"] for e in plan.run()["encodings"]]
    assert sizes == sorted(sizes, reverse=True)
    plan.form.unlink()
    budget = 1.3 * sizes[2] / 1e9  # in which jpeg-50 fits
    assert sizes[1] * 1.1 > budget * 1e9
    with pytest.raises(CspineError) as refused:
        plan.run(replace(CONFIG, max_gb=budget))
    for words in (
        "views.slice.max_gb is",
        "48 px zstd-delta:",
        "48 px jpeg-50 would fit",
        "views.slice.when_larger=step_down",
    ):
        assert words in str(refused.value), refused.value
    with pytest.raises(
        CspineError, match=r"raise views\.slice\.max_gb .*, or add what takes less to views\.slice\.step_down"
    ):
        plan.run(replace(CONFIG, max_gb=1e-6, when_larger="step_down"))
    assert not plan.form.exists()


def test_it_steps_down_to_the_first_that_fits_and_ingest_writes_that(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan(tmp_path, root)
    sizes = [e["bytes"] for e in plan.run()["encodings"]]
    config = replace(CONFIG, when_larger="step_down", max_gb=1.3 * sizes[2] / 1e9)
    figures = plan.run(config)
    assert figures["chosen"] == 2 and [e["fits"] for e in figures["encodings"]] == [False, False, True, True]
    assert re.search(
        r"as 48 px jpeg-50: .*; budget .* GB; stepped down from 48 px zstd-delta: ", capsys.readouterr().err
    )
    shards = plan.written()
    assert {(m["codec"], m["pixels"]) for m in map(read_metadata, shards)} == {("jpeg-50", 48)}
    assert bytes_of(shards) <= config.max_gb * 1e9
    first = plan.form.read_bytes()
    plan.run(replace(config, max_gb=config.max_gb * 1.05, seed=3))
    assert plan.form.read_bytes() == first  # another budget with the same answer leaves every shard as it is


def test_a_disk_without_room_is_refused_and_never_stepped_down_for(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(tmp_path, root)
    total = plan.run()["encodings"][0]["bytes"]
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1e9, 1e9, total))
    with pytest.raises(CspineError, match=r"more than the .* free on the disk of work.*gc --dry-run.*max_gb"):
        plan.run(replace(CONFIG, when_larger="step_down"))
    made = tmp_path / "work" / "ingest" / "key" / "shard.parquet"
    made.parent.mkdir(parents=True)
    made.write_bytes(bytes(total // 4))  # a shard that is there need not be written again
    assert plan.run(CONFIG)["chosen"] == 0


def test_broken_files_are_counted_and_end_nothing(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "raw"
    shutil.copytree(root, broken)
    for name in ("1.2.0/1.dcm", "1.2.1/2.dcm", "1.2.1/3.dcm"):
        (broken / "train_images" / name).write_bytes(b"no slice")
    plan = Plan(tmp_path, broken)
    shutil.rmtree(broken / "train_images" / "1.2.2")
    monkeypatch.setenv("CSPINE_FAULT", "read-study-1.2.3:1:SIGSEGV")
    figures = plan.run()
    assert figures["sampled"] == {"studies": 11, "files": 66, "slices": 66 - 3 - SLICES - SLICES}
    assert "15 of 66 sampled files gave no slice" in capsys.readouterr().err
    monkeypatch.delenv("CSPINE_FAULT")
    assert figures["encodings"][0]["bytes"] < bytes_of(plan.written()) < 1.2 * figures["encodings"][0]["bytes"]


def test_nothing_readable_and_nothing_listed_leave_the_view_as_configured(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unreadable = tmp_path / "raw"
    for cohort in ("train", "test"):
        (unreadable / f"{cohort}_images" / "1.2.1").mkdir(parents=True)
    (unreadable / "train_images" / "1.2.1" / "1.txt").write_text("no slice")
    plan = Plan(tmp_path, unreadable)
    assert plan.run(replace(CONFIG, max_gb=1))["chosen"] == 0
    assert "no size to project from, 1 files listed; 48 px zstd-delta as configured" in capsys.readouterr().err
    (unreadable / "train_images" / "1.2.1" / "1.txt").unlink()
    nothing = Plan(tmp_path / "empty", unreadable).run(replace(CONFIG, max_gb=1))
    assert nothing["files"] == {"train": 0, "test": 0} and nothing["sampled"]["studies"] == 0
    assert lost_sizes(StudyJob(unreadable, ())).rows == []


def test_one_study_alone_is_projected_with_the_margin(tmp_path: Path, root: Path) -> None:
    alone = tmp_path / "raw"
    (alone / "test_images").mkdir(parents=True)
    shutil.copytree(root / "train_images" / "1.2.4", alone / "train_images" / "1.2.4")
    plan = Plan(tmp_path, alone)
    found = plan.run()["encodings"][0]
    assert found["low"] == found["bytes"] == found["high"]  # no other study to tell how studies differ
    assert bytes_of(plan.written()) == pytest.approx(found["bytes"], rel=0.01)


def test_no_figure_of_the_plan_is_of_this_machine(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(tmp_path, root)
    plan.run()
    first = plan.plan.read_bytes(), plan.form.read_bytes()
    monkeypatch.setenv("CSPINE_WORKERS", "2")
    plan.run()
    assert (plan.plan.read_bytes(), plan.form.read_bytes()) == first
    with plan.shards["train"][0].open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 5 * SLICES

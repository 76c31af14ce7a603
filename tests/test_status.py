"""What `status` shows of a store, and the marks of a plan, without a run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cspine import present, store
from cspine.blocks import block
from cspine.overview import overview
from cspine.planning import HIT, IN_PLACE, RESUME, RUN, UNKNOWN, Job, Marks
from cspine.present import Present, present_by
from cspine.store import locks, roots
from cspine.tables import write_table
from small_stores import begin, finish, request

STUDIES, FOLDS = "results/index/studies.parquet", "results/folds.parquet"


@pytest.fixture
def now(workplace: Path) -> Present:
    return present.present()


def place(fold: int, number: int = 0) -> str:
    return f"method=semi_supervised,fold={fold},round={number}"


def model(now: Present, fold: int, number: int = 0, **differences: object) -> store.Request:
    at = place(fold, number)
    config = now.block("train", **dict(pair.split("=") for pair in at.split(",")))
    path = f"results/semi_supervised/fold-{fold}/round-{number}/model.safetensors"
    return request("train", {"model": path}, {**config, **differences}, {}, at)


def said(now: Present) -> str:
    return "\n".join(overview(now))


def test_an_empty_store_says_so(now: Present) -> None:
    assert said(now) == "work/ holds nothing yet"


def test_what_was_cut_off_is_shown_with_how_far_it_is_and_the_rest(now: Present) -> None:
    begin(model(now, 0), steps=30)
    begin(model(now, 1, seed=1), steps=10)
    printed = said(now)
    assert "train (semi_supervised fold 0 round 0): 30 of 40 steps, about 20 s to go\n" in printed
    assert (
        "train (semi_supervised fold 1 round 0): 10 of 40 steps, about 60 s to go (begun with another config: seed 1 ->"
        in printed
    )
    assert "2 unfinished" in printed


def test_of_many_unfinished_shards_some_are_named_and_the_others_counted(now: Present) -> None:
    for shard in range(7):
        at = f"view=slice,cohort=train,shard={shard}"
        begin(request("ingest", {"shard": f"results/cache/slice/train/shard-{shard}.parquet"}, {"n": shard}, {}, at))
    printed = said(now)
    assert printed.count("ingest (slice train shard") == 4 and "ingest: 3 more" in printed


def test_who_is_at_work_is_named(now: Present) -> None:
    held = begin(model(now, 0), steps=30)
    with locks.run_alone(), locks.locked(held.folder):
        printed = said(now)
    me = f"process {os.getpid()}"
    assert f"at work:\n  a run ({me}" in printed and "cut off" not in printed
    assert f"train (semi_supervised fold 0 round 0): 30 of 40 steps, about 20 s to go ({me}" in printed


def test_several_versions_or_devices_within_one_fold_are_named(now: Present) -> None:
    for fold, number, torch, device in ((0, 0, "2.4", "cuda"), (0, 1, "2.5", "cpu"), (1, 0, "2.5", "cpu")):
        held = finish(model(now, fold, number))
        done = {**held.record, "versions": {"torch": torch}, "device": device}
        store.write_json(held.folder / store.DONE, done)
    printed = said(now)
    assert "semi_supervised fold 0: torch 2.4 (train round 0), 2.5 (train round 1)" in printed
    assert "semi_supervised fold 0: device cuda (train round 0), cpu (train round 1)" in printed
    assert "fold 1" not in printed.split("mixed within a fold")[1]


def test_the_size_stands_beside_its_limit(now: Present) -> None:
    finish(model(now, 0))
    assert "of store.max_gb (3 GB)" in said(present_by(["--config", "set=store.max_gb=3"]))
    assert "more than store.max_gb (1e-09 GB)" in said(present_by(["--config", "set=store.max_gb=1e-9"]))


# -- the marks of a plan -----------------------------------------------------------------------------------------------


def folds_job(out: str = FOLDS, **differences: object) -> Job:
    config = json.dumps({**block(present.present().config, "assign_folds"), **differences})
    return Job(("assign_folds", "--studies", STUDIES, "--folds", out, "--config", config))


def training_set_job(folds: str = FOLDS) -> Job:
    for name in ("labels", "slices"):
        Path(f"results/{name}").write_text(name)
    words = (
        "--labels",
        "results/labels",
        "--folds",
        folds,
        "--slices",
        "results/slices",
        "--training-set",
        "results/t",
    )
    return Job(("build_training_set", *words, "--config", '{"fold":0,"round":0,"targets":"fracture"}'))


@pytest.fixture
def studies_there(workplace: Path, studies: object) -> None:
    write_table(studies, Path(STUDIES))  # type: ignore[arg-type]


def kinds(jobs: list[Job], stale: tuple[str, ...] = ()) -> dict[str, str]:
    return {mark.job.stage: mark.kind for mark in Marks(jobs, map(Path, stale)).needed()}


def test_what_reads_a_job_to_run_is_unknown_and_what_reads_a_hit_is_looked_up(studies_there: None) -> None:
    from cspine.cli import main

    job = folds_job()
    jobs = [training_set_job(), job]  # Snakemake's order is not the order of execution
    assert kinds(jobs) == {"build_training_set": UNKNOWN, "assign_folds": RUN}
    assert main(list(job.words)) == 0
    assert kinds(jobs) == {"build_training_set": RUN, "assign_folds": IN_PLACE}
    Path(FOLDS).unlink()
    assert kinds(jobs) == {"build_training_set": RUN, "assign_folds": HIT}
    assert kinds([training_set_job(), folds_job(seed=1)], (FOLDS,)) == {
        "build_training_set": UNKNOWN,
        "assign_folds": RUN,
    }


def test_an_output_that_a_run_would_take_away_is_not_in_place(studies_there: None) -> None:
    from cspine.cli import main

    assert main(list(folds_job().words)) == 0
    assert kinds([folds_job()]) == {"assign_folds": IN_PLACE}
    assert kinds([folds_job()], (FOLDS,)) == {"assign_folds": HIT}


def test_a_missing_file_that_nothing_to_be_made_reads_is_not_planned(studies_there: None) -> None:
    jobs = [folds_job(), training_set_job()]
    Path("results/t").write_text("there")
    assert kinds(jobs) == {"build_training_set": IN_PLACE}


def test_a_job_with_checkpoints_resumes_here_or_from_an_earlier_session(
    studies_there: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(
        "assign_folds", {"folds": FOLDS}, block(present.present().config, "assign_folds"), {"studies": STUDIES}
    )
    begin(asked, steps=30)
    (mark,) = Marks([folds_job()], ()).needed()
    assert mark.kind == RESUME and mark.share == 0.75
    Path("work").rename("earlier")
    monkeypatch.setenv(roots.VARIABLE, json.dumps([str(Path("earlier").absolute())]))
    (mark,) = Marks([folds_job()], ()).needed()
    assert mark.kind == RESUME and mark.share == 0.75 and mark.note.startswith("from ")


def test_a_result_in_an_earlier_session_is_a_hit_and_what_reads_it_is_looked_up(
    studies_there: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cspine.cli import main

    assert main(list(folds_job().words)) == 0
    Path("work").rename("earlier")
    Path(FOLDS).unlink()
    jobs = [training_set_job(), folds_job()]
    monkeypatch.setenv(roots.VARIABLE, json.dumps([str(Path("earlier").absolute())]))
    assert kinds(jobs) == {"build_training_set": RUN, "assign_folds": HIT}
    assert not Path("work").exists()  # nothing is copied by asking

"""The arithmetic of `cspine plan`: units, splitting, laying out, limits; and, slowly, a plan held against its run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cspine import progress
from cspine.config import complete_config, read_yaml
from cspine.forecast import limits, texts
from cspine.forecast.copies import copied
from cspine.forecast.expected import Sample, Scale, expected
from cspine.forecast.facts import Facts, facts_of_folder, facts_of_phantom, listed
from cspine.forecast.forecast import Machine, figures, forecast
from cspine.forecast.rehearsal import PHANTOM_STEPS, STEPS, pseudo_labels_of, rehearsal_config
from cspine.forecast.schedule import Slot, laid_out
from cspine.forecast.spending import DRAWS, NOTHING, Amount, Spending, spending, told
from cspine.forecast.tables import Slope, with_slopes
from cspine.forecast.units import Rows, Work, examples_of, rows_of, units_of
from cspine.layers import Config, merged
from cspine.phantom.plans import PhantomConfig
from cspine.planning import HIT, RUN, Job, Mark
from cspine.present import SCHEMA
from cspine.signature import signature_of
from cspine.stages.make_phantom import make_phantom
from smoke_projects import ROOT, checkout

FACTS = Facts({"train": 4000, "test": 1000}, {"train": 40, "test": 10}, 20, 10, 8, 8e6)
FOUR = Facts({"train": 16000, "test": 4000}, {"train": 160, "test": 40}, 80, 40, 32, 32e6)
PLACE = "method=semi_supervised,fold=0,round=0"


def config(*presets: str, **differences: Any) -> Config:
    raw = read_yaml(ROOT / "config.yaml")
    for name in presets:
        raw = merged(raw, read_yaml(ROOT / "presets" / f"{name}.yaml"))
    return complete_config(merged(raw, differences), read_yaml(ROOT / SCHEMA))


def amount(seconds: float) -> Amount:
    return Amount(np.full(DRAWS, seconds), np.full(DRAWS, seconds))


def spent(stage: str, at: str = "", fixed: float = 1.0, pieces: float = 2.0, **more: Any) -> Spending:
    nothing = {"judging": NOTHING, "memory": 100.0, "size": 1000}
    return Spending(Work(stage, at, {}), amount(fixed), amount(pieces), **{**nothing, **more})


def job(stage: str, at: str = "", block: Config | None = None) -> Job:
    """A planned job whose paths lead nowhere."""
    needed = [p.name for p in signature_of(stage).parameters if p.kind not in ("Scratch", "config") and not p.optional]
    words = [word for name in needed for word in (f"--{name.replace('_', '-')}", f"nowhere/{stage}/{name}")]
    return Job((stage, *words, "--config", json.dumps(block or {}), "--at", at))


def sample(*spendings: Spending, **more: Any) -> Sample:
    return Sample(spendings, Scale(FACTS, config()), {}, **more)


# -- units -------------------------------------------------------------------------------------------------------------


def test_a_shard_has_its_part_of_its_cohorts_files() -> None:
    work = Work("ingest", "view=slice,cohort=test,shard=1", {})
    assert units_of(work, FACTS, config(data={"shards": 4})) == 250


def test_a_teacher_is_taught_boxed_studies_and_as_many_whole_ones_outside_the_held_out_fold() -> None:
    rows = rows_of(Work("train", PLACE, {}), FACTS, config(folds={"count": 5, "select": 0.2}))
    assert rows.taught == pytest.approx(20 * 0.8 * 0.8 * 100)
    assert rows.watched == pytest.approx(20 * 0.8 * 0.2 * 100)


def test_a_student_is_taught_all_studies_outside_the_held_out_fold() -> None:
    work = Work("train", PLACE.replace("round=0", "round=1"), {})
    assert rows_of(work, FACTS, config(folds={"count": 5, "select": 0.2})).taught == pytest.approx(40 * 0.64 * 100)


def test_an_inner_model_of_a_localizer_is_taught_all_segmented_studies_but_its_part() -> None:
    rows = rows_of(Work("train", "localizer=segmentation,fold=0,inner=0", {}), FACTS, config())
    assert (rows.taught, rows.watched) == pytest.approx((8 * 0.8 / 2, 8 * 0.8 / 2))


@pytest.mark.parametrize(("epoch_steps", "shown"), [(0, 3 * 500), (10, 3 * 10 * 32)])
def test_an_epoch_is_its_steps_or_a_pass_over_the_rows(epoch_steps: int, shown: int) -> None:
    work = Work("train", PLACE, {"training": {"epochs": 3, "epoch_steps": epoch_steps}})
    assert examples_of(work, Rows(500, 80), batch=32) == (shown, 240)


def test_the_phantoms_facts_are_those_of_the_folder_that_it_becomes(tmp_path: Path) -> None:
    block: dict[str, Any] = {
        "studies": 4,
        "test_studies": 1,
        "segmented": 1,
        "pixels": 32,
        "slices": [16, 16],
        "boxed_share": 1,
    }
    root = tmp_path / "data"
    make_phantom(root, tmp_path / "truth", tmp_path / "manifest.csv", config=PhantomConfig(seed=3, **block))
    found, planned = facts_of_folder(root, listed(root)), facts_of_phantom(block, seed=3)
    assert replace(found, voxels=0) == replace(planned, voxels=0) and found.boxed > 0
    assert found.voxels == pytest.approx(planned.voxels, rel=0.1)
    assert facts_of_folder(root, listed(root), subset=0.5).files["train"] == round(found.files["train"] / 2)


# -- splitting what a job took -----------------------------------------------------------------------------------------


def events(*reports: tuple[str, int, bool, float]) -> list[dict[str, Any]]:
    lines = [(progress.BEGINS, 0, False, 10.0), *reports]
    return [
        {"task": task, "done": done, "aside": aside, "at": at, "cpu_seconds": at - 8, "peak_mb": 50.0}
        for task, done, aside, at in lines
    ]


def done(stage: str, seconds: float) -> dict[str, Any]:
    outputs = {"model": [{"size": 700}], "state": [{"size": 300}]}
    costs = {"seconds": seconds, "cpu_seconds": seconds, "peak_mb": 90.0}
    return {"stage": stage, "at": PLACE, "config": {}, "costs": costs, "outputs": outputs}


def test_steps_are_told_from_start_up_and_from_the_evaluation() -> None:
    steps = [("train", step, False, 15.0 + step) for step in (1, 2, 3, 4)]  # the first took five seconds more
    asides = [("train: evaluation", 1, True, 19.5), ("train: evaluation", 2, True, 20.0)]
    one = spending(done("train", 12.0), events(*steps, *asides), batch=8, watched=16)
    assert told(one.pieces.seconds)[0] == pytest.approx(4, rel=0.02)
    assert told(one.judging.seconds)[0] == pytest.approx(1, rel=0.02)
    assert told(one.fixed.seconds)[0] == pytest.approx(12 - 5, rel=0.02)
    assert (one.size, one.memory) == (1000, 90.0)


def test_uneven_steps_make_a_wider_interval() -> None:
    def width(*at: float) -> float:
        one = spending(done("train", 30.0), events(*(("train", i + 1, False, t) for i, t in enumerate(at))), batch=8)
        _, low, high = told(one.pieces.seconds)
        return high - low

    assert width(11, 12, 16, 17, 21, 22) > 1.5 * width(11, 13, 15, 17, 19, 21)


def test_of_a_table_that_could_not_be_copied_anything_from_none_to_all_may_grow() -> None:
    one = spending(done("index", 3.0), events(("index", 1, False, 10.5)))
    _, low, high = told(one.pieces.cpu)
    assert low < 0.1 and 0.9 < high < 1.3  # three seconds, of which two came before it began


def test_copies_say_what_of_a_table_grows() -> None:
    one, other = with_slopes([spent("index"), spent("score")], {"index": Slope(0.5, 0.4, 3.0)})
    assert told(one.pieces.seconds)[0] == pytest.approx(0.5, rel=0.02) and one.grows_mb == pytest.approx(3.0, abs=0.5)
    assert told((one.fixed + one.pieces).seconds)[0] == pytest.approx(3.0, rel=0.01)
    assert told(other.pieces.seconds)[0] == 2.0


def test_a_copy_has_the_rows_of_other_studies(tmp_path: Path) -> None:
    uid = "1.2.826.0.1.3680043.12"
    pq.write_table(pa.table({"StudyInstanceUID": [uid], "row_id": [f"{uid}_C1"], "z": [3]}), tmp_path / "t.parquet")
    rows = pq.read_table(copied(tmp_path / "t.parquet", tmp_path, copies=3)).to_pydict()
    assert rows["StudyInstanceUID"] == [uid, f"{uid}01", f"{uid}02"]
    assert rows["row_id"][2] == f"{uid}02_C1" and rows["z"] == [3, 3, 3]


# -- the sum -----------------------------------------------------------------------------------------------------------


def test_four_times_the_rows_take_what_is_fixed_once_and_four_times_the_rest() -> None:
    one = expected(job("index"), Scale(FOUR, config()), sample(spent("index", grows_mb=10.0), overhead=0.5))
    assert told(one.amount.seconds)[0] == pytest.approx(1 + 0.5 + 4 * 2)
    assert told(one.amount.cpu)[0] == pytest.approx(1 + 4 * 2)
    assert one.memory == 100 + 3 * 10 and one.size[0] == 4000


def test_a_training_is_scaled_by_the_examples_it_is_shown_and_watched_on() -> None:
    training = {"epochs": 2, "epoch_steps": 10, "batch_size": 8, "threads": 2}
    like = spent("train", PLACE, judging=amount(0.5), steps=STEPS, batch=8, watched=100)
    block = {"family": "slice_cnn", "training": training}
    one = expected(job("train", PLACE, block), Scale(FOUR, config()), sample(like))
    watched = rows_of(Work("train", PLACE, {}), FOUR, config()).watched
    assert told(one.amount.seconds)[0] == pytest.approx(1 + 2 * (20 / STEPS) + 0.5 * 2 * watched / 100)
    assert one.cores == 2 and not one.gpu


def test_a_stage_of_which_nothing_is_known_is_named_and_adds_nothing() -> None:
    one = expected(job("index"), Scale(FOUR, config()), sample(spent("score")))
    assert not one.known and not one.amount.seconds.any()


def test_jobs_wait_for_what_they_read_and_share_the_cores() -> None:
    slots = [Slot(2, 1, False, 10), Slot(3, 1, False, 20), Slot(1, 4, False, 30)]
    assert laid_out(slots, [set(), set(), {0, 1}], cores=2, gpus=0).seconds == 4
    assert laid_out(slots, [set(), set(), {0, 1}], cores=1, gpus=0).seconds == 6
    assert laid_out(slots, [set(), set(), set()], cores=2, gpus=0).memory == 30


def test_trainings_on_one_gpu_follow_each_other() -> None:
    slots = [Slot(5, 1, True, 1), Slot(5, 1, True, 1)]
    assert laid_out(slots, [set(), set()], cores=4, gpus=1).seconds == 10
    assert laid_out(slots, [set(), set()], cores=4, gpus=2).seconds == 5


def small_forecast(kind: str = RUN, **given: Any) -> Any:
    whole = Scale(FOUR, config())
    jobs = [job("ingest", "view=slice,cohort=train,shard=0"), job("index")]
    marks = [Mark(jobs[0], kind), Mark(jobs[1], RUN)]
    likes = [spent("ingest", f"view=slice,cohort={cohort},shard=0") for cohort in ("train", "test")]
    return forecast(marks, whole, sample(*likes, spent("index"), **given), Machine(cores=1, gpus=0))


def test_what_is_in_the_store_takes_no_time_but_its_room() -> None:
    made, there = small_forecast(), small_forecast(HIT)
    assert told(made.seconds)[0] == pytest.approx(18) and told(there.seconds)[0] == pytest.approx(9)
    assert told(there.whole)[0] == pytest.approx(18) and told(there.cache)[0] == told(made.cache)[0] == 4000


def test_a_new_study_is_read_and_predicted_by_the_model_of_every_fold() -> None:
    ingested = [spent("ingest", f"view=slice,cohort={cohort},shard=0") for cohort in ("train", "test")]
    many = Scale(FACTS, config(folds={"count": 5, "run": [0, 1, 2]}))
    marks = [Mark(job("ingest", "view=slice,cohort=train,shard=0"), RUN)]
    given = sample(*ingested, spent("predict_slices", PLACE, pieces=50.0))  # of round 0, the submitted one is round 1
    one = forecast(marks, many, given, Machine(cores=2, gpus=0))
    assert told(one.study)[0] == pytest.approx(100 * (4 / 5000) / 2 + 3 * 100 * 50 / 5000)


def test_the_text_is_no_wider_than_it_says() -> None:
    found = small_forecast()
    numbers = figures(found)
    warned = limits.warnings({**numbers, "hours": {"high": 40.0}}, config(), FOUR, {})
    text = texts.words(found, numbers, Machine(1, 0), warned, ["a note " * 40])
    assert max(map(len, text.splitlines())) <= texts.COLUMNS and "! up to 40.0 h" in text


# -- limits ------------------------------------------------------------------------------------------------------------

WITHIN: dict[str, Any] = {
    "hours": {"high": 5.0}, "network_hours": {"high": 4.0}, "network_device": "cuda:0", "cache_gb": {"high": 15.0},
    "checkpoints_gb": {"high": 1.0}, "tables_gb": {"high": 0.1}, "ram_gb_largest_job": 8.0, "ram_gb_side_by_side": 12.0,
    "seconds_per_study": {"high": 5.0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "key"),
    [
        ({"cache_gb": {"high": 30.0}}, "views.<name>.pixels"),
        ({"checkpoints_gb": {"high": 30.0}}, "folds.run"),
        ({"hours": {"high": 24.0}}, "time_budget=11h30m"),
        ({"network_hours": {"high": 60.0}}, "training.epochs=2"),
        ({"seconds_per_study": {"high": 30.0}}, "views.slice.pixels"),
        ({"ram_gb_largest_job": 40.0}, "batch_size"),
        ({"ram_gb_side_by_side": 40.0}, "--cores"),
    ],
)
def test_a_broken_limit_names_the_key_to_change(broken: dict[str, Any], key: str) -> None:
    real = config("rsna")
    assert limits.warnings(WITHIN, real, FOUR, {}) == []
    (warned,) = limits.warnings({**WITHIN, **broken}, real, FOUR, {})
    assert key in warned


# -- the rehearsal -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("presets", [(), ("smoke",), ("rsna",), ("own-data",)])
def test_a_rehearsals_config_is_one_that_a_run_takes(presets: tuple[str, ...]) -> None:
    small = rehearsal_config(config(*presets))
    taken = complete_config(merged(read_yaml(ROOT / "config.yaml"), small), read_yaml(ROOT / SCHEMA))
    assert taken["data"]["root"] == "data/phantom" and taken["folds"]["run"] == [0]
    steps = STEPS if "rsna" in presets or "own-data" in presets else PHANTOM_STEPS
    for name, block in taken["methods"].items():
        assert block["training"]["epochs"] * block["training"]["epoch_steps"] == steps, name
        assert block["network"]["weights"] != "hub", name
        assert block["network"]["name"] == config(*presets)["methods"][name]["network"]["name"], name


def test_a_rehearsal_of_one_round_is_asked_for_the_pseudo_labels_too() -> None:
    assert pseudo_labels_of([job("pseudo_label", PLACE), job("index")]) == (
        "results/semi_supervised/fold-0/round-0/pseudo_labels.parquet",
    )


@pytest.mark.slow
def test_the_plan_of_a_phantom_four_times_the_rehearsals_is_within_30_percent_of_its_run(tmp_path: Path) -> None:
    project = checkout(tmp_path / "run")
    words = ("--configfile", "presets/smoke.yaml", "--config",
             "set=phantom.studies=96 phantom.test_studies=24 phantom.segmented=24")  # fmt: skip
    project.run("plan", *words)
    planned = json.loads(project.read("results/plan.json"))
    assert not list((project.folder / "work").glob("*/*/done.json")), "the rehearsal left results in the run's store"
    project.run("submission", *words)
    records = (project.folder / "work").glob("*/*/done.json")
    took = sum(json.loads(path.read_text(encoding="utf-8"))["costs"]["cpu_seconds"] for path in records)
    assert planned["cpu_hours"]["value"] * 3600 == pytest.approx(took, rel=0.3)
    assert not planned["unmeasured"]
    shutil.rmtree(project.folder)

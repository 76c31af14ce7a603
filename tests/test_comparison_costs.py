"""What a method took: everything on its way, each result once, and nothing where no record tells."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cspine.comparison.spent import Costs, costs_of, made, over_folds, upstream
from cspine.store.records import DONE, read_done, write_json
from small_stores import finish, request

FOLD = "results/m/fold-0"
ENDING = f"{FOLD}/round-1/study_probabilities.parquet"


def stage(name: str, output: str, at: str, seconds: float, **inputs: str) -> Path:
    """A finished result of so many seconds, and as many MB times ten."""
    held = finish(request(name, {"output": output}, {"of": output}, inputs, at), seconds=seconds)
    done = dict(held.record)
    done["costs"] = {**done["costs"], "peak_mb": 10 * seconds}
    done["device"] = "cuda" if name == "train" else "cpu"
    write_json(held.folder / DONE, done)
    return held.folder


@pytest.fixture
def chain(workplace: Path) -> Path:
    """Two rounds of a method: its labels ask a localizer, and round 1 is taught round 0's pseudo-labels."""
    localizer, at = "localizer=segmentation,fold=0", "method=m,fold=0,round={}"
    stage("ingest", "results/cache/shard-0.parquet", "view=slice,cohort=train,shard=0", 1000)
    stage("train", "results/l/model.safetensors", f"{localizer},inner=0", 7, shards="results/cache/shard-0.parquet")
    stage("localize_slices", "results/l/fold-0.parquet", localizer, 2, model="results/l/model.safetensors")
    stage("assign_boxes", f"{FOLD}/labels.parquet", "method=m,fold=0", 3, localization="results/l/fold-0.parquet")
    for number, extra in ((0, {}), (1, {"pseudo": f"{FOLD}/round-0/pseudo.parquet"})):
        folder, here = f"{FOLD}/round-{number}", at.format(number)
        stage("build_training_set", f"{folder}/set.parquet", here, 5, labels=f"{FOLD}/labels.parquet", **extra)
        stage("train", f"{folder}/model.safetensors", here, 40 + number, taught=f"{folder}/set.parquet")
        stage("predict_slices", f"{folder}/predictions.parquet", here, 10 + number, model=f"{folder}/model.safetensors")
        stage("pseudo_label", f"{folder}/pseudo.parquet", here, 1, predictions=f"{folder}/predictions.parquet")
    stage("aggregate_studies", ENDING, at.format(1), 2, predictions=f"{FOLD}/round-1/predictions.parquet")
    return workplace


def test_training_is_all_of_the_methods_own_up_to_its_last_model(chain: Path) -> None:
    costs = costs_of(Path(ENDING), taught=10, predicted=13)
    own = 3 + 2 * 5 + 40 + 41 + 10 + 1  # labels, sets, trainings, round 0's predictions and its pseudo-labels
    assert costs.training_seconds == own and costs.training_seconds_per_study == own / 10
    assert costs.training_peak_mb == 410


def test_inference_is_the_last_prediction_and_the_aggregation(chain: Path) -> None:
    costs = costs_of(Path(ENDING), taught=10, predicted=13)
    assert costs.inference_seconds_per_study == (11 + 2) / 13 and costs.inference_peak_mb == 110
    assert costs.device == "cpu, cuda"


def test_localizers_and_reading_are_apart(chain: Path) -> None:
    costs = costs_of(Path(ENDING), taught=10, predicted=13)
    assert costs.localizer_training_seconds == 7 and costs.localizer_peak_mb == 70


def test_a_result_that_is_reached_twice_counts_once(chain: Path) -> None:
    root = made(Path(ENDING))
    assert root is not None
    folders = [one.folder for one in upstream(root)]
    assert len(folders) == len(set(folders)) == 12  # the labels of both rounds are one; the last pseudo-labels unused


def test_a_teacher_that_another_method_made_first_counts_for_each(chain: Path) -> None:
    other = "results/n/fold-0/round-0"
    at = "method=n,fold=0,round=0"
    shutil.copytree("results/m/fold-0/round-0", other, symlinks=True)
    stage("aggregate_studies", f"{other}/p.parquet", at, 2, predictions=f"{other}/predictions.parquet")
    costs = costs_of(Path(f"{other}/p.parquet"), taught=10, predicted=13)
    assert costs.training_seconds == 3 + 5 + 40 and costs.inference_seconds_per_study == (10 + 2) / 13


def test_every_member_counts(chain: Path) -> None:
    folder, at = "results/e/fold-0/round-0", "method=e,fold=0,round=0"
    models = {f"model_{n}": f"{folder}/members/{n}/model.safetensors" for n in range(3)}
    for number, path in enumerate(models.values()):
        stage("train", path, f"{at},member={number}", 20 + number)
    stage("predict_studies", f"{folder}/predictions.parquet", at, 6, **models)
    stage("aggregate_studies", f"{folder}/p.parquet", at, 2, predictions=f"{folder}/predictions.parquet")
    costs = costs_of(Path(f"{folder}/p.parquet"), taught=10, predicted=4)
    assert costs.training_seconds == 63 and costs.inference_seconds_per_study == 2
    assert np.isnan(costs.localizer_training_seconds)


def test_a_file_copied_by_hand_has_no_costs(chain: Path) -> None:
    content = Path(ENDING).read_text()
    Path(ENDING).unlink()
    Path(ENDING).write_text(content)
    assert np.isnan(costs_of(Path(ENDING), 10, 13).training_seconds) and costs_of(Path(ENDING), 10, 13).device == ""


def test_an_input_that_was_made_anew_with_other_content_is_not_on_the_way(chain: Path) -> None:
    path = f"{FOLD}/round-1/predictions.parquet"
    finish(request("predict_slices", {"output": path}, {"of": "other"}, at="method=m,fold=0,round=1"), "other", 99)
    assert costs_of(Path(ENDING), 10, 13).inference_seconds_per_study == 2 / 13


def test_over_folds_seconds_are_a_mean_and_memory_is_the_largest() -> None:
    found = over_folds([Costs(training_seconds=1, training_peak_mb=5, device="cpu"),
                        Costs(training_seconds=3, training_peak_mb=4, device="cuda"), Costs()])  # fmt: skip
    assert (found["training_seconds"], found["training_peak_mb"], found["device"]) == (2, 5, "cpu, cuda")
    assert np.isnan(found["localizer_peak_mb"])


def test_the_costs_of_a_result_are_those_of_all_its_segments(chain: Path) -> None:
    root = made(Path(ENDING))
    done = read_done(root.folder) if root else None
    assert root and done and root.cost("seconds") == done["costs"]["seconds"]

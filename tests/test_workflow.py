"""The whole workflow as a user runs it, at smoke size: it ends, resumes after kill -9 and redoes only what changed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from cspine.cache.reading import SliceCache
from cspine.phantom.dicom_files import read_hu
from cspine.studies import UID, VERTEBRAE
from cspine.views.windows import apply_window, resize_slice
from smoke_projects import ROOT, Project, clean, smoke_project

FOLD = "results/semi_supervised/fold-0"
RIVER = {"build_training_set", "train", "predict_slices", "aggregate_studies", "write_submission", "score"}

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return smoke_project(tmp_path_factory, "checkout")


def test_the_run_ends_with_a_score_that_says_what_it_may_claim(project: Project) -> None:
    printed = project.printed
    assert "results/submission.csv is ready" in printed
    for words in (
        "phantom",
        "smoke: checks that it runs, measures nothing",
        "per-exam (a)",
        "pooled (b)",
        "constant",
    ):
        assert words in printed


def test_the_submission_has_exactly_the_samples_rows_in_its_order(project: Project) -> None:
    submission = pd.read_csv(project.folder / "results/submission.csv")
    sample = pd.read_csv(project.folder / "data/phantom/sample_submission.csv")
    assert submission["row_id"].tolist() == sample["row_id"].tolist()
    assert submission["fractured"].between(0, 1).all()


def test_slice_order_and_reversed_studies_agree_with_the_phantoms_hidden_truth(project: Project) -> None:
    truth = project.table("data/phantom_truth/slices.parquet").set_index(["cohort", UID, "slice_number"])
    slices = project.table("results/index/slices.parquet").set_index(["cohort", UID, "slice_number"])
    assert len(slices) == len(truth) and not slices.index.duplicated().any()
    both = slices[["z_index"]].join(truth["z_index"].rename("hidden"))
    assert (both["z_index"] == both["hidden"]).all()
    made = project.table("data/phantom_truth/studies.parquet").set_index(UID)["reversed"].astype(bool)
    read = project.table("results/index/studies.parquet").query("readable").set_index(UID)["reversed"]
    assert made.any() and not made.all()
    assert read.to_dict() == made[read.index].to_dict()


def test_a_cached_slice_is_its_file_unturned(project: Project) -> None:
    cache = SliceCache(sorted(project.folder.glob("results/cache/slice/train/shard-?.parquet")))
    slices = project.table("results/index/slices.parquet").query("cohort == 'train'")
    for row in slices.iloc[:: len(slices) // 7].itertuples():
        file = project.folder / f"data/phantom/train_images/{row.StudyInstanceUID}/{row.slice_number}.dcm"
        expected = resize_slice(apply_window(read_hu(file), 400, 2000), 48)
        found = cache[str(row.StudyInstanceUID), int(row.z_index)]  # type: ignore[arg-type]
        assert np.array_equal(found, expected)
        assert not np.array_equal(found, expected[:, ::-1]) and not np.array_equal(found, expected[::-1])


def test_a_boxed_slice_is_positive_for_whatever_the_truth_shows_broken_in_it(project: Project) -> None:
    labels = project.table("results/labels/slices.parquet").set_index([UID, "slice_number"])
    boxes = pd.read_csv(project.folder / "data/phantom/train_bounding_boxes.csv").set_index([UID, "slice_number"])
    assert set(labels.index[labels["source"] == "box"]) == set(boxes.index) and len(boxes) > 0
    assert project.table("results/labels/findings.parquet").empty  # the phantom's boxes are all good
    truth = project.table("data/phantom_truth/slices.parquet").query("cohort == 'train'")
    boxed = truth.set_index([UID, "slice_number"]).loc[boxes.index]
    for vertebra in VERTEBRAE:
        broken = boxed.index[boxed[f"fractured_{vertebra}"] == 1]
        assert (labels.loc[broken, vertebra] == 1).all(), vertebra
    assert (labels.loc[labels["source"] != "box", list(VERTEBRAE)] == 0).all(axis=None)


def test_presence_from_the_masks_is_what_the_truth_says_of_the_segmented_studies(project: Project) -> None:
    presence = project.table("results/labels/presence.parquet")
    studies = project.table("data/phantom_truth/studies.parquet").set_index(UID)
    assert set(presence[UID]) == set(studies.index[studies["segmented"]])
    both = presence.merge(project.table("data/phantom_truth/slices.parquet"), on=[UID, "slice_number"])
    assert len(both) == len(presence) > 0
    for vertebra in VERTEBRAE:
        assert (both[vertebra] == both[f"present_{vertebra}"]).all(), vertebra
    taught = project.table(f"{FOLD}/round-1/training_set.parquet")
    assert set(taught.loc[taught["present_C1"].notna(), UID]) <= set(presence[UID])


def test_no_held_out_study_is_in_anything_its_fold_saw(project: Project) -> None:
    folds = project.table("results/folds.parquet")
    heldout = set(folds.loc[(folds["fold"] == 0) & (folds["role"] == "heldout"), UID])
    test = {path.name for path in (project.folder / "data/phantom/test_images").iterdir()}
    assert heldout and test
    seen = [
        *(project.folder / FOLD).glob("*/training_set.parquet"),
        *(project.folder / FOLD).glob("*/pseudo_labels.parquet"),
    ]
    assert len(seen) == 3  # two rounds' training sets, one round's pseudo-labels
    for path in seen:
        assert not set(pd.read_parquet(path)[UID]) & (heldout | test), path


def test_the_student_is_taught_more_studies_than_the_teacher(project: Project) -> None:
    teacher, student = (project.table(f"{FOLD}/round-{number}/training_set.parquet") for number in (0, 1))
    taught = [set(t.loc[t["role"] == "train", UID]) for t in (teacher, student)]
    assert taught[0] < taught[1]
    assert "pseudo" in set(student["source"]) and "pseudo" not in set(teacher["source"])


def test_the_same_command_again_runs_nothing(project: Project) -> None:
    before, bytes_before = project.segments(), project.read("results/submission.csv")
    printed = project.run()
    assert project.executed(before) == set() and project.read("results/submission.csv") == bytes_before
    assert "1 of 1 steps" in printed and "best constant" in printed  # only the score is shown again


def test_with_snakemakes_records_lost_one_changed_key_runs_its_stage_and_its_chain(project: Project) -> None:
    project.forget()
    before = project.segments()
    printed = project.run("submission", "--config", "set=methods.semi_supervised.pseudo_labels.run_slices=98")
    assert "pseudo_label: 3 outputs will be made again: config: run_slices 7 -> 98" in printed
    assert project.executed(before) == {"pseudo_label"} | RIVER
    # equal content stops there: no study has 98 slices, so 99 gives the same labels
    project.forget()
    before = project.segments()
    project.run("submission", "--config", "set=methods.semi_supervised.pseudo_labels.run_slices=99")
    assert project.executed(before) == {"pseudo_label"}
    # and the way back costs nothing
    before = project.segments()
    project.run()
    assert project.executed(before) == set()


def test_with_snakemakes_records_lost_an_output_made_from_other_inputs_is_noticed(project: Project) -> None:
    before = project.segments()
    project.run("submission", "--config", "set=methods.semi_supervised.rounds=1")
    assert project.executed(before) == {"aggregate_studies", "write_submission", "score"}
    project.forget()
    before = project.segments()
    printed = project.run()  # two rounds again: every file is there, but the submission came from the first
    assert "write_submission: 2 outputs will be made again: it is made from another study_probabilities now" in printed
    assert project.executed(before) == set()


def test_a_dry_run_reports_a_changed_key_and_takes_nothing_away(project: Project) -> None:
    links = sorted(p for p in (project.folder / "results").rglob("*") if p.is_symlink())
    printed = project.run("-n", "submission", "--config", "set=score.bootstrap=50")
    assert "would be made again: config: bootstrap 100 -> 50" in printed
    assert sorted(p for p in (project.folder / "results").rglob("*") if p.is_symlink()) == links


def test_a_missing_store_folder_is_noticed_before_planning(project: Project) -> None:
    shutil.rmtree((project.folder / "results/folds.parquet").resolve().parent)
    before, submission = project.segments(), project.read("results/submission.csv")
    project.run()
    assert project.executed(before) == {"assign_folds"} and project.read("results/submission.csv") == submission


@pytest.mark.slow
def test_the_audit_asked_for_afterwards_only_writes_the_page_and_a_page_changed_by_hand_is_made_again(
    project: Project,
) -> None:
    project.run()
    before = project.segments()
    printed = project.run("audit")
    assert project.executed(before) <= {"write_audit"}
    assert "audit of the PHANTOM" in printed and "results/audit.html is ready" in printed
    page = project.read("results/audit.html")
    (project.folder / "results/audit.html").write_text("changed by hand")
    project.run("audit")
    assert project.read("results/audit.html") == page and (project.folder / "results/.audit.html.receipt.json").exists()


@pytest.mark.slow
def test_the_quality_of_the_pseudo_labels_asked_for_afterwards_is_measured_and_nothing_is_trained(
    project: Project,
) -> None:
    project.run()
    before = project.segments()
    printed = project.run("pseudo_quality", "pseudo_pages")
    assert project.executed(before) == {"measure_pseudo_labels", "write_pseudo_quality", "write_pseudo_pages"}
    assert "pseudo-labels of semi_supervised on the PHANTOM" in printed
    rounds = [project.table(f"results/semi_supervised/fold-0/round-{r}/pseudo_quality.parquet") for r in (0, 1)]
    assert [set(table["round"]) for table in rounds] == [{0}, {1}]
    assert b"most doubtful labels" in project.read("results/semi_supervised/pseudo_labels.html")


def test_a_submission_changed_by_hand_is_made_again(project: Project) -> None:
    path = project.folder / "results/submission.csv"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"0.", b"1.", 1))
    printed = project.run()
    assert "altered since it was made" in printed and path.read_bytes() == whole


def test_the_whole_process_group_killed_the_same_command_goes_on(project: Project) -> None:
    wanted = project.read("results/submission.csv")
    shutil.rmtree(project.folder / "work/train")
    before = project.segments()
    command = project.command("submission", "--config", "set=runtime.checkpoint_steps=1")
    running = subprocess.Popen(
        command, cwd=project.folder, env=clean({}), start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("train:"):  # it has taken a step
            break
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    project.run()
    assert "train" in project.executed(before) and project.read("results/submission.csv") == wanted


def test_a_failed_job_ends_with_its_error_and_the_path_of_its_log(project: Project) -> None:
    printed = project.run(
        "submission", "--config", "set=methods.semi_supervised.network.name=tf_efficientnetv2_x", ok=False
    )
    assert "train: error: network.name: timm has no network 'tf_efficientnetv2_x'" in printed
    ending = printed[printed.index("Exiting because a job execution failed") :]
    assert "train: error: network.name" in ending and "Mend it and run the same command again" in ending
    assert "train: log: logs/train/semi_supervised/fold-0/round-0.txt" in ending
    assert "Traceback" not in printed


def test_a_weights_file_that_is_not_there_stops_before_any_job(project: Project) -> None:
    setting = "set=methods.semi_supervised.network.weights=nowhere.pth"
    printed = project.run("submission", "--config", setting, ok=False)
    assert "methods.semi_supervised.network.weights: no file nowhere.pth; expected none, hub or the path" in printed


def test_a_mistyped_key_stops_before_any_job(project: Project) -> None:
    printed = project.run("submission", "--config", "set=folds.cuont=3", ok=False)
    assert "folds.cuont: unknown key; did you mean folds.count?" in printed and "Traceback" not in printed


def test_no_target_says_what_the_targets_are(project: Project) -> None:
    printed = project.run("--configfile", "presets/smoke.yaml")
    assert "snakemake --cores 4 TARGET" in printed and "results/submission.csv and its score" in printed


def test_a_shard_that_is_gone_is_put_back_for_whoever_is_given_its_list(project: Project) -> None:
    project.run()
    was = project.read("results/submission.csv")
    (project.folder / "results/cache/slice/train/shard-1.parquet").unlink()
    predictions = project.folder / "results/semi_supervised/fold-0/round-1/predictions.parquet"
    shutil.rmtree(predictions.resolve().parent)
    before = project.segments()
    printed = project.run()
    assert "results/cache/slice/train/shard-1.parquet is gone" in printed
    assert project.executed(before) == {"predict_slices"} and project.read("results/submission.csv") == was


def test_the_real_presets_dry_run_works_on_a_phantom_laid_out_in_its_place(project: Project) -> None:
    place = project.folder / "data/rsna-2022-cervical-spine-fracture-detection"
    if not place.exists():
        place.symlink_to("phantom")
    printed = project.run("-n", "--forceall", "submission", "--configfile", "presets/rsna.yaml")
    assert re.search(r"^ingest +128$", printed, re.MULTILINE)
    assert not re.search(r"^make_phantom +1$", printed, re.MULTILINE)
    place.unlink()


def test_the_costs_of_every_result_are_in_its_record(project: Project) -> None:
    for done in (project.folder / "work").glob("*/*/done.json"):
        costs = json.loads(done.read_text())["costs"]
        assert costs["seconds"] >= 0 and costs["peak_mb"] > 0, done


def test_the_picture_of_the_workflow_in_the_readme_has_the_edges_it_really_has(project: Project) -> None:
    drawn = project.run("--rulegraph", "mermaid-js", "submission", "--configfile", "config.yaml")
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", drawn))
    real = {(names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", drawn)}
    block = (ROOT / "README.md").read_text(encoding="utf-8").split("```mermaid")[1].split("```")[0]
    chains = [re.findall(r"\w+", line) for line in block.splitlines() if "-->" in line]
    assert {edge for chain in chains for edge in pairwise(chain)} == real


TINY = (
    "phantom.test_studies=24 phantom.segmented=6 data.shards=1 "
    "methods.semi_supervised.training.epochs=1 methods.semi_supervised.training.epoch_steps=4 "
    "methods.semi_supervised.training.warmup_steps=1 methods.semi_supervised.student.training.epochs=1 "
    "methods.semi_supervised.student.training.epoch_steps=4 methods.semi_supervised.student.training.warmup_steps=1 "
    "methods.presence.training.epochs=1"
)


def test_the_evidence_is_planned_in_a_folder_of_its_own_with_its_own_sizes(project: Project) -> None:
    project.run()
    before = project.read("results/submission.csv"), project.segments()
    printed = project.run("-n", "evidence", "--config", f"set={TINY}")
    for rule in ("weigh_evidence", "label_presence", "pseudo_label", "make_phantom"):
        assert rule in printed, rule
    assert (project.folder / "experiments/evidence").is_dir()
    assert (project.read("results/submission.csv"), project.segments()) == before


@pytest.mark.slow
def test_the_evidence_at_smoke_size_ends_in_its_table_and_leaves_the_submission_alone(project: Project) -> None:
    project.run()
    before = project.read("results/submission.csv"), project.segments()
    printed = project.run("evidence", "--config", f"set={TINY}")
    for words in ("measures nothing", "PHANTOM", "4 optimiser steps", "taught the truth", "- commit:", "- seed: 2022"):
        assert words in printed, words
    assert (project.folder / "experiments/evidence/results/evidence.md").is_file()
    assert (project.read("results/submission.csv"), project.segments()) == before
    started = re.findall(r"init_from: .* taken from results/presence/fold-0/round-0/model.safetensors", printed)
    assert len(started) == 3  # teacher, student and truth

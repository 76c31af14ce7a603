"""Data that are not Kaggle's, from a CSV with other names to a submission: partial labels, no masks, hashed names."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from cspine.importing.hashed_uids import hashed_uid, read_key
from cspine.studies import LABELS, UID, UNKNOWN, VERTEBRAE
from smoke_projects import Project, checkout, clean, smoke_project

pytestmark = pytest.mark.workflow

FOLD = "results/semi_supervised/fold-0"
NAMES = {UID: "case", "patient_overall": "any fracture", **{v: f"fx {v.lower()}" for v in VERTEBRAE}}
BOX_NAMES = {UID: "case", "x": "left", "y": "top", "width": "w", "height": "h", "slice_number": "slice"}


class Own(NamedTuple):
    project: Project  # it has trained on the imported data
    labels: pd.DataFrame  # of the phantom, complete
    given: pd.DataFrame  # the same with blanks, as imported; by the names of LABELS
    uids: set[str]  # every original name


def foreign_labels(labels: pd.DataFrame) -> pd.DataFrame:
    """Labels with blanks: those of half the unfractured studies follow, of two fractured ones do not, one is lost."""
    given = labels.astype("object")
    whole, fractured = (labels.index[labels["patient_overall"] == value] for value in (0, 1))
    given.loc[whole[::2], list(VERTEBRAE)] = ""
    given.loc[whole[1], ["patient_overall", "C4"]] = ""
    for uid in fractured[:2]:
        free = [v for v in VERTEBRAE if labels.loc[uid, v] == 0][:2]
        given.loc[uid, free] = ""
    given.loc[fractured[2], "patient_overall"] = ""
    return given


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Own:
    """The smoke phantom under other names, imported and trained on."""
    phantom = smoke_project(tmp_path_factory, "phantom").folder / "data/phantom"
    project = checkout(tmp_path_factory.mktemp("own") / "run")
    source = project.folder.parent / "source"
    shutil.copytree(phantom, source)
    labels = pd.read_csv(source / "train.csv", dtype={UID: "str"}).drop_duplicates(UID).set_index(UID)[list(LABELS)]
    given = foreign_labels(labels)
    given.reset_index().rename(columns=NAMES).to_csv(source / "cases.csv", index=False)
    boxes = pd.read_csv(source / "train_bounding_boxes.csv", dtype="str").rename(columns=BOX_NAMES)
    boxes.to_csv(source / "boxes.csv", index=False)
    words = ["../source/cases.csv", "../source/train_images", "--test", "../source/test_images", "--hash-uids"]
    words += ["--study", "case", "--columns", *(f"{name}={NAMES[name]}" for name in LABELS)]
    words += ["--boxes", "../source/boxes.csv", "--box-columns", *(f"{name}={c}" for name, c in BOX_NAMES.items())]
    call = [sys.executable, "-m", "cspine", "import", *words]
    environment = clean({"PYTHONPATH": str(project.folder / "src")})
    done = subprocess.run(call, cwd=project.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    project.run(
        "submission", "audit", "--configfile", "presets/smoke.yaml", "presets/own-data.yaml",
        "--config", "set=methods.semi_supervised.training.epochs=1",
    )  # fmt: skip
    return Own(project, labels, given, {p.name for c in ("train", "test") for p in (source / f"{c}_images").iterdir()})


def test_the_whole_chain_answers_every_row_of_the_test_studies(own: Own) -> None:
    submission = pd.read_csv(own.project.folder / "results/submission.csv")
    sample = pd.read_csv(own.project.folder / "data/own/sample_submission.csv")
    assert list(submission["row_id"]) == list(sample["row_id"]) and len(sample) >= 8
    assert submission["fractured"].between(0.001, 0.999).all()


def test_what_the_blanks_imply_is_known_and_the_others_stay_unknown(own: Own) -> None:
    key = read_key(own.project.folder / "data/own.key")
    assert key is not None
    studies = own.project.table("results/index/studies.parquet")
    studies = studies[(studies["cohort"] == "train") & studies["in_csv"]].set_index(UID)[list(LABELS)]
    truth = own.labels.set_index(own.labels.index.map(lambda uid: hashed_uid(uid, key))).loc[studies.index]
    unknown = studies == UNKNOWN
    assert (studies[~unknown] == truth[~unknown])[~unknown].fillna(True).all(axis=None)
    blanks = int((own.given == "").sum().sum())
    assert 0 < unknown.sum().sum() == 2 * 2 + 2 < blanks
    findings = own.project.table("results/index/findings.parquet")["code"].value_counts()
    assert findings["partial-labels"] == 2 and findings["unknown-overall"] == 1


def test_a_study_of_unknown_overall_is_predicted_and_neither_taught_nor_scored(own: Own) -> None:
    studies = own.project.table("results/index/studies.parquet")
    (lost,) = studies.loc[studies["in_csv"] & (studies["cohort"] == "train") & (studies["patient_overall"] < 0), UID]
    assert lost not in set(own.project.table("results/folds.parquet")[UID])
    for table in ("training_set", "pseudo_labels"):
        assert lost not in set(own.project.table(f"{FOLD}/round-0/{table}.parquet")[UID])
    assert lost in set(own.project.table(f"{FOLD}/round-0/predictions.parquet")[UID])


def test_unknown_cells_are_taught_by_no_round_but_through_the_models_own_labels(own: Own) -> None:
    studies = own.project.table("results/index/studies.parquet").query("cohort == 'train'").set_index(UID)
    for number in (0, 1):
        taught = own.project.table(f"{FOLD}/round-{number}/training_set.parquet")
        assert not [name for name in taught.columns if name.startswith("present_")]  # no masks
        boxed = taught[taught["source"] == "box"]
        wanted = studies.loc[boxed[UID], list(VERTEBRAE)].to_numpy(dtype=np.float64)
        np.testing.assert_array_equal(
            boxed[list(VERTEBRAE)].to_numpy(dtype=np.float64), np.where(wanted == UNKNOWN, np.nan, wanted)
        )
        assert not taught.loc[taught["source"] != "box", list(VERTEBRAE)].isna().any(axis=None)
    history = own.project.table(f"{FOLD}/round-0/history.parquet")
    assert np.isfinite(history[["train_loss", "select_loss", "select_accuracy"]]).all(axis=None)


def test_scores_count_the_studies_whose_label_is_known(own: Own) -> None:
    scores = own.project.table("results/semi_supervised/scores.parquet")
    folds = own.project.table("results/folds.parquet").query("fold == 0 and role == 'heldout'")
    studies = own.project.table("results/index/studies.parquet").query("cohort == 'train'").set_index(UID)
    heldout = studies.loc[folds[UID]]
    aucs = scores[(scores["measure"] == "auc") & (scores["cohort"] == "heldout")].set_index("label")
    assert {v: int(aucs["studies"][v]) for v in VERTEBRAE} == {v: int((heldout[v] >= 0).sum()) for v in VERTEBRAE}
    assert set(scores["cohort"]) == {"heldout"}  # nobody knows the truth of the test studies
    assert "real data" in (own.project.folder / "results/semi_supervised/score.txt").read_text()


def test_no_original_name_is_in_anything_that_the_workflow_wrote(own: Own) -> None:
    assert len(own.uids) > 20
    folder, searched = own.project.folder, 0
    seen: set[str] = set()
    places = [p for place in ("results", "work", "logs", "data/own") for p in (folder / place).rglob("*")]
    for path in places:
        assert path.name not in own.uids, path
        if not path.is_file() or path.is_relative_to(folder / "data/own/train_images"):
            continue
        searched += 1
        if path.suffix == ".parquet":
            columns = [c for c in pd.read_parquet(path).columns if c != "pixels"]
            text = pd.read_parquet(path, columns=columns).to_csv()
        else:
            text = path.read_bytes().decode("latin-1")
        named = set(re.findall(r"[0-9]+(?:\.[0-9]+)+", text))
        assert own.uids.isdisjoint(named), path
        seen |= named
    key = read_key(folder / "data/own.key")
    assert key is not None and {hashed_uid(uid, key) for uid in own.uids} <= seen  # the search does see names
    assert searched > 60


def test_the_record_says_what_came_from_where(own: Own) -> None:
    record = json.loads((own.project.folder / "data/own/import.json").read_text())
    assert record["columns"] == NAMES and record["box_columns"] == BOX_NAMES
    assert record["names"] == "hashed" and record["pixels"] == "linked"
    with (own.project.folder / "data/own/train.csv").open(newline="") as stream:
        assert record["counts"]["rows"] == len(list(csv.DictReader(stream)))
    assert str(own.project.folder.parent) not in json.dumps(record)


def test_without_boxes_the_run_stops_and_says_what_to_do(own: Own) -> None:
    folder = own.project.folder
    shutil.copytree(folder / "data/own", folder / "data/bare", symlinks=True)
    boxes = folder / "data/bare/train_bounding_boxes.csv"
    boxes.write_text(boxes.read_text().splitlines()[0] + "\n")
    printed = own.project.run(
        f"{FOLD}/round-0/training_set.parquet", "--configfile", "presets/smoke.yaml", "presets/own-data.yaml",
        "--config", "set=data.root=data/bare", ok=False,
    )  # fmt: skip
    assert "the teacher would be taught negatives only" in " ".join(printed.split())

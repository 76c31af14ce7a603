"""snakemake evaluate: labelled studies that are new to a bundle, predicted by it alone and scored beside a constant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cspine import runtime
from cspine.bundles.manifest import read_bundle
from cspine.bundles.seen import unseen
from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.stages.predict_with_bundle import PredictWithBundleConfig, predict_with_bundle
from cspine.stages.score_bundle import ScoreBundleConfig, score_bundle
from cspine.studies import LABELS, UID
from cspine.tables import read_table, write_table
from dicom_makers import labels, write_csv, write_study
from small_bundles import small_bundle
from smoke_projects import smoke_project

STRANGERS = ("own-1", "own-2", "own-3")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(autouse=True)
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.VARIABLE, '{"device": "cpu"}')


def taught(bundle: Path) -> str:
    """A study that the bundle's models have seen."""
    folds = read_table(bundle.parent / "bundle-beside/folds.parquet")
    roles = roles_of(folds, 0)
    return str(roles.index[roles == "train"][0])


def own_data(root: Path, train: Mapping[str, str], missing: tuple[str, ...] = ()) -> Path:
    """A raw folder of these studies (study -> fractured vertebrae), and the inventory's tables of it beside it."""
    rows = [{UID: uid, **labels(fractured)} for uid, fractured in train.items()]
    write_csv(root / "train.csv", (UID, *LABELS), rows)
    files = []
    for number, uid in enumerate(uid for uid in train if uid not in missing):
        write_study(root / "train_images" / uid, [5.0 * number - z for z in range(4)])
        files += [{UID: uid, "file": f"{i}.dcm", "size": 1, "digest": ""} for i in range(1, 5)]
    write_csv(root / "shard-0.csv", (UID, "file", "size", "digest"), files)
    return root


def evaluated(bundle: Path, root: Path, family: str = "slice_cnn") -> pd.DataFrame:
    out, parts = root / "out", root / "parts"
    parts.mkdir(exist_ok=True)
    predict_with_bundle(
        root, bundle / "bundle.json", root / "train.csv", [root / "shard-0.csv"], out / "probabilities.parquet",
        out / "predictions.parquet", out / "findings.parquet", parts, config=PredictWithBundleConfig(family),
    )  # fmt: skip
    return read_table(out / "probabilities.parquet")


def test_a_study_that_a_model_of_the_bundle_was_taught_by_is_left_out_and_named(bundle: Path, tmp_path: Path) -> None:
    known = taught(bundle)
    root = own_data(tmp_path, {known: "C2", **dict.fromkeys(STRANGERS, "")})
    (root / "out").mkdir()
    found = evaluated(bundle, root)
    assert list(found[UID]) == list(STRANGERS)
    findings = read_table(root / "out/findings.parquet")
    assert list(findings.loc[findings["code"] == "seen-in-training", UID]) == [known]
    assert set(read_table(root / "out/predictions.parquet")[UID]) == set(STRANGERS)


def test_a_bundle_that_has_seen_every_study_evaluates_nothing(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(CspineError, match="have seen all 1 labelled studies; expected studies that are new to them"):
        evaluated(bundle, own_data(tmp_path, {taught(bundle): "C2"}))


def test_a_study_without_a_folder_is_given_the_prior_with_its_reason(bundle: Path, tmp_path: Path) -> None:
    root = own_data(tmp_path, dict.fromkeys(STRANGERS, ""), missing=("own-2",))
    (root / "out").mkdir()
    found = evaluated(bundle, root).set_index(UID)
    assert dict(found["reason"]) == {"own-1": "", "own-2": "no-folder", "own-3": ""}
    assert np.allclose(found.loc["own-2", list(LABELS)].astype(float), read_bundle(bundle).prior)


def test_what_was_predicted_before_a_kill_is_not_predicted_again(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = own_data(tmp_path, dict.fromkeys(STRANGERS, ""))
    (root / "out").mkdir()
    first = evaluated(bundle, root)
    monkeypatch.setattr("cspine.prediction.answers.answers", lambda waiting, *rest: iter(waiting[:0]))
    assert evaluated(bundle, root).equals(first)


def test_another_family_than_the_config_names_is_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(CspineError, match=r"submission\.method: its family is other, the bundle in .* is of slice_cnn"):
        evaluated(bundle, own_data(tmp_path, dict.fromkeys(STRANGERS, "")), family="other")


def scored(bundle: Path, root: Path) -> tuple[pd.DataFrame, str]:
    score_bundle(
        root / "train.csv", bundle / "bundle.json", root / "probabilities.parquet", root / "scores.parquet",
        root / "score.txt", config=ScoreBundleConfig(phantom=False, bootstrap=20),
    )  # fmt: skip
    return read_table(root / "scores.parquet"), (root / "score.txt").read_text(encoding="utf-8")


def probabilities(uids: list[str], value: float = 0.3) -> pd.DataFrame:
    return pd.DataFrame([{UID: uid, **dict.fromkeys(LABELS, value), "reason": ""} for uid in uids])


def test_unknown_labels_count_nowhere_and_a_study_without_any_is_told(bundle: Path, tmp_path: Path) -> None:
    rows = [{UID: f"s{i}", **labels("C2" if i % 2 else "")} for i in range(6)]
    rows[0] |= dict.fromkeys(LABELS, "")  # nothing known
    rows[1] |= {"C5": "", "C6": ""}
    write_csv(tmp_path / "train.csv", (UID, *LABELS), rows)
    write_table(probabilities([f"s{i}" for i in range(6)]), tmp_path / "probabilities.parquet")
    table, text = scored(bundle, tmp_path)
    studies = table[table["measure"] == "auc"].set_index("label")["studies"]
    assert studies["patient_overall"] == 5 and studies["C5"] == 4 and studies["C2"] == 5
    assert "not scored: 1 studies of which no label is known" in text


def test_no_constant_is_better_than_the_one_it_is_compared_with(bundle: Path, tmp_path: Path) -> None:
    rows = [{UID: f"s{i}", **labels("C2" if i < 3 else "C7" if i < 5 else "")} for i in range(12)]
    write_csv(tmp_path / "train.csv", (UID, *LABELS), rows)
    for value in (0.05, 0.1, 0.3, 0.5):
        write_table(probabilities([f"s{i}" for i in range(12)], value), tmp_path / "probabilities.parquet")
        table, text = scored(bundle, tmp_path)
        losses = table[table["measure"] == "loss"]
        assert (losses["difference"] > 0).all()
    assert "fitted on the very labels it is scored by" in text and "real data" in text and "PHANTOM" in text


def test_without_a_known_label_there_is_nothing_to_score_by(bundle: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", (UID, *LABELS), [{UID: "s0", **dict.fromkeys(LABELS, "")}])
    write_table(probabilities(["s0"]), tmp_path / "probabilities.parquet")
    with pytest.raises(CspineError, match="no label of the 1 predicted studies is known"):
        scored(bundle, tmp_path)


@pytest.mark.workflow
def test_on_its_own_data_a_bundle_is_evaluated_on_the_held_out_studies_with_the_workflows_numbers(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    project = smoke_project(tmp_path_factory, "evaluate")
    before = project.segments()
    project.run("evaluate")
    assert project.executed(before) == {"build_wheel", "write_bundle", "predict_with_bundle", "score_bundle"}
    found = project.table("results/evaluation/study_probabilities.parquet").set_index(UID)
    ours = project.table("results/semi_supervised/fold-0/round-1/study_probabilities.parquet").set_index(UID)
    heldout = ours[ours["cohort"] == "heldout"]
    assert set(found.index) >= set(heldout.index)
    read = read_bundle(project.folder / "results/bundle")
    assert unseen(sorted(found.index), read.manifest["seen"]) == sorted(found.index)
    assert found.loc[heldout.index, list(LABELS)].equals(heldout[list(LABELS)])
    said = project.run("evaluate", "--config", "set=evaluate.bundle=nowhere", ok=False)
    assert "evaluate.bundle: no bundle.json in nowhere" in said

"""cspine predict: the workflow's numbers without the workflow, whatever the input, cut off at whatever moment."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import forks
from cspine import equipment, runtime
from cspine.bundles import needs
from cspine.bundles.layout import model_name
from cspine.bundles.manifest import read_bundle
from cspine.cache.encodings import read_encoding
from cspine.commands.predict import main
from cspine.dicom import read_study
from cspine.errors import CspineError
from cspine.pausing import PAUSED
from cspine.prediction.ensemble import Ensemble
from cspine.prediction.inputs import studies_at
from cspine.prediction.reading import read_for
from cspine.prediction.tables import TRIAGE
from cspine.predictions import AggregateConfig, apply_choice, highest_slices
from cspine.stages.ingest import IngestConfig, ingest
from cspine.stages.predict_slices import PredictConfig, predict_slices
from cspine.studies import LABELS, PRESENCE, UID, VERTEBRAE
from cspine.submission import check_submission, read_sample
from cspine.tables import read_table, write_table
from dicom_makers import JPEG_LOSSLESS, write_csv, write_study
from small_bundles import PREDICTION, PROJECT, VIEW, random_pixels, resign, small_bundle, write_sample, write_studies
from smoke_projects import ENOUGH_SECONDS, clean

UIDS = ("1.2.30", "1.2.4", "1.2.5")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_studies(tmp_path_factory.mktemp("studies"), UIDS)


@pytest.fixture(scope="module")
def whole(bundle: Path, studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run that nothing cuts off leaves; the sample lies beside it."""
    place = tmp_path_factory.mktemp("whole")
    sample = write_sample(place / "sample.csv", UIDS)
    assert main(str(studies), bundle=str(bundle), out=str(place / "out"), sample=str(sample), no_pictures=True) == 0
    return place / "out"


@pytest.fixture(autouse=True)
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.VARIABLE, '{"device": "cpu"}')


def predicted(
    path: Path, bundle: Path, out: Path, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """``cspine predict`` as a person calls it."""
    words = ["predict", str(path), "--bundle", str(bundle), "--out", str(out), *options]
    return forks.run("cspine", words, Path.cwd(), clean(environment))


def with_fault(fault: str, path: Path, bundle: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return predicted(path, bundle, out, *options, CSPINE_FAULT=fault)


def slices_of(out: Path) -> pd.DataFrame:
    table = pd.read_parquet(out / "predictions.parquet")
    return table[table["level"] == "slice"].reset_index(drop=True)


def triage_of(out: Path) -> dict[str, dict[str, str]]:
    """The rows of triage.csv by study."""
    with (out / "triage.csv").open(encoding="utf-8", newline="") as stream:
        return {row[UID]: row for row in csv.DictReader(stream)}


def by_workflow(studies: Path, bundle: Path, place: Path) -> list[pd.DataFrame]:
    """predictions.parquet of each of the bundle's models, by the workflow's own stages on a cache."""
    form = place / "form.json"
    read_encoding(bundle.parent / "bundle-beside/form.json").write(form)
    root = place / "raw"
    (root / "test_images").parent.mkdir(parents=True, exist_ok=True)
    (root / "test_images").symlink_to(studies)
    rows = [
        {UID: f.parent.name, "file": f.name, "size": f.stat().st_size, "digest": ""}
        for f in sorted(studies.glob("*/*.dcm"))
    ]
    write_csv(place / "list.csv", (UID, "file", "size", "digest"), rows)
    tables = [place / name for name in ("shard-0.parquet", "studies.parquet", "findings.parquet")]
    ingest(root, place / "list.csv", form, *tables, config=IngestConfig(cohort="test", **VIEW))
    index = read_table(tables[0], [UID, "slice_number", "z_index"]).assign(cohort="test", shard=0)
    write_table(index, place / "slices.parquet")
    found = []
    for number, model in enumerate(read_bundle(bundle).models):
        (parts := place / f"parts-{number}").mkdir()
        settings = {key: PREDICTION[key] for key in ("family", "batch_size", "precision", "threads")}
        config = PredictConfig(view="slice", **settings)
        out = place / f"predictions-{number}.parquet"
        predict_slices([model], place / "slices.parquet", [tables[0]], out, parts, config=config)
        found.append(read_table(out))
    return found


@pytest.mark.parametrize(
    ("codec", "network", "evidence"),
    [
        ("zstd-delta", {"neighbours": 1}, "fracture"),
        ("jpeg-60", {"neighbours": 0}, "fracture"),
        ("zstd-delta", {"neighbours": 0, "colour": "learned"}, "localized"),
    ],
)
def test_slices_and_studies_have_the_workflows_numbers_to_the_last_bit(
    studies: Path, tmp_path: Path, codec: str, network: dict[str, Any], evidence: str
) -> None:
    bundle = small_bundle(tmp_path / "bundle", codec=codec, network=network, evidence=evidence)
    of_models = by_workflow(studies, bundle, tmp_path)
    assert main(str(studies), bundle=str(bundle), out=str(tmp_path / "out"), no_pictures=True) == 0
    table = pd.read_parquet(tmp_path / "out/predictions.parquet")
    for uid in UIDS:
        own = table[table[UID] == uid]
        values = np.stack([t.loc[t[UID] == uid, list(VERTEBRAE)].to_numpy() for t in of_models])
        if evidence == "localized":
            values = values * np.stack([t.loc[t[UID] == uid, list(PRESENCE)].to_numpy() for t in of_models])
        slices = own.loc[own["level"] == "slice", "probability"].to_numpy().reshape(-1, 7)
        assert np.array_equal(slices, values.mean(axis=0).astype(np.float64))
        wanted = []
        for t, choice in zip(of_models, read_bundle(bundle).choices, strict=True):
            _, top = highest_slices(t[t[UID] == uid], AggregateConfig(fold=0).most_slices(), evidence=evidence)
            wanted.append(apply_choice(top, choice)[0])
        of_study = own[own["level"] != "slice"].set_index("label")["probability"]
        assert np.array_equal(of_study.loc[list(LABELS)].to_numpy(), np.mean(wanted, axis=0))


def test_a_study_by_itself_has_the_numbers_it_has_among_others(bundle: Path, studies: Path, tmp_path: Path) -> None:
    main(str(studies), bundle=str(bundle), out=str(tmp_path / "all"), no_pictures=True)
    main(str(studies / UIDS[1]), bundle=str(bundle), out=str(tmp_path / "one"), no_pictures=True)
    everyone, alone = (pd.read_parquet(tmp_path / name / "predictions.parquet") for name in ("all", "one"))
    same = everyone[everyone[UID] == UIDS[1]].reset_index(drop=True)
    assert set(alone[UID]) == {UIDS[1]}
    assert same["probability"].tolist() == alone["probability"].tolist()
    assert same["file"].tolist() == alone["file"].tolist()


def test_the_submission_has_the_samples_rows_in_its_order_whatever_the_studies_are(
    bundle: Path, studies: Path, tmp_path: Path
) -> None:
    root = tmp_path / "studies"
    for uid in UIDS:
        (root / uid).parent.mkdir(exist_ok=True)
        (root / uid).symlink_to(studies / uid)
    (root / "empty").mkdir()
    (root / "notes").mkdir()
    (root / "notes/notes.txt").write_text("nothing here", encoding="utf-8")
    write_study(root / "stranger", [0.0, -1.0])
    sample = write_sample(tmp_path / "sample.csv", ["missing", *UIDS, "empty", "notes"])
    assert main(str(root), bundle=str(bundle), out=str(tmp_path / "out"), sample=str(sample), no_pictures=True) == 0
    check_submission(tmp_path / "out/submission.csv", read_sample(sample))
    triage = triage_of(tmp_path / "out")
    assert set(triage) == {"missing", *UIDS, "empty", "notes"}
    reasons = {uid: row["reason"].split(":")[0] for uid, row in triage.items() if row["by"] == "prior"}
    assert reasons == {"missing": "no-folder", "empty": "no-readable-slice", "notes": "no-readable-slice"}
    written = pd.read_csv(tmp_path / "out/submission.csv").set_index("row_id")["fractured"]
    prior = read_bundle(bundle).manifest["prior"]
    for uid in reasons:
        for label in ("C3", "patient_overall", "C1", "C7"):
            assert written[f"{uid}_{label}"] == pytest.approx(prior[label], abs=1e-6)
    findings = pd.read_csv(tmp_path / "out/findings.csv", keep_default_na=False)
    assert ("notes", "not-dicom") in set(zip(findings[UID], findings["code"], strict=True))
    assert ("stranger", "test-not-asked-for") in set(zip(findings[UID], findings["code"], strict=True))


def test_every_study_has_a_row_for_each_slice_and_level_and_none_is_lost(
    bundle: Path, studies: Path, tmp_path: Path
) -> None:
    main(str(studies), bundle=str(bundle), out=str(tmp_path), no_pictures=True)
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    counted = table.groupby([UID, "level"], observed=True).size().unstack()
    assert set(counted.index) == set(UIDS)
    assert (counted["slice"] == 7 * 5).all() and (counted["vertebra"] == 7).all() and (counted["study"] == 1).all()
    assert table["probability"].between(0, 1).all() and set(table["by"]) == {"model"}


def test_the_key_slice_of_a_vertebra_is_its_most_probable_one(bundle: Path, studies: Path, tmp_path: Path) -> None:
    main(str(studies), bundle=str(bundle), out=str(tmp_path), no_pictures=True)
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    for row in table[table["level"] == "vertebra"].itertuples():
        own = table[(table[UID] == getattr(row, UID)) & (table["level"] == "slice") & (table["label"] == row.label)]
        assert row.z_index == own.loc[own["probability"].idxmax(), "z_index"]
        assert row.file == own.loc[own["probability"].idxmax(), "file"]


def test_the_triage_list_begins_with_the_most_suspicious(bundle: Path, studies: Path, tmp_path: Path) -> None:
    main(str(studies), bundle=str(bundle), out=str(tmp_path), no_pictures=True)
    triage = pd.read_csv(tmp_path / "triage.csv", keep_default_na=False)
    assert list(triage.columns) == TRIAGE and list(triage["rank"]) == [1, 2, 3]
    assert triage["patient_overall"].is_monotonic_decreasing
    points = read_bundle(bundle).points
    for row in triage.to_dict("records"):
        suspicious = row["patient_overall"] >= points["patient"].threshold
        falling = sorted(VERTEBRAE, key=lambda v: -row[v])
        over = [v for v in falling if row[v] >= points["vertebra"].threshold]
        assert row["suspicious"].split() == ((over or [row["vertebra"]]) if suspicious else [])


def test_every_suspicious_vertebra_has_a_picture_that_the_page_shows(studies: Path, tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "bundle", sensitivity=1.0)
    made_sure = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    made_sure["points"] = {kind: {**point, "threshold": 0.0} for kind, point in made_sure["points"].items()}
    resign(bundle, made_sure)
    main(str(studies), bundle=str(bundle), out=str(tmp_path / "out"))
    triage = pd.read_csv(tmp_path / "out/triage.csv", keep_default_na=False)
    wanted = {f"{row[UID]}_{v}.png" for row in triage.to_dict("records") for v in row["suspicious"].split()}
    assert len(wanted) == 7 * len(UIDS)
    assert {path.name for path in (tmp_path / "out/key_slices").iterdir()} == wanted
    page = (tmp_path / "out/triage.html").read_text(encoding="utf-8")
    assert set(re.findall(r'img src="key_slices/([^"]+)"', page)) == wanted
    for name in wanted:
        with Image.open(tmp_path / "out/key_slices" / name) as picture:
            picture.load()
            assert picture.mode == "RGB" and np.asarray(picture).std() > 0
    assert "PHANTOM" in page and "Not a medical device" in page


@pytest.mark.parametrize("moment", ["predict-answer:1", "predict-answer:2"])
def test_killed_after_any_study_the_submission_is_valid_and_the_same_command_ends_as_if_nothing_had_been(
    bundle: Path, studies: Path, whole: Path, tmp_path: Path, moment: str
) -> None:
    sample, out = whole.parent / "sample.csv", tmp_path / "out"
    options = ("--sample", str(sample), "--no-pictures")
    killed = with_fault(moment, studies, bundle, out, *options)
    assert killed.returncode == -signal.SIGKILL
    check_submission(out / "submission.csv", read_sample(sample))
    again = predicted(studies, bundle, out, *options)
    assert again.returncode == 0 and f"{moment[-1]} stud" in again.stderr and "predicted before" in again.stderr
    for name in ("submission.csv", "triage.csv", "findings.csv", "predictions.parquet", "triage.html"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    assert {path.name for path in out.iterdir()} == {path.name for path in whole.iterdir()}


def test_a_study_whose_files_changed_after_a_cut_off_is_predicted_again(bundle: Path, tmp_path: Path) -> None:
    root = write_studies(tmp_path / "studies", UIDS)
    with_fault("predict-answer:2", root, bundle, tmp_path / "out", "--no-pictures")
    first = sorted(UIDS, key=lambda uid: [int(part) for part in uid.split(".")])[0]
    (root / first / "1.dcm").unlink()
    again = predicted(root, bundle, tmp_path / "out", "--no-pictures")
    assert "1 study predicted before, 2 studies to do" in again.stderr
    assert (slices_of(tmp_path / "out").groupby(UID, observed=True).size()[first]) == 7 * 4


def test_out_of_time_the_rest_has_the_prior_and_says_so_and_the_status_is_0(
    bundle: Path, studies: Path, tmp_path: Path
) -> None:
    sample = write_sample(tmp_path / "sample.csv", UIDS)
    done = with_fault("predict-answer:1:deadline", studies, bundle, tmp_path / "out", "--sample", str(sample))
    assert done.returncode == 0, done.stderr
    check_submission(tmp_path / "out/submission.csv", read_sample(sample))
    triage = pd.read_csv(tmp_path / "out/triage.csv", keep_default_na=False)
    assert sorted(triage["by"]) == ["model", "prior", "prior"]
    late = triage[triage["by"] == "prior"]
    assert set(late["reason"]) == {"out-of-time: the time budget is used up"}
    assert "stopped early: the time budget is used up" in done.stderr
    table = pd.read_parquet(tmp_path / "out/predictions.parquet")
    assert set(table.loc[table[UID].isin(late[UID]), "by"]) == {"prior"}
    assert "Stopped early" in (tmp_path / "out/triage.html").read_text(encoding="utf-8")


def test_a_time_limit_that_is_over_at_once_leaves_a_submission_of_priors(
    bundle: Path, studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSPINE_DEADLINE", "0")
    sample = write_sample(tmp_path / "sample.csv", UIDS)
    assert main(str(studies), bundle=str(bundle), out=str(tmp_path / "out"), sample=str(sample), time_limit="1s") == 0
    check_submission(tmp_path / "out/submission.csv", read_sample(sample))
    assert set(pd.read_csv(tmp_path / "out/triage.csv")["by"]) == {"prior"}


def test_a_signal_ends_it_with_status_75_and_everything_written(bundle: Path, studies: Path, tmp_path: Path) -> None:
    sample = write_sample(tmp_path / "sample.csv", UIDS)
    done = with_fault("predict-answer:2:SIGTERM", studies, bundle, tmp_path / "out", "--sample", str(sample))
    assert done.returncode == PAUSED
    check_submission(tmp_path / "out/submission.csv", read_sample(sample))
    triage = pd.read_csv(tmp_path / "out/triage.csv", keep_default_na=False)
    assert sum(triage["reason"].str.startswith("stopped: asked to stop (SIGTERM)")) == 1


def test_a_study_that_kills_its_reader_costs_itself(bundle: Path, studies: Path, tmp_path: Path) -> None:
    done = with_fault(f"read-study-{UIDS[1]}:1", studies, bundle, tmp_path / "out", "--no-pictures")
    assert done.returncode == 0, done.stderr
    triage = triage_of(tmp_path / "out")
    assert {uid: row["by"] for uid, row in triage.items()} == {u: "prior" if u == UIDS[1] else "model" for u in UIDS}
    assert triage[UIDS[1]]["reason"].startswith("decoder-crash")


def test_a_tampered_bundle_is_refused_before_anything_is_written(bundle: Path, studies: Path, tmp_path: Path) -> None:
    copied = tmp_path / "bundle"
    copied.mkdir()
    for path in bundle.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    with (copied / model_name(1)).open("ab") as stream:
        stream.write(b"more")
    done = predicted(studies, copied, tmp_path / "out")
    assert done.returncode == 1 and f"{model_name(1)} was altered since the bundle was made" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_bundle_made_with_other_versions_is_used_and_one_out_of_range_is_named(
    bundle: Path, studies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "bundle"
    copied.mkdir()
    for path in bundle.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    content = json.loads((copied / "bundle.json").read_text(encoding="utf-8"))
    content["versions"] = dict.fromkeys(content["versions"], "0.1")
    content["requires"] = ["numpy>=1.26", "pandas>=99"]
    resign(copied, content)
    assert main(str(studies / UIDS[0]), bundle=str(copied), out=str(tmp_path / "out"), no_pictures=True) == 0
    said = capsys.readouterr().err
    assert "the bundle asks for pandas>=99: found" in said and "numpy" not in said


def test_weights_that_the_network_does_not_take_are_named_with_the_version_that_made_them(
    bundle: Path, tmp_path: Path
) -> None:
    read = read_bundle(bundle)
    read.manifest["models"][0]["file"] = model_name(1)
    tensors = torch.nn.Linear(2, 2)
    from cspine.models import read_model, save_model

    save_model(tensors, tmp_path / "other.safetensors", read_model(read.models[1])[1])
    read.manifest["models"][0]["file"] = os.path.relpath(tmp_path / "other.safetensors", bundle)
    with pytest.raises(CspineError, match=r"the network test_efficientnet of the installed timm does not take"):
        Ensemble(read, "cpu")


def test_a_study_and_a_folder_of_studies_are_told_apart(tmp_path: Path) -> None:
    write_study(tmp_path / "many/2.dcm-study", [0.0])
    write_study(tmp_path / "many/10", [0.0], names=["series 1/no-suffix"])
    (tmp_path / "many/labels.csv").write_text("x\n", encoding="utf-8")
    assert [study.uid for study in studies_at(tmp_path / "many")] == ["2.dcm-study", "10"]
    assert [study.uid for study in studies_at(tmp_path / "many/2.dcm-study")] == ["2.dcm-study"]
    plain = write_study(tmp_path / "plain", [0.0], names=["IM0001"])  # by what is in it
    assert [study.uid for study in studies_at(plain)] == ["plain"]
    assert len(studies_at(tmp_path / "many/10")) == 1  # the series is taken for the study


def test_a_study_has_its_folders_name_also_from_inside_and_through_a_link(
    bundle: Path, studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "linked").symlink_to(studies / UIDS[1])
    sample = write_sample(tmp_path / "sample.csv", ["linked"])
    main(str(tmp_path / "linked"), bundle=str(bundle), out=str(tmp_path / "1"), sample=str(sample), no_pictures=True)
    monkeypatch.chdir(studies / UIDS[1])
    main(".", bundle=str(bundle), out=str(tmp_path / "2"), no_pictures=True)
    found = [triage_of(tmp_path / place) for place in ("1", "2")]
    assert [{uid: row["by"] for uid, row in rows.items()} for rows in found] == [
        {"linked": "model"},
        {UIDS[1]: "model"},
    ]
    assert found[0]["linked"]["probability"] == found[1][UIDS[1]]["probability"]


def test_the_competitions_folder_means_its_test_images(tmp_path: Path) -> None:
    write_study(tmp_path / "test_images/1.2.3", [0.0])
    write_study(tmp_path / "train_images/1.2.4", [0.0])
    assert [study.uid for study in studies_at(tmp_path)] == ["1.2.3"]
    assert [(s.uid, s.folder) for s in studies_at(tmp_path, ["9", "1.2.3", "9"])] == [
        ("9", None), ("1.2.3", tmp_path / "test_images/1.2.3"),
    ]  # fmt: skip


def test_a_place_without_studies_is_said(tmp_path: Path) -> None:
    with pytest.raises(CspineError, match="found no such folder"):
        studies_at(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(CspineError, match="found neither DICOM files nor folders"):
        studies_at(tmp_path)


def test_several_frames_and_compressed_files_are_read_as_ingest_reads_them(bundle: Path, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "packed", [0.0, -1.0, -2.0], syntax=JPEG_LOSSLESS)
    read = read_for(folder, read_bundle(bundle).form)
    assert len(read.pixels) == 3 and read.files == read_study(folder).files


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sample": "nowhere.csv"}, "--sample nowhere.csv: found no such file"),
        ({"time_limit": "soon"}, "--time-limit: found 'soon'; expected a time such as"),
        ({"bundle": "nowhere"}, "--bundle nowhere: expected a bundle"),
    ],
)
def test_a_wrong_option_is_answered_with_what_was_expected(
    bundle: Path, studies: Path, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    given: dict[str, Any] = {"bundle": str(bundle), "out": str(tmp_path / "out"), **options}
    with pytest.raises(CspineError, match=re.escape(words)):
        main(str(studies), **given)


def test_a_mean_of_models_does_not_depend_on_the_others_device_or_order(bundle: Path) -> None:
    ensemble, pixels = Ensemble(read_bundle(bundle), "cpu"), random_pixels(9)
    assert ensemble.predict(pixels).shape == (2, 9, 7)
    assert np.array_equal(ensemble.predict(pixels), ensemble.predict(pixels.copy()))
    assert ensemble.predict(pixels[:0]).shape == (2, 0, 7)


def test_predicting_needs_no_library_that_the_bundle_does_not_ask_for(
    bundle: Path, studies: Path, tmp_path: Path
) -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    others = {equipment.name_of(line) for line in project} - needs.NEEDED.keys() - {"packaging"}
    modules = {"pyyaml": "yaml", "scikit-image": "skimage"}
    absent = sorted(modules.get(name, name) for name in others)
    assert {"snakemake", "wandb", "albumentations", "jsonargparse", "yaml"} <= set(absent)
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); from cspine.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "predict", str(studies), "--bundle", str(bundle), "--out", str(tmp_path)]
    done = subprocess.run(command, env=clean({}), capture_output=True, text=True, timeout=ENOUGH_SECONDS)
    assert done.returncode == 0, done.stderr
    assert {row["by"] for row in triage_of(tmp_path).values()} == {"model"}

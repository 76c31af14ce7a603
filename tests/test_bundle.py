"""A bundle holds what its manifest says and nothing that identifies a study, and a changed file is refused by name."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from cspine import equipment
from cspine.bundles import needs
from cspine.bundles.layout import CONFIG, MANIFEST, README, model_name
from cspine.bundles.manifest import read_bundle
from cspine.bundles.points import ASSUMED, point_of
from cspine.bundles.seen import unseen
from cspine.bundles.unfit import why_unfit
from cspine.config import complete_config, read_yaml
from cspine.errors import CspineError
from cspine.fingerprint import closure, foreign_to
from cspine.folds import roles_of
from cspine.hashing import file_digest
from cspine.project_files import wheel_name
from cspine.studies import LABELS, UID
from cspine.submission import training_prior
from cspine.tables import read_table
from small_bundles import PROJECT, rewrite_manifest, small_bundle
from smoke_projects import ROOT

FILES = (model_name(0), model_name(1), CONFIG, README, wheel_name(PROJECT))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    for path in made.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_bundle_is_its_manifest_and_the_files_that_it_lists(made: Path) -> None:
    read = read_bundle(made)
    assert {path.name for path in made.iterdir()} == {MANIFEST, *read.manifest["files"]}
    assert set(read.manifest["files"]) == set(FILES)
    assert [path.name for path in read.models] == [model_name(0), model_name(1)]


def test_prior_and_choices_are_those_of_the_workflow(made: Path) -> None:
    read, beside = read_bundle(made), made.parent / "bundle-beside"
    prior = training_prior(read_table(beside / "studies.parquet"), "per_exam", 0.01)
    assert read.prior.tolist() == prior.tolist()
    for fold, choice in enumerate(read.choices):
        written = json.loads((beside / str(fold) / "aggregation.json").read_text(encoding="utf-8"))
        assert (
            choice.chosen.vertebra == written["chosen"]["vertebra"] and choice.chosen.clip == written["chosen"]["clip"]
        )


def test_the_same_models_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    again = small_bundle(tmp_path / "bundle")
    assert file_digest(again) == file_digest(made)


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_one_other_byte_is_refused_by_name(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(CspineError, match=f"{re.escape(name)} was altered since the bundle was made"):
        read_bundle(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_by_name(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(CspineError, match=f"{re.escape(name)} is missing"):
        read_bundle(bundle)


@pytest.mark.parametrize("change", [{"clip": 0.4}, {"seen": []}, {"files": {}}])
def test_a_changed_manifest_is_refused(bundle: Path, change: dict[str, object]) -> None:
    rewrite_manifest(bundle, **change)
    with pytest.raises(CspineError, match=r"bundle\.json was altered"):
        read_bundle(bundle)


def test_what_is_no_bundle_is_said_with_what_to_do(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(CspineError, match=f"there is one in {re.escape(str(bundle))}"):
        read_bundle(tmp_path)
    with pytest.raises(CspineError, match="`snakemake --cores 4 bundle` makes"):
        read_bundle(tmp_path / "nowhere")
    (bundle / MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(CspineError, match="torn or no bundle's"):
        read_bundle(bundle)
    rewritten = {"format": 99, "files": {}}
    (bundle / MANIFEST).write_text(json.dumps(rewritten), encoding="utf-8")
    with pytest.raises(CspineError, match="found format 99, this cspine reads 1"):
        read_bundle(bundle)


def test_no_study_is_named_in_a_bundle_and_every_one_seen_is_known_by_its_mark(made: Path) -> None:
    read, beside = read_bundle(made), made.parent / "bundle-beside"
    text = "".join((made / name).read_text(encoding="utf-8") for name in (MANIFEST, CONFIG, README))
    folds, studies = read_table(beside / "folds.parquet"), read_table(beside / "studies.parquet")
    assert not any(uid in text for uid in studies[UID])
    held_by_both = [set((r := roles_of(folds, fold)).index[r == "heldout"]) for fold in (0, 1)]
    assert not held_by_both[0] & held_by_both[1]  # so each study was seen by one of the two models at least
    assert unseen(sorted(set(folds[UID])), read.manifest["seen"]) == []
    assert unseen(["a stranger"], read.manifest["seen"]) == ["a stranger"]


def test_a_study_that_only_its_own_fold_held_out_is_unseen_in_a_bundle_of_that_fold(tmp_path: Path) -> None:
    read = read_bundle(small_bundle(tmp_path / "bundle", folds=(1,)))
    folds = read_table(tmp_path / "bundle-beside/folds.parquet")
    roles = roles_of(folds, 1)
    assert unseen(sorted(roles.index), read.manifest["seen"]) == sorted(roles.index[roles == "heldout"])


def test_no_machine_is_named_in_a_bundle(made: Path) -> None:
    for name in (MANIFEST, CONFIG, README):
        assert str(made.parent) not in (made / name).read_text(encoding="utf-8")


def test_a_point_is_the_highest_threshold_that_finds_the_share_wanted() -> None:
    truth = np.array([1, 1, 1, 1, 1, 0, 0, 0, -1, np.nan])
    probability = np.array([0.9, 0.8, 0.7, 0.6, 0.1, 0.75, 0.2, 0.05, 0.99, 0.99])
    point = point_of(truth, probability, 0.8)
    assert (point.threshold, point.sensitivity, point.specificity) == (0.6, 0.8, 2 / 3)
    assert (point.positives, point.negatives, point.assumed) == (5, 3, "")
    assert point_of(truth, probability, 0.81).threshold == 0.1
    assert point_of(truth, probability, 0.01).threshold == 0.9


def test_with_too_few_fractures_a_point_is_assumed_and_says_so() -> None:
    point = point_of(np.array([1.0, 0.0]), np.array([0.9, 0.2]), 0.9)
    assert point.threshold == ASSUMED and point.assumed.startswith("1 fractured")
    nothing = point_of(np.empty(0), np.empty(0), 0.9)
    assert (nothing.sensitivity, nothing.specificity) == (None, None)


def test_what_predicting_needs_is_what_its_code_imports() -> None:
    modules = closure("cspine.commands.predict") | closure("cspine.methods.slice_cnn")
    imported = foreign_to(modules) - sys.stdlib_module_names
    in_training = {"albumentations"}  # imported where a training augments
    found_by_others = {"gdcm"}  # pydicom looks for it
    asked_when_packages_are_compared = {"packaging"}  # matplotlib needs it
    assert imported - in_training - asked_when_packages_are_compared == set(needs.NEEDED.values()) - found_by_others


def test_every_need_has_a_range_in_the_bundle(made: Path) -> None:
    requires = read_bundle(made).manifest["requires"]
    assert {equipment.name_of(line) for line in requires} == set(needs.NEEDED)
    assert set(read_bundle(made).manifest["versions"]) == set(needs.NEEDED)


def test_another_version_within_the_ranges_is_no_departure_and_one_outside_is_named() -> None:
    assert needs.departures(["numpy>=1.20", "pandas>=2,<99"]) == []
    assert needs.departures(["numpy>=999"])[0].startswith("numpy>=999: found ")
    assert needs.departures(["no-such-library>=1"]) == ["no-such-library>=1: found none"]


def test_the_prior_of_a_bundle_names_every_label(made: Path) -> None:
    assert set(read_bundle(made).manifest["prior"]) == set(LABELS)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("localized_ensemble", "methods.localized_ensemble.members: found 2 models"),
        ("cnn_3d", "methods.cnn_3d.family: volume_cnn judges a study as a whole"),
        ("cnn_lstm", "methods.cnn_lstm.family: vertebra_sequence judges a vertebra as a whole"),
    ],
)
def test_a_method_that_a_bundle_cannot_hold_is_said_with_its_key_and_those_it_can(method: str, words: str) -> None:
    schema = read_yaml(ROOT / "workflow/schemas/config.schema.yaml")
    methods = complete_config(read_yaml(ROOT / "config.yaml"), schema)["methods"]
    why = why_unfit(methods, method)
    assert why.startswith(words)
    fit = set(why.split("submission.method: ")[1].split(", "))
    assert {"semi_supervised", "single_head", "multi_head"} <= fit and method not in fit
    assert not any(why_unfit(methods, other) for other in fit)

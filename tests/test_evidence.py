"""The evidence: what is measured over which slices, paired differences, and what the table claims."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cspine.bootstrap import Measured, resample_counts
from cspine.errors import CspineError
from cspine.evidence import CALLED, MEASURES, Arm, Taught, TestSet, gap_closed, measure_arms, taught_of
from cspine.evidence_texts import EvidenceConfig
from cspine.stages.weigh_evidence import weigh_evidence
from cspine.studies import LABELS, UID, VERTEBRAE
from cspine.tables import read_table, write_table
from small_cohort import folds_of, many_studies

STUDIES, PER_STUDY = 60, 14
RNG = np.random.default_rng(1)


def made_up_test_set() -> TestSet:
    """60 studies of 14 slices: C1 in the first two, C2 in the next two ...; a third of the vertebrae are fractured."""
    broken = RNG.random((STUDIES, 7)) < 0.3
    present = np.repeat(np.eye(7, dtype=bool), 2, axis=0)
    fractured = (broken[:, None, :] & present[None]).reshape(-1, 7)
    labels = np.column_stack([broken.any(axis=1), broken]).astype(float)
    study = np.repeat(np.arange(STUDIES), PER_STUDY)
    return TestSet(labels, study, np.tile(present, (STUDIES, 1)), fractured)


TEST = made_up_test_set()
COUNTS = resample_counts(STUDIES, 200, 0)


def arm(skill: float, knows_the_level: bool = False) -> Arm:
    """Slices: ``skill`` towards the truth; or only which vertebra is in view."""
    noise = np.random.default_rng(2).random(TEST.fractured.shape) * 0.2
    slices = 0.5 * TEST.present + noise if knows_the_level else skill * TEST.fractured * 0.7 + noise
    study = np.stack([slices[TEST.study == s].max(axis=0) for s in range(STUDIES)])
    return Arm(np.clip(np.column_stack([study.max(axis=1), study]), 0.01, 0.99), slices)


def test_knowing_which_vertebra_is_in_view_is_worth_nothing_where_it_is_in_view() -> None:
    found = measure_arms(TEST, {"level": arm(0, knows_the_level=True)}, COUNTS)["level"]
    assert abs(found["slice_auc"].value - 0.5) < 0.06
    assert found["slice_auc_all"].value > 0.85


def test_decisions_are_counted_over_cells_and_calling_nothing_fractured_has_its_accuracy() -> None:
    some = arm(0.5)
    silent = Arm(some.probability, np.zeros_like(some.slices))
    found = measure_arms(TEST, {"some": some, "silent": silent}, COUNTS)
    called, real = some.slices >= CALLED, TEST.fractured
    assert 0 < called.sum() < real.sum(), "the case says something"
    assert found["some"]["accuracy"].value == pytest.approx((called == real).mean())
    assert found["some"]["sensitivity"].value == pytest.approx((called & real).sum() / real.sum())
    assert found["some"]["specificity"].value == pytest.approx((~called & ~real).sum() / (~real).sum())
    assert found["silent"]["accuracy"].value == pytest.approx(1 - real.mean())
    assert (found["silent"]["sensitivity"].value, found["silent"]["specificity"].value) == (0, 1)


def test_skill_shows_in_every_measure_and_the_interval_holds_the_value() -> None:
    found = measure_arms(TEST, {"none": arm(0), "some": arm(1)}, COUNTS)
    for measure in (*MEASURES, "accuracy", "sensitivity"):
        better = found["some"][measure]
        gain = better.minus(found["none"][measure]).estimate()
        assert (gain.high < 0) if measure == "loss" else (gain.low > 0), measure
        estimate = better.estimate()
        assert estimate.low <= estimate.value <= estimate.high


def test_an_arm_less_itself_is_nothing_on_every_resample() -> None:
    some = measure_arms(TEST, {"some": arm(1)}, COUNTS)["some"]
    for found in some.values():
        assert found.minus(found).value == 0 and not np.nan_to_num(found.minus(found).draws).any()


def test_the_share_of_the_gap_is_one_at_the_truth_and_none_at_the_teacher() -> None:
    teacher, truth = (measure_arms(TEST, {"a": arm(s)}, COUNTS)["a"]["loss"] for s in (0.2, 1.0))
    assert gap_closed(truth, teacher, truth).value == pytest.approx(1)
    assert gap_closed(teacher, teacher, truth).value == 0
    half = Measured((teacher.value + truth.value) / 2, (teacher.draws + truth.draws) / 2)
    assert gap_closed(half, teacher, truth).value == pytest.approx(0.5)


ARMS = {"teacher": "boxes only", "student": "boxes + pseudo-labels", "truth": "what is really there"}
WEIGHED = EvidenceConfig(
    folds_run=[0],
    steps=100,
    arms=[[name, says] for name, says in ARMS.items()],
    compare=[["teacher", "constant"], ["student", "teacher"], ["truth", "teacher"]],
    way=["teacher", "truth"],
    bootstrap=100,
)


def given(folder: Path) -> dict[str, list[Path]]:
    """The three tables of each arm, as the rule hands them over."""
    kinds = ("study_probabilities", "predictions", "training_sets")
    return {kind: [folder / f"{name}_{kind}.parquet" for name in ARMS] for kind in kinds}


def run(tmp_path: Path, **changes: object) -> tuple[pd.DataFrame, str]:
    studies = many_studies(40, seed=3)
    folds = folds_of(studies)
    uids = [f"test-{s:03d}" for s in range(STUDIES)]
    labels = pd.DataFrame(TEST.labels.astype(int), columns=list(LABELS)).assign(**{UID: uids})
    labels[1:].sample(frac=1, random_state=0).to_csv(tmp_path / "test.csv", index=False)
    keys = pd.DataFrame({UID: np.repeat(uids, PER_STUDY), "slice_number": np.tile(np.arange(PER_STUDY), STUDIES)})
    columns = {f"present_{v}": TEST.present[:, i] for i, v in enumerate(VERTEBRAE)}
    columns |= {f"fractured_{v}": TEST.fractured[:, i] for i, v in enumerate(VERTEBRAE)}
    truth = keys.assign(cohort="test", **columns).sample(frac=1, random_state=1)
    write_table(pd.concat([truth, TAUGHT_TRUTH]), tmp_path / "slices.parquet")
    write_table(studies, tmp_path / "studies.parquet")
    write_table(folds, tmp_path / "folds.parquet")
    files = given(tmp_path)
    for i, skill in enumerate((0.3, 0.6, 1.0)):
        made = arm(skill)
        table = pd.DataFrame(made.probability, columns=list(LABELS)).assign(**{UID: uids, "cohort": "test"})
        slices = keys.assign(cohort="test", **{v: made.slices[:, i] for i, v in enumerate(VERTEBRAE)})
        write_table(table, files["study_probabilities"][i])
        write_table(slices, files["predictions"][i])
        write_table(training_set(), files["training_sets"][i])
    weigh(tmp_path, **changes)
    return read_table(tmp_path / "evidence.parquet"), (tmp_path / "evidence.md").read_text()


def weigh(tmp_path: Path, **changes: object) -> None:
    files = given(tmp_path)
    weigh_evidence(
        studies=tmp_path / "studies.parquet",
        folds=tmp_path / "folds.parquet",
        test_truth=tmp_path / "test.csv",
        slice_truth=tmp_path / "slices.parquet",
        study_probabilities=files["study_probabilities"],
        predictions=files["predictions"],
        training_sets=files["training_sets"],
        evidence=tmp_path / "evidence.parquet",
        table=tmp_path / "evidence.md",
        config=replace(WEIGHED, **changes),  # type: ignore[arg-type]
    )


CELLS = {f"{what}_{v}": False for what in ("fractured", "present") for v in VERTEBRAE}
TAUGHT_TRUTH = pd.DataFrame(
    {"cohort": "train", UID: "a", "slice_number": np.arange(4)} | CELLS | {"fractured_C2": [True, True, False, False]}
)


def training_set(**columns: list[float]) -> pd.DataFrame:
    """Four slices of a training study and one of a select study, all negative but for ``columns``."""
    table = pd.DataFrame({UID: [*"aaaab"], "slice_number": [0, 1, 2, 3, 0], "role": [*["train"] * 4, "select"]})
    return table.assign(**dict.fromkeys(VERTEBRAE, 0.0) | columns)


def test_labels_count_by_their_probability_and_confidence_and_unknown_ones_nowhere() -> None:
    hard = training_set(C2=[1.0, 0.0, 1.0, 0.0, 1.0])
    assert taught_of([hard], TAUGHT_TRUTH) == Taught(precision=0.5, recall=0.5)
    soft = training_set(C2=[0.9, 0.5, 0.1, 0.0, 0.0])
    found = taught_of([soft], TAUGHT_TRUTH)
    assert (found.precision, found.recall) == pytest.approx((1.4 / 1.5, 0.7))
    unknown = training_set(C2=[1.0, np.nan, np.nan, 0.0, 0.0])
    assert taught_of([unknown], TAUGHT_TRUTH) == Taught(1.0, 1.0)
    doubted = training_set(C2=[1.0, 0.0, 1.0, 0.0, 0.0], confidence_C2=[1.0, 1.0, 0.0, 1.0, 1.0])
    assert taught_of([doubted], TAUGHT_TRUTH) == Taught(1.0, 0.5)
    assert np.isnan(taught_of([training_set()], TAUGHT_TRUTH).precision)


def test_the_table_says_phantom_sizes_and_steps_and_where_the_student_lands(tmp_path: Path) -> None:
    table, text = run(tmp_path)
    assert "PHANTOM" in text and "100 optimiser steps" in text
    assert f"{STUDIES - 1} test studies" in text  # one folder of test_images is asked for by nobody
    rows = table.set_index(["arm", "than", "measure"])["value"]
    assert rows["constant", "", "slice_auc"] == 0.5 and rows["constant", "", "patient_auc"] == 0.5
    assert rows["truth", "teacher", "loss"] < rows["student", "teacher", "loss"] < 0
    assert "| truth: what is really there |" in text and "share of the way" in text


def test_the_smoke_size_claims_nothing(tmp_path: Path) -> None:
    assert "measures nothing" in run(tmp_path, size="smoke")[1]


def test_a_test_study_that_an_arm_did_not_predict_is_an_error_not_a_smaller_table(tmp_path: Path) -> None:
    run(tmp_path)
    path = given(tmp_path)["study_probabilities"][1]
    table = read_table(path)
    write_table(table[table[UID] != "test-005"], path)
    with pytest.raises(CspineError, match="student has not predicted"):
        weigh(tmp_path)


def test_an_arm_that_is_compared_but_not_given_is_refused_by_name() -> None:
    with pytest.raises(CspineError, match="name other"):
        replace(WEIGHED, compare=[["other", "teacher"]])

"""From slices to studies: the arithmetic, and that every choice is made on the select studies alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cspine.calibration import Line, Platt, cross_fitted, fit_platt
from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.metric import weighted_log_loss
from cspine.predictions import (
    AggregateConfig,
    aggregate,
    apply_choice,
    choose,
    highest_slices,
    study_probabilities_of,
)
from cspine.stages.aggregate_studies import aggregate_studies
from cspine.studies import LABELS, UID, VERTEBRAE
from cspine.tables import read_table, write_table
from small_cohort import folds_of, many_studies, predictions_table, random_exams, studies_table, study

CONFIG = AggregateConfig(fold=0)
STUDIES = many_studies(64, seed=5, test=4)
FOLDS = folds_of(STUDIES)
PREDICTIONS = predictions_table(STUDIES, seed=5)


def slices_of(uid: str, *values: float) -> pd.DataFrame:
    table = pd.DataFrame({"cohort": "train", UID: uid, "z_index": range(len(values))})
    for i, vertebra in enumerate(VERTEBRAE):
        table[vertebra] = np.array(values) / (i + 1)
    return table


def test_a_vertebra_is_the_maximum_or_the_mean_of_its_highest_slices() -> None:
    table = pd.concat([slices_of("b", 0.5), slices_of("a", 0.1, 0.9, 0.3, 0.6)], ignore_index=True)
    studies, top = highest_slices(table, 3)
    assert list(studies[UID]) == ["a", "b"]
    np.testing.assert_allclose(aggregate(top, "max", "max")[:, 1], [0.9, 0.5])
    np.testing.assert_allclose(aggregate(top, "mean_of_3", "max")[:, 1], [0.6, 0.5])  # b has one slice only
    np.testing.assert_allclose(aggregate(top, "mean_of_3", "max")[:, 2], [0.3, 0.25])


def test_the_patient_is_the_maximum_or_the_noisy_or_of_the_vertebrae() -> None:
    _, top = highest_slices(slices_of("a", 0.6), 1)
    vertebrae = 0.6 / np.arange(1, 8)
    assert aggregate(top, "max", "max")[0, 0] == pytest.approx(0.6)
    assert aggregate(top, "max", "noisy_or")[0, 0] == pytest.approx(1 - np.prod(1 - vertebrae))


def test_the_noisy_or_of_n_is_over_the_n_most_probable_vertebrae_wherever_they_are() -> None:
    top = np.array([[[0.1, 0.6, 0.2, 0.0, 0.5, 0.3, 0.05]]])
    for n, expected in ((1, 0.6), (2, 1 - 0.4 * 0.5), (3, 1 - 0.4 * 0.5 * 0.7)):
        assert aggregate(top, "max", f"noisy_or_of_{n}")[0, 0] == pytest.approx(expected)
    np.testing.assert_allclose(aggregate(top, "max", "noisy_or_of_7"), aggregate(top, "max", "noisy_or"))
    np.testing.assert_array_equal(aggregate(top, "max", "noisy_or_of_2")[0, 1:], top[0, 0])  # in their own order


def by_study(*values: float) -> pd.DataFrame:
    """predictions.parquet of a method that judges whole studies: the patient first, then C1..C7."""
    return pd.DataFrame([values], columns=list(LABELS)).assign(**{"cohort": "train", UID: "a"})


def test_a_study_with_one_row_is_that_row_and_its_patient_the_models_own() -> None:
    values = (0.35, 0.1, 0.6, 0.2, 0.0, 0.5, 0.3, 0.05)
    _, top = highest_slices(by_study(*values), 5, LABELS)
    for vertebra in ("max", "mean_of_5"):
        np.testing.assert_array_equal(aggregate(top, vertebra, "own")[0], values)
        assert aggregate(top, vertebra, "max")[0, 0] == 0.6
    with pytest.raises(IndexError):
        aggregate(top[..., 1:], "max", "own")  # never C1 by mistake


def test_the_own_answer_is_chosen_where_it_is_the_better_one_and_asked_for_where_there_is_none(tmp_path: Path) -> None:
    one = PREDICTIONS.groupby(["cohort", UID], as_index=False)[list(VERTEBRAE)].max()
    truth = STUDIES.set_index(UID)["patient_overall"].clip(0)
    table = one.assign(patient_overall=np.where(one[UID].map(truth) == 1, 0.9, 0.1))
    config = replace(CONFIG, patient=["max", "noisy_or_of_5", "own"], calibration=["none"])
    probabilities, choice = study_probabilities_of(table, STUDIES, FOLDS, config)
    assert choice.chosen.patient == "own"
    right = probabilities[probabilities["cohort"] != "test"]
    assert ((right["patient_overall"] > 0.5) == (right[UID].map(truth) == 1)).all()
    write_table(one, tmp_path / "predictions.parquet")
    paths = dict.fromkeys(("studies", "folds", "study_probabilities", "choice"), tmp_path / "none")
    with pytest.raises(CspineError, match="no column patient_overall"):
        aggregate_studies(tmp_path / "predictions.parquet", **paths, config=config)


def test_an_impossible_probability_is_refused_by_study() -> None:
    with pytest.raises(CspineError, match=r"study a, C1: expected probabilities in \[0, 1\]"):
        highest_slices(slices_of("a", 0.5, 1.5), 1)
    with pytest.raises(CspineError, match="study a: nobody judged C1"):
        highest_slices(slices_of("a", 0.5, float("nan")), 1)


def test_a_vertebra_nobody_judged_is_named_and_a_patient_nobody_judged_only_where_it_is_looked_at() -> None:
    known = [0.5] * 8
    with pytest.raises(CspineError, match=r"study a: nobody judged C4 \(NaN\)"):
        highest_slices(by_study(*known[:4], float("nan"), *known[5:]), 1)
    table = by_study(float("nan"), *known[1:])
    assert np.isfinite(aggregate(highest_slices(table, 1)[1], "max", "max")).all()
    with pytest.raises(CspineError, match="study a: nobody judged patient_overall"):
        highest_slices(table, 1, LABELS)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("vertebra", ["mean_of_0"], "mean_of_<k>"),
        ("vertebra", ["median"], "mean_of_<k>"),
        ("patient", ["mean"], "max, noisy_or, noisy_or_of_<n> with n from 1 to 7, or own"),
        ("patient", ["noisy_or_of_0"], "noisy_or_of_<n>"),
        ("patient", ["noisy_or_of_8"], "noisy_or_of_<n>"),
        ("calibration", ["isotonic"], "none, platt"),
        ("clip", [], "at least one value"),
        ("clip", [0.6], "between 0 and 0.5"),
        ("normalisation", "raw", "per_exam, pooled"),
    ],
)
def test_a_wrong_config_is_answered_with_what_is_known(field: str, value: object, message: str) -> None:
    with pytest.raises(CspineError, match=message):
        replace(CONFIG, **{field: value})  # type: ignore[arg-type]


def test_the_choice_is_the_combination_with_the_least_loss_on_select() -> None:
    table, choice = study_probabilities_of(PREDICTIONS, STUDIES, FOLDS, CONFIG)
    assert len(choice.tried) == 3 * 2 * 2 * 2
    least = min(row["loss"] for row in choice.tried)
    first = next(row for row in choice.tried if row["loss"] == least)
    assert {k: v for k, v in first.items() if k != "loss"} == vars(choice.chosen)
    none = next(
        row
        for row in choice.tried
        if (row["vertebra"], row["patient"], row["calibration"], row["clip"]) == ("mean_of_3", "noisy_or", "none", 0.01)
    )
    studies, top = highest_slices(PREDICTIONS, 5)
    select = studies[UID].map(roles_of(FOLDS, 0)).eq("select").to_numpy()
    truth = STUDIES.set_index(UID).loc[studies.loc[select, UID], list(LABELS)]
    values = np.clip(aggregate(top[select], "mean_of_3", "noisy_or"), 0.01, 0.99)
    assert none["loss"] == pytest.approx(weighted_log_loss(truth, values), abs=1e-9)
    assert choice.select_studies == select.sum() == (table["cohort"] == "select").sum()


def test_equal_combinations_are_decided_by_the_order_of_the_config() -> None:
    draw = np.random.default_rng(8)
    top = draw.uniform(0.2, 0.8, size=(12, 1, 7))
    truth, _ = random_exams(12, seed=8)
    for clip in ([0.001, 0.01], [0.01, 0.001]):  # neither ever binds
        config = replace(CONFIG, vertebra=["max"], patient=["max"], calibration=["none"], clip=clip)
        assert choose(top, truth, config).chosen.clip == clip[0]


def test_only_select_labels_are_looked_at() -> None:
    roles = STUDIES[UID].map(roles_of(FOLDS, 0))
    before, choice = study_probabilities_of(PREDICTIONS, STUDIES, FOLDS, CONFIG)
    others = STUDIES.copy()
    others.loc[roles != "select", list(LABELS)] = 1 - others.loc[roles != "select", list(LABELS)].clip(0)
    after, again = study_probabilities_of(PREDICTIONS, others, FOLDS, CONFIG)
    pd.testing.assert_frame_equal(before, after)
    assert choice == again
    turned = STUDIES.copy()
    turned.loc[roles == "select", list(LABELS)] = 1 - turned.loc[roles == "select", list(LABELS)]
    _, other = study_probabilities_of(PREDICTIONS, turned, FOLDS, CONFIG)
    assert other.tried != choice.tried  # the select labels do matter


def test_held_out_predictions_change_no_other_study() -> None:
    heldout = PREDICTIONS[UID].map(roles_of(FOLDS, 0)).eq("heldout").to_numpy()
    shifted = PREDICTIONS.copy()
    shifted.loc[heldout, list(VERTEBRAE)] = 1 - shifted.loc[heldout, list(VERTEBRAE)]
    before, _ = study_probabilities_of(PREDICTIONS, STUDIES, FOLDS, CONFIG)
    after, _ = study_probabilities_of(shifted, STUDIES, FOLDS, CONFIG)
    rest = before["cohort"] != "heldout"
    pd.testing.assert_frame_equal(before[rest], after[rest])
    assert not before[~rest].equals(after[~rest])


def test_every_study_is_there_once_with_its_cohort() -> None:
    extra = studies_table(study("stray", in_csv=False))
    studies = pd.concat([STUDIES, extra], ignore_index=True)
    table, _ = study_probabilities_of(predictions_table(studies), studies, FOLDS, CONFIG)
    cohorts = table.set_index(UID)["cohort"]
    assert cohorts.index.is_unique and set(cohorts.index) == set(studies[UID])
    assert cohorts["stray"] == "unlabelled"
    assert (cohorts[cohorts.index.str.startswith("test")] == "test").all()
    roles = roles_of(FOLDS, 0)
    assert (cohorts[roles.index] == roles).all()


def test_with_too_few_or_one_sided_select_studies_nothing_is_chosen() -> None:
    truth, probability = random_exams(12, seed=1)
    top = probability[:, None, 1:]
    few = choose(top[:5], truth[:5], CONFIG)
    whole = choose(top, np.zeros_like(truth), CONFIG)
    for choice, reason in ((few, "5 select studies, 8 are needed"), (whole, "all fractured or all whole")):
        assert reason in choice.fallback
        assert vars(choice.chosen) == {
            "vertebra": "max",
            "patient": "max",
            "calibration": "none",
            "clip": 0.001,
        }
        assert np.isfinite(apply_choice(top, choice)).all()


def test_a_study_to_choose_on_must_have_predictions() -> None:
    roles = roles_of(FOLDS, 0)
    gone = sorted(roles.index[roles == "select"])[0]
    with pytest.raises(CspineError, match=gone):
        study_probabilities_of(PREDICTIONS[PREDICTIONS[UID] != gone], STUDIES, FOLDS, CONFIG)


def miscalibrated(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that rank well but are far too high."""
    draw = np.random.default_rng(seed)
    logit = draw.normal(-1.5, 1.5, size=(count, 8))
    truth = (draw.random((count, 8)) < 1 / (1 + np.exp(-logit))).astype(float)
    return truth, 1 / (1 + np.exp(-(logit / 2 + 2)))


def test_platt_undoes_a_shift_when_there_are_many_studies() -> None:
    truth, probability = miscalibrated(4000, seed=1)
    platt = fit_platt(truth, probability, "pooled", 1.0)
    for line in (platt.patient, platt.vertebrae):
        assert line.slope == pytest.approx(2, abs=0.25)
        # undone, but for ln 2: the metric counts positives twice, which wants odds twice as high
        assert line.intercept == pytest.approx(-4 + np.log(2), abs=0.4)


def test_platt_helps_on_unseen_studies_and_is_chosen_for_it() -> None:
    truth, probability = miscalibrated(60, seed=2)
    new_truth, new = miscalibrated(500, seed=3)
    platt = fit_platt(truth, probability, "per_exam", 1.0)
    assert weighted_log_loss(new_truth, platt(new)) < weighted_log_loss(new_truth, new) - 0.1
    assert choose(probability[:, None, 1:], truth, CONFIG).chosen.calibration == "platt"


def test_with_a_dozen_studies_platt_stays_near_no_change() -> None:
    truth, probability = random_exams(13, seed=4)
    platt = fit_platt(truth, probability, "per_exam", prior_strength=1.0)
    assert 0.05 <= platt.vertebrae.slope < 2 and abs(platt.vertebrae.intercept) < 3
    strong = fit_platt(truth, probability, "per_exam", prior_strength=1e6)
    assert strong.vertebrae.slope == pytest.approx(1, abs=1e-3)
    assert strong.patient.intercept == pytest.approx(0, abs=1e-3)


def test_platt_never_turns_a_ranking_round() -> None:
    truth, probability = random_exams(30, seed=5)
    against = np.where(truth == 1, 0.1, 0.9)
    platt = fit_platt(truth, against, "pooled", 0.01)
    assert platt.vertebrae.slope > 0 and platt.patient.slope > 0
    ordered = np.sort(probability[:, 1])
    assert (np.diff(platt.vertebrae(ordered)) > 0).all()


def test_platt_is_compared_by_studies_it_was_not_fitted_to() -> None:
    truth, probability = random_exams(10, seed=6)
    crossed = cross_fitted(truth, probability, "per_exam", 0.1)
    others = fit_platt(truth[1:], probability[1:], "per_exam", 0.1)
    np.testing.assert_allclose(crossed[0], others(probability[:1])[0])
    flipped = truth.copy()
    flipped[0] = 1 - flipped[0]
    np.testing.assert_allclose(cross_fitted(flipped, probability, "per_exam", 0.1)[0], crossed[0])


def test_no_change_is_what_an_unfitted_platt_does() -> None:
    _, probability = random_exams(10, seed=7)
    np.testing.assert_allclose(Platt()(probability), probability, atol=1e-12)
    np.testing.assert_allclose(Line(1.0, 0.0)(np.array([0.0, 1.0])), [0, 1], atol=1e-5)


def test_the_stage_keeps_everything_it_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = {name: tmp_path / f"{name}.parquet" for name in ("predictions", "studies", "folds")}
    for name, table in (("predictions", PREDICTIONS), ("studies", STUDIES), ("folds", FOLDS)):
        write_table(table, paths[name])
    out, choice = tmp_path / "out.parquet", tmp_path / "choice.json"
    aggregate_studies(**paths, study_probabilities=out, choice=choice, config=CONFIG)
    block = json.loads(choice.read_text())
    assert len(block["tried"]) == 24 and block["fold"] == 0 and block["select_studies"] > 8
    assert f"best of 24 on {block['select_studies']} select studies" in capsys.readouterr().err
    table = read_table(out)
    assert list(table.columns) == [UID, "cohort", *LABELS]
    values = table[list(LABELS)].to_numpy()
    assert ((values >= 0.001) & (values <= 0.999)).all()

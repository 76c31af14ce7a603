"""Pseudo-labels: which studies, which slices, and what is said when there are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.labels import COLUMNS as SLICE_LABELS
from cspine.pseudo.config import PseudoConfig
from cspine.pseudo.counts import warning_of
from cspine.pseudo.labels import COLUMNS, pseudo_labels_of
from cspine.pseudo.marking import mark_study
from cspine.pseudo.runs import run_around_peak
from cspine.pseudo.who import unlabelled_studies
from cspine.stages.pseudo_label import pseudo_label
from cspine.studies import UID, VERTEBRAE
from cspine.tables import read_table, write_table
from small_cohort import folds_of, many_studies, predictions_table, slices_table, studies_table, study

CONFIG = PseudoConfig(fold=0)
BARE = replace(CONFIG, at_least_one_run=False)
STUDIES = studies_table(study("a", "C2 C5", slices=6), study("b", "C7", slices=6))


def predictions_of(**columns: list[float]) -> pd.DataFrame:
    """Study a: ``columns`` by vertebra, 0.1 elsewhere; study b: 0.1 everywhere."""
    table = slices_table(STUDIES)
    table[list(VERTEBRAE)] = np.float32(0.1)
    for vertebra, values in columns.items():
        table.loc[(table[UID] == "a").to_numpy(), vertebra] = np.array(values, dtype=np.float32)
    return table


def row_of(counts: pd.DataFrame, vertebra: str) -> pd.Series:
    return counts[counts["vertebra"] == vertebra].iloc[0]


def test_slices_from_the_threshold_on_are_positive_and_the_study_is_agreed_with() -> None:
    predictions = predictions_of(C2=[0.1, 0.5, 0.9, 0.4, 0, 0], C3=[0.9] * 6)
    labels, counts = pseudo_labels_of(predictions, STUDIES, BARE)
    assert list(labels["C2"]) == [0, 1, 1, 0, 0, 0]
    assert labels["C3"].sum() == 0  # train.csv calls C3 whole
    assert row_of(counts, "C2")["slices_by_threshold"] == 2
    free, _ = pseudo_labels_of(predictions, STUDIES, replace(BARE, agree_with_study=False))
    assert free["C3"].sum() == 6


def test_a_study_without_positives_is_dropped_or_kept_as_the_config_says() -> None:
    predictions = predictions_of(C2=[0, 0, 0.9, 0, 0, 0])
    labels, counts = pseudo_labels_of(predictions, STUDIES, BARE)
    assert set(labels[UID]) == {"a"} and len(labels) == 6
    assert row_of(counts, "all")["studies_without_positive"] == 1
    kept, _ = pseudo_labels_of(predictions, STUDIES, replace(BARE, without_positives="keep"))
    assert set(kept[UID]) == {"a", "b"} and len(kept) == 12
    assert kept.loc[kept[UID] == "b", list(VERTEBRAE)].to_numpy().sum() == 0


def test_a_fractured_vertebra_without_a_positive_slice_gets_a_run_around_its_peak() -> None:
    predictions = predictions_of(C2=[0, 0, 0.9, 0, 0, 0], C5=[0.01, 0.2, 0.4, 0.3, 0.1, 0.3])
    labels, counts = pseudo_labels_of(predictions, STUDIES, CONFIG)
    of_a = labels[labels[UID] == "a"]
    assert list(of_a["C2"]) == [0, 0, 1, 0, 0, 0]  # has a slice over the threshold: no run
    assert list(of_a["C5"]) == [0, 1, 1, 1, 0, 0]  # the 0.3 beyond the gap is no part of the run
    assert row_of(counts, "C5")[["slices_by_threshold", "slices_by_run"]].tolist() == [0, 3]
    assert row_of(counts, "C7")["studies_with_positive"] == 1


@settings(max_examples=40, deadline=None)
@given(
    probability=arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1)),
    fraction=st.floats(0.1, 1),
    longest=st.integers(1, 6),
)
def test_a_run_is_contiguous_short_and_holds_the_peak(probability: np.ndarray, fraction: float, longest: int) -> None:
    first, last = run_around_peak(probability, fraction, longest)
    if probability.max() == 0:
        assert first == last
        return
    assert first <= probability.argmax() < last
    assert last - first <= longest
    assert (probability[first:last] >= fraction * probability.max()).all()
    beyond = [probability[i] for i in (first - 1, last) if 0 <= i < len(probability)]
    assert last - first == longest or all(p < fraction * probability.max() for p in beyond)


def test_a_long_plateau_is_cut_to_the_likelier_slices() -> None:
    assert run_around_peak(np.array([0.3, 0.31, 0.32, 0.4, 0.35, 0.34, 0.2]), 0.5, 3) == (3, 6)


def test_threshold_and_run_never_mark_the_same_vertebra() -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        fractured = draw.random(7) < 0.5
        marked = mark_study(draw.random((9, 7)) * 0.6, fractured, CONFIG)
        over, run = marked.over, marked.run
        assert not (over.any(axis=0) & run.any(axis=0)).any()
        assert ((over | run).any(axis=0) == fractured).all()


def test_counts_add_up_to_the_labels() -> None:
    studies = many_studies(40, seed=3, boxed_share=0.2)
    chosen = unlabelled_studies(studies, folds_of(studies), 0)
    labels, counts = pseudo_labels_of(predictions_table(studies, skill=3.0), chosen, CONFIG)
    counts = counts.set_index("vertebra")
    assert counts.loc[list(VERTEBRAE), "slices_positive"].to_dict() == labels[list(VERTEBRAE)].sum().to_dict()
    assert counts.loc["all", "slices_positive"] == labels[list(VERTEBRAE)].any(axis=1).sum()
    with_and_without = counts["studies_with_positive"] + counts["studies_without_positive"]
    assert (with_and_without == counts["studies_fractured"]).all()
    vertebrae = counts.loc[list(VERTEBRAE)]
    by_rule = vertebrae["slices_by_threshold"] + vertebrae["slices_by_run"]
    assert (by_rule == vertebrae["slices_positive"]).all()
    assert counts.loc["all", "studies_fractured"] == len(chosen)


def test_only_fractured_unboxed_training_studies_are_pseudo_labelled() -> None:
    studies = many_studies(60, seed=4, test=3)
    folds = folds_of(studies)
    for fold in range(4):
        chosen = unlabelled_studies(studies, folds, fold)
        roles = roles_of(folds, fold)
        due = studies[(studies["patient_overall"] == 1) & ~studies["boxed"] & studies[UID].map(roles).eq("train")]
        assert list(chosen[UID]) == sorted(due[UID]) and len(chosen)


def test_other_studies_predictions_change_nothing() -> None:
    predictions = predictions_of(C2=[0, 0, 0.9, 0, 0, 0])
    first = STUDIES.iloc[:1]
    alone, _ = pseudo_labels_of(predictions, first, CONFIG)
    predictions.loc[predictions[UID] == "b", "C2"] = np.float32(1)
    again, _ = pseudo_labels_of(predictions.sample(frac=1, random_state=0), first, CONFIG)
    pd.testing.assert_frame_equal(alone, again)


def test_missing_or_impossible_predictions_are_refused_by_study() -> None:
    predictions = predictions_of()
    with pytest.raises(CspineError, match="the first is b"):
        pseudo_labels_of(predictions[predictions[UID] == "a"], STUDIES, CONFIG)
    with pytest.raises(CspineError, match="study a"):
        pseudo_labels_of(predictions_of(C2=[float("nan")] * 6), STUDIES, CONFIG)


def run_stage(folder: Path, predictions: pd.DataFrame, config: PseudoConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    folds = pd.DataFrame({"fold": np.int8(0), UID: ["a", "b"], "role": "train"})
    names = ("predictions", "studies", "folds", "labels", "pseudo_labels", "counts", "choices")
    paths = {name: folder / f"{name}.parquet" for name in names}
    labels = pd.DataFrame(columns=[*SLICE_LABELS]).astype({"source": str})
    for name, table in (("predictions", predictions), ("studies", STUDIES), ("folds", folds), ("labels", labels)):
        write_table(table, paths[name])
    pseudo_label(**paths, config=config)
    return read_table(paths["pseudo_labels"]), read_table(paths["counts"])


def test_a_round_without_any_positive_is_said_plainly_and_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, counts = run_stage(tmp_path, predictions_of(), BARE)
    said = "pseudo_label: no slice reached 0.5: this round teaches nothing and its result is not a result"
    assert said in capsys.readouterr().err.splitlines()
    assert labels.empty and list(labels.columns) == COLUMNS
    assert "is not a result" in warning_of(counts)
    assert str(labels["C1"].dtype) == "float32" and str(labels["weight"].dtype) == "float32"


def test_a_round_that_lives_on_runs_alone_is_said_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, counts = run_stage(tmp_path, predictions_of(), CONFIG)
    assert set(labels[UID]) == {"a", "b"}
    assert "runs around a peak" in warning_of(counts)
    assert "runs around a peak" in capsys.readouterr().err


def test_a_round_with_positives_is_not_flagged(tmp_path: Path) -> None:
    _, counts = run_stage(tmp_path, predictions_of(C2=[0, 0.9, 0, 0, 0, 0]), CONFIG)
    assert warning_of(counts) == ""


def test_no_study_to_label_gives_empty_tables_and_a_line() -> None:
    labels, counts = pseudo_labels_of(predictions_of(), STUDIES.iloc[:0], CONFIG)
    assert labels.empty
    assert "no fractured study without boxes" in warning_of(counts)

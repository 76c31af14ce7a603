"""Folds: disjoint, complete, stratified, repeatable."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspine.errors import CspineError
from cspine.folds import FoldConfig, deal_folds, roles_of, too_few
from cspine.stages.assign_folds import assign_folds
from cspine.studies import UID, VERTEBRAE
from cspine.tables import read_table, write_table
from small_cohort import folds_of, many_studies, studies_table, study


@settings(max_examples=15, deadline=None)
@given(count=st.integers(4, 60), folds=st.integers(2, 6), select=st.floats(0.05, 0.5), seed=st.integers(0, 1000))
def test_every_study_has_one_role_per_fold_and_is_held_out_once(
    count: int, folds: int, select: float, seed: int
) -> None:
    folds = min(folds, count)
    table = deal_folds(many_studies(count, seed), FoldConfig(folds, select, seed))
    roles = table.pivot(index=UID, columns="fold", values="role")  # refuses a study twice in a fold
    assert roles.shape == (count, folds)
    assert (roles == "heldout").sum(axis=1).eq(1).all()
    for role in ("train", "select", "heldout"):
        assert (roles == role).any().all()


def test_a_fold_holds_out_its_share_of_every_stratum() -> None:
    studies = many_studies(200)
    studies["fractured"] = studies["patient_overall"] == 1
    table = folds_of(studies, count=5).merge(studies, on=UID)
    heldout = table[table["role"] == "heldout"]
    strata = ["fractured", "boxed", "segmented"]
    due = studies.groupby(strata).size() / 5
    for _, rows in heldout.groupby("fold"):
        found = rows.groupby(strata).size().reindex(due.index, fill_value=0)
        assert (found - due).abs().max() < 1
    per_fold = heldout.groupby("fold")[list(VERTEBRAE)].sum()
    assert (per_fold.max() - per_fold.min()).max() <= 8
    assert per_fold.min().min() > 0


def test_select_is_its_share_of_the_training_part_and_holds_the_rare_kinds() -> None:
    studies = many_studies(120)
    table = folds_of(studies, count=5, select=0.2).merge(studies, on=UID)
    for fold, rows in table.groupby("fold"):
        select, training = rows[rows["role"] == "select"], rows[rows["role"] != "heldout"]
        assert abs(len(select) - 0.2 * len(training)) <= 3, fold
        assert select["boxed"].any() and select["segmented"].any()
        assert 0 < select["patient_overall"].mean() < 1


def test_three_boxed_studies_in_forty_still_give_one_to_select() -> None:
    studies = many_studies(40, boxed_share=0)
    studies["segmented"] = False
    studies.loc[[1, 3, 5, 7], "boxed"] = True
    table = folds_of(studies, count=4, select=0.1).merge(studies, on=UID)
    boxed = table[table["boxed"]].groupby(["fold", "role"]).size().unstack(fill_value=0)
    assert (boxed["select"] >= 1).all()
    assert (boxed["train"] >= 2).all()


def test_unreadable_unlisted_and_test_studies_are_in_no_fold() -> None:
    others = [study("x", readable=False), study("y", in_csv=False), study("z", cohort="test")]
    studies = pd.concat([many_studies(12), studies_table(*others)], ignore_index=True)
    assert set(folds_of(studies)[UID]) == set(many_studies(12)[UID])


def test_the_seed_and_nothing_else_moves_a_study() -> None:
    studies = many_studies(40)
    shuffled = studies.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(folds_of(studies), folds_of(shuffled))
    assert not folds_of(studies).equals(folds_of(studies, seed=1))


def test_more_folds_than_studies_is_an_error_of_the_config() -> None:
    with pytest.raises(CspineError, match=r"folds\.count: 5 folds of 4"):
        folds_of(many_studies(4), count=5)
    with pytest.raises(CspineError, match=r"folds\.select"):
        FoldConfig(select=0.0)


def test_a_fold_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(CspineError, match="the folds 0, 1, 2, 3"):
        roles_of(folds_of(many_studies(12)), 7)


def test_small_folds_are_called_too_few_to_measure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(many_studies(16), tmp_path / "studies.parquet")
    assign_folds(tmp_path / "studies.parquet", tmp_path / "folds.parquet", config=FoldConfig(count=4))
    assert capsys.readouterr().err.count("too few to measure: fold") == 4
    assert list(read_table(tmp_path / "folds.parquet").columns) == ["fold", UID, "role"]
    large = many_studies(200)
    assert too_few(folds_of(large), large) == []

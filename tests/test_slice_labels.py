"""The labels of a method: what assigning, rounding, rims and gaps do to them, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.label_quality import label_quality
from cspine.labels import LabelConfig, label_slices_from_boxes
from cspine.slice_labels import (
    COLUMNS,
    LEAST_CONFIDENCE,
    AssignConfig,
    Tally,
    assign_boxes_to_levels,
    at_rims,
    between_runs,
    rounded,
    trusted,
    weigh_rims,
)  # fmt: skip
from cspine.stages.assign_boxes import assign_boxes
from cspine.stages.build_training_set import TrainingSetConfig, build_training_set
from cspine.stages.measure_labels import MeasureConfig, measure_labels
from cspine.studies import CONFIDENCE, PRESENCE, UID, VERTEBRAE
from cspine.tables import read_table, write_table
from localization_tables import localization_table
from small_cohort import boxes_table, folds_of, many_studies, slices_table, studies_table, study

STUDIES = studies_table(
    study("two", "C2 C5", boxed=True, slices=12),
    study("one", "C6", boxed=True, slices=6),
    study("partly", "C3", boxed=True, slices=6, C4=-1),
    study("whole", slices=6),
)
SLICES = slices_table(STUDIES).assign(rows=100, columns=100)
BOXES = boxes_table(
    *[("two", n) for n in (12, 13, 14, 18, 19, 20)], ("one", 12), ("one", 13), ("partly", 11), ("partly", 13)
)
RULE = label_slices_from_boxes(STUDIES, SLICES, BOXES, LabelConfig(unfractured="all"))[0]
SHARES = BOXES[[UID, "slice_number"]].assign(x0=0.05, y0=0.06, x1=0.25, y1=0.16)


def seen(slices: pd.DataFrame = SLICES) -> pd.DataFrame:
    """A localizer that sees C2 above slice 6 of study "two" and C5 below, C6 in "one", C3 and C4 in "partly"."""
    presence = np.zeros((len(slices), 7))
    uid, z = slices[UID].to_numpy(), slices["z_index"].to_numpy()
    presence[(uid == "two") & (z < 6), 1] = presence[(uid == "two") & (z >= 6), 4] = 0.9
    presence[uid == "one", 5] = 0.9
    presence[np.ix_(uid == "partly", [2, 3])] = 0.9
    return localization_table(slices, presence)


def assigned(localization: pd.DataFrame | None = None, **config: Any) -> tuple[pd.DataFrame, Tally]:
    given = localization if localization is not None else seen()
    return assign_boxes_to_levels(trusted(RULE), SHARES, given, AssignConfig(0, "localized", **config))


def of(table: pd.DataFrame, uid: str, source: str = "box") -> pd.DataFrame:
    return table[(table[UID] == uid) & (table["source"] == source)]


def test_a_box_goes_to_the_vertebra_that_is_seen_there() -> None:
    table, tally = assigned()
    rows = of(table, "two")
    assert (rows["C2"] > 0.95).tolist() == [True] * 3 + [False] * 3
    assert (rows["C5"] > 0.95).tolist() == [False] * 3 + [True] * 3
    assert (tally.boxed, tally.assigned, tally.unseen, tally.findings) == (10, 8, 0, [])


def test_rows_order_and_everything_that_is_not_in_doubt_stay() -> None:
    table, _ = assigned()
    rule = trusted(RULE)
    assert list(table.columns) == COLUMNS
    changed = [*VERTEBRAE, *CONFIDENCE]
    pd.testing.assert_frame_equal(table.drop(columns=changed), rule.drop(columns=changed))
    sure = ~((table["source"] == "box") & table[UID].isin(["two", "partly"]))
    pd.testing.assert_frame_equal(table[sure], rule[sure])
    assert (of(table, "two")[["C1", "C3", "C4", "C6", "C7"]] == 0).all(axis=None)
    assert (of(table, "two")[["confidence_C1", "confidence_C7"]] == 1).all(axis=None)


def test_an_unknown_vertebra_takes_its_share_of_a_box_and_stays_unknown() -> None:
    rows = of(assigned()[0], "partly")
    assert rows["C4"].isna().all() and rows["C3"].between(0.5, 0.99).all()


def test_rounded_labels_keep_the_probability_as_their_confidence() -> None:
    hard, soft = of(assigned(soft=False)[0], "two"), of(assigned()[0], "two")
    assert hard["C2"].tolist() == [1] * 3 + [0] * 3 and hard["C5"].tolist() == [0] * 3 + [1] * 3
    np.testing.assert_allclose(hard["confidence_C2"], 0.9 * np.where(hard["C2"] == 1, soft["C2"], 1 - soft["C2"]), 1e-5)
    assert soft["confidence_C2"].to_numpy() == pytest.approx(0.9)


def test_rounding_loses_no_box_and_no_vertebra() -> None:
    probability = np.array([[0.4, 0.3, 0.3], [0.9, 0.05, 0.2], [0.8, 0.04, 0.6]])
    found = rounded(probability, 0.5)
    assert found.tolist() == [[True, True, False], [True, False, False], [True, False, True]]
    assert rounded(probability, 0.95).tolist() == [[True, True, False], [True, False, False], [True, False, True]]


def test_where_nothing_is_seen_the_box_is_kept_with_little_confidence_and_the_study_is_reported() -> None:
    blind = localization_table(SLICES, 0.0)
    table, tally = assigned(blind)
    rows = of(table, "two")
    assert (rows[["C2", "C5"]].sum(axis=1) >= 1 - 1e-6).all()
    assert (rows[["confidence_C2", "confidence_C5"]] == np.float32(LEAST_CONFIDENCE)).all(axis=None)
    assert (of(table, "one")[["C6", "confidence_C6"]] == 1).all(axis=None)
    assert {(f.StudyInstanceUID, f.code) for f in tally.findings} == {
        (uid, "boxes-off-prediction") for uid in ("one", "two", "partly")
    }
    assert tally.unseen == 8


def test_one_slice_out_of_sight_is_counted_and_no_contradiction() -> None:
    localization = seen()
    first = (localization[UID] == "two") & (localization["z_index"] == 2)
    localization.loc[first, list(PRESENCE)] = 0.0
    table, tally = assigned(localization)
    assert (tally.unseen, tally.findings) == (1, [])
    assert of(table, "two")["C2"].iloc[0] > 0.8  # its neighbours say so
    assert of(table, "two")["confidence_C2"].iloc[0] == np.float32(LEAST_CONFIDENCE)


def test_rims_lie_on_both_sides_of_each_end_of_a_run() -> None:
    boxed = np.array([0, 0, 0, 1, 1, 1, 1, 1, 0, 0], dtype=bool)
    assert np.flatnonzero(at_rims(boxed, 1)).tolist() == [2, 3, 7, 8]
    assert np.flatnonzero(at_rims(boxed, 2)).tolist() == [1, 2, 3, 4, 6, 7, 8, 9]
    assert not at_rims(boxed, 0).any()
    assert np.flatnonzero(at_rims(np.array([1, 1, 0], dtype=bool), 2)).tolist() == [0, 1, 2]


def test_short_gaps_lie_between_runs_and_long_ones_are_taught() -> None:
    boxed = np.array([0, 1, 0, 0, 1, 0, 0, 0, 1, 0], dtype=bool)
    assert np.flatnonzero(between_runs(boxed, 2)).tolist() == [2, 3]
    assert not between_runs(boxed, 0).any() and not between_runs(~boxed[:1], 9).any()


def weighed(**config: Any) -> tuple[pd.DataFrame, Tally]:
    tally = Tally()
    return weigh_rims(trusted(RULE), AssignConfig(0, **config), tally), tally


def test_rims_are_weighted_in_boxed_studies_only_and_counted() -> None:
    table, tally = weighed(rim=1, rim_weight=0.25)
    rows = table[table[UID] == "one"].set_index("z_index")["weight"]
    assert rows.to_dict() == {0: 1, 1: 0.25, 2: 0.25, 3: 0.25, 4: 0.25, 5: 1}
    assert (table.loc[table[UID] == "whole", "weight"] == 1).all()
    assert (tally.rim, tally.left_out) == ((table["weight"] == 0.25).sum(), 0) and len(table) == len(RULE)


def test_what_is_left_out_has_no_row_and_is_counted() -> None:
    rims, tally = weighed(rim=1, rim_weight=0.0)
    assert len(rims) == len(RULE) - tally.left_out and set(rims.loc[rims[UID] == "one", "z_index"]) == {0, 5}
    gaps, tally = weighed(between=3)
    assert set(gaps.loc[gaps[UID] == "two", "z_index"]) == set(range(12)) - {5, 6, 7}
    assert set(gaps.loc[gaps[UID] == "partly", "z_index"]) == {0, 1, 3, 4, 5} and tally.left_out == 4


def test_with_all_defaults_the_labels_are_the_box_rules() -> None:
    table, _ = weighed()
    pd.testing.assert_frame_equal(table, trusted(RULE))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"assign": "some"}, "labels.assign: found 'some', expected all or localized"),
        ({"least": 0.0}, "labels.least: found 0.0"),
        ({"rim": -1}, "labels.rim: found -1, expected 0 or more"),
    ],
)
def test_a_wrong_key_is_named(config: dict[str, Any], words: str) -> None:
    with pytest.raises(CspineError, match=words):
        AssignConfig(0, **config)


# The stages


def written(folder: Path, localization: pd.DataFrame | None = None) -> dict[str, Path]:
    tables = {"labels": RULE, "studies": STUDIES, "slices": SLICES}
    paths = {name: folder / f"{name}.parquet" for name in tables}
    for name, path in paths.items():
        write_table(tables[name], path)
    BOXES.to_csv(folder / "boxes.csv", index=False)
    if localization is not None:
        paths["localization"] = folder / "localization.parquet"
        write_table(localization, paths["localization"])
    outputs = {name: folder / f"{name}.parquet" for name in ("slice_labels", "findings")}
    return {**paths, "boxes": folder / "boxes.csv", **outputs}


def test_the_stage_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = written(tmp_path, seen())
    assign_boxes(**paths, config=AssignConfig(0, "localized", rim=1, rim_weight=0.5, between=1))
    table = read_table(paths["slice_labels"])
    assert list(table.columns) == COLUMNS and str(table["C2"].dtype) == str(table["confidence_C2"].dtype) == "float32"
    line = capsys.readouterr().err
    assert "10 boxed slices, 8 given to single vertebrae (0 of them without any in sight)" in line
    assert f"{(table['weight'] == 0.5).sum()} weighted as rim, 1 left out; 0 findings" in line


def test_the_study_that_contradicts_its_boxes_is_in_the_findings(tmp_path: Path) -> None:
    paths = written(tmp_path, localization_table(SLICES, 0.0))
    assign_boxes(**paths, config=AssignConfig(0, "localized"))
    findings = read_table(paths["findings"])
    assert set(findings["code"]) == {"boxes-off-prediction"} and len(findings) == 3
    assert findings.set_index(UID).loc["one", "consequence"] == "the boxes are believed"


def test_a_localization_is_needed_to_localize_and_refused_otherwise(tmp_path: Path) -> None:
    with pytest.raises(CspineError, match="assign: localized: none was given"):
        assign_boxes(**written(tmp_path), config=AssignConfig(0, "localized"))
    with pytest.raises(CspineError, match="assign: all: it was given"):
        assign_boxes(**written(tmp_path, seen()), config=AssignConfig(0))


def test_what_is_seen_in_a_held_out_study_changes_no_label_of_another() -> None:
    studies = many_studies(80, seed=5)
    slices = slices_table(studies).assign(rows=100, columns=100)
    boxes = boxes_table(*[(uid, n) for uid in studies.loc[studies["boxed"], UID] for n in (11, 12)])
    rule = label_slices_from_boxes(studies, slices, boxes, LabelConfig())[0]
    folds = folds_of(studies)
    heldout = roles_of(folds, 0).loc[lambda roles: roles == "heldout"].index
    seen = localization_table(slices, np.random.default_rng(0).random((len(slices), 7)))
    other = seen.copy()
    other.loc[other[UID].isin(heldout), list(PRESENCE)] = 0.0
    shares = boxes[[UID, "slice_number"]].assign(x0=0.0, y0=0.0, x1=0.5, y1=0.5)
    found, again = (
        assign_boxes_to_levels(trusted(rule), shares, s, AssignConfig(0, "localized"))[0] for s in (seen, other)
    )
    of_heldout = found[UID].isin(heldout)
    several = of_heldout & (found[list(VERTEBRAE)].gt(0).sum(axis=1) > 1)
    assert (found.loc[several, list(CONFIDENCE)] != again.loc[several, list(CONFIDENCE)]).any(axis=None)
    pd.testing.assert_frame_equal(found[~of_heldout], again[~of_heldout])


def test_the_assigned_labels_are_what_the_model_is_taught(tmp_path: Path) -> None:
    paths = written(tmp_path, seen())
    assign_boxes(**paths, config=AssignConfig(0, "localized"))
    folds = pd.DataFrame({UID: STUDIES[UID], "fold": 0, "role": ["train", "select", "train", "heldout"]})
    write_table(folds, tmp_path / "folds.parquet")
    build_training_set(
        paths["slice_labels"], tmp_path / "folds.parquet", paths["slices"], tmp_path / "set.parquet",
        config=TrainingSetConfig(0, 0),
    )  # fmt: skip
    table, labels = read_table(tmp_path / "set.parquet"), read_table(paths["slice_labels"])
    assert set(table[UID]) == {"two", "one", "partly"}
    both = table.merge(labels, on=[UID, "z_index"], suffixes=("", "_label"))
    for column in (*VERTEBRAE, *CONFIDENCE):
        np.testing.assert_array_equal(both[column], both[f"{column}_label"])


# Quality against the truth


def truth_of(table: pd.DataFrame) -> pd.DataFrame:
    """What is really there: C2 in the first three boxed slices of "two", C5 in the others."""
    truth = SLICES[[UID, "slice_number"]].merge(of(table, "two")[[UID, "slice_number", "z_index"]], how="left")
    truth = truth.assign(**{f"fractured_{v}": 0 for v in VERTEBRAE})
    truth["fractured_C2"], truth["fractured_C5"] = (truth["z_index"] < 6) * 1, (truth["z_index"] >= 6) * 1
    truth.loc[(truth[UID] == "one") & truth["slice_number"].isin([12, 13]), "fractured_C6"] = 1
    truth.loc[(truth[UID] == "partly") & truth["slice_number"].isin([11, 13]), "fractured_C3"] = 1
    return truth.drop(columns="z_index")


def figures(labels: pd.DataFrame, of: str = "boxed", vertebra: str = "all", draws: int = 50) -> dict[str, Any]:
    """One row of the quality of ``labels``."""
    table = label_quality(labels, truth_of(RULE), draws)
    rows: list[Any] = table[(table["of"] == of) & (table["vertebra"] == vertebra)].to_dict("records")
    return dict(rows[0])


def test_precision_and_recall_are_those_of_the_cells() -> None:
    rule, local = figures(RULE), figures(assigned()[0])
    assert (rule["studies"], rule["labelled"], rule["fractured"], rule["hits"]) == (3, 16, 10, 10)
    assert rule["precision"] == pytest.approx(10 / 16)
    several = figures(RULE, "several", "C2")
    assert (several["precision"], several["recall"], several["studies"]) == (0.5, 1, 1)
    assert (local["precision"], local["recall"], local["f1"]) == (1, 1, 1)
    assert local["brier"] < 0.1 * rule["brier"]
    nothing = figures(assigned()[0], vertebra="C1")
    assert np.isnan(nothing["precision"]) and nothing["labelled"] == 0


def test_a_fractured_cell_without_a_label_is_left_out_and_no_miss() -> None:
    row = figures(weighed(rim=1, rim_weight=0.0)[0])
    assert row["left_out"] == 8 and row["fractured"] == 2 and row["recall"] == 1


def test_the_interval_is_over_studies_and_holds_the_value() -> None:
    row = figures(RULE, draws=200)
    assert row["precision_low"] <= row["precision"] <= row["precision_high"] and row["precision_low"] < 0.6


def test_a_truth_of_another_phantom_is_an_error() -> None:
    with pytest.raises(CspineError, match="no slice 10 of study two"):
        label_quality(RULE, truth_of(RULE).iloc[1:], 10)


def test_the_stage_measures_what_the_method_is_taught(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(assigned()[0], tmp_path / "labels.parquet")
    write_table(truth_of(RULE).assign(cohort="train"), tmp_path / "truth.parquet")
    measure_labels(
        tmp_path / "labels.parquet", tmp_path / "truth.parquet", tmp_path / "q.parquet", config=MeasureConfig(20, 1)
    )
    assert len(read_table(tmp_path / "q.parquet")) == 16
    assert "3 boxed studies: precision 1.000 [1.000, 1.000], recall 1.000" in capsys.readouterr().err

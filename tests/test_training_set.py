"""What a round is taught: the right rows, and never a held-out study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.labels import LabelConfig, label_slices_from_boxes
from cspine.pseudo.boxes import united_with_boxes
from cspine.pseudo.config import PseudoConfig
from cspine.pseudo.labels import pseudo_labels_of
from cspine.pseudo.who import unlabelled_studies
from cspine.slice_labels import trusted
from cspine.stages.build_training_set import TrainingSetConfig, build_training_set, check_training_set
from cspine.studies import CONFIDENCE, UID, VERTEBRAE
from cspine.tables import read_table, write_table
from small_cohort import boxes_table, folds_of, many_studies, predictions_table, slices_table

STUDIES = many_studies(48, seed=2)
SLICES = slices_table(STUDIES)
FOLDS = folds_of(STUDIES)
BOXES = boxes_table(*[(uid, 11) for uid in STUDIES.loc[STUDIES["boxed"], UID]])
LABELS_TABLE = label_slices_from_boxes(STUDIES, SLICES, BOXES, LabelConfig(unfractured=8))[0]


def pseudo_of(fold: int) -> pd.DataFrame:
    chosen = unlabelled_studies(STUDIES, FOLDS, fold)
    return pseudo_labels_of(predictions_table(STUDIES), chosen, PseudoConfig(fold=fold))[0]


def training_set(
    tmp_path: Path, config: TrainingSetConfig, labels: pd.DataFrame = LABELS_TABLE, pseudo: bool | None = None
) -> pd.DataFrame:
    paths = {name: tmp_path / f"{name}.parquet" for name in ("labels", "folds", "slices", "training_set")}
    for name, table in (("labels", labels), ("folds", FOLDS), ("slices", SLICES)):
        write_table(table, paths[name])
    given = None
    if pseudo if pseudo is not None else config.round > 0:
        given = tmp_path / "pseudo.parquet"
        write_table(pseudo_of(config.fold), given)
    build_training_set(**paths, pseudo_labels=given, config=config)
    return read_table(paths["training_set"])


@pytest.mark.parametrize("round_", [0, 1, 2])
@pytest.mark.parametrize("fold", [0, 1, 2, 3])
def test_no_held_out_study_is_taught_in_any_fold_or_round(tmp_path: Path, fold: int, round_: int) -> None:
    table = training_set(tmp_path, TrainingSetConfig(fold, round_))
    roles = roles_of(FOLDS, fold)
    assert (table[UID].map(roles) == table["role"]).all()
    assert set(table["role"]) == {"train", "select"}


def test_the_teacher_sees_boxed_and_drawn_studies_only(tmp_path: Path) -> None:
    table = training_set(tmp_path, TrainingSetConfig(0, 0))
    roles = roles_of(FOLDS, 0)
    due = LABELS_TABLE[(LABELS_TABLE["first_round"] == 0) & (LABELS_TABLE[UID].map(roles) != "heldout")]
    assert len(table) == len(due)
    assert set(table["source"]) == {"box", "unboxed", "negative"}


def test_the_student_sees_every_study_of_its_training_part(tmp_path: Path) -> None:
    table = training_set(tmp_path, TrainingSetConfig(0, 1))
    roles = roles_of(FOLDS, 0)
    assert set(roles.index[roles == "train"]) == set(table.loc[table["role"] == "train", UID])
    assert set(table.loc[table["source"] == "pseudo", "role"]) == {"train"}
    pseudo, taught = pseudo_of(0), table[table["source"] == "pseudo"]
    np.testing.assert_array_equal(pseudo[list(VERTEBRAE)].sum(), taught[list(VERTEBRAE)].sum())


def test_targets_come_from_the_labels_unchanged(tmp_path: Path) -> None:
    table = training_set(tmp_path, TrainingSetConfig(1, 0)).merge(LABELS_TABLE, on=[UID, "z_index"])
    for vertebra in VERTEBRAE:
        assert (table[f"{vertebra}_x"] == table[f"{vertebra}_y"]).all()
    assert table["C1_x"].dtype == np.float32


def test_the_line_it_prints_counts_roles_and_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = training_set(tmp_path, TrainingSetConfig(0, 1))
    line = capsys.readouterr().err.strip()
    pseudo = (table["source"] == "pseudo").sum()
    train, select = ((table["role"] == role).sum() for role in ("train", "select"))
    assert f"train {train} slices" in line and f"select {select} slices" in line and f"pseudo {pseudo}," in line
    assert "\n" not in line


def test_soft_and_partly_trusted_labels_stay_as_they_are_and_others_are_trusted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soft = trusted(LABELS_TABLE)
    boxed = soft["source"] == "box"
    soft.loc[boxed, ["C1", "confidence_C1"]] = [0.25, 0.5]
    soft.loc[boxed, "C7"] = np.nan
    table = training_set(tmp_path, TrainingSetConfig(0, 1), labels=soft)
    line = capsys.readouterr().err
    rows = table["source"] == "box"
    assert (table.loc[rows, ["C1", "confidence_C1"]] == [0.25, 0.5]).all(axis=None) and table.loc[
        rows, "C7"
    ].isna().all()
    assert (table.loc[~rows, list(CONFIDENCE)] == 1).all(axis=None)  # pseudo-labels without that column too
    count = (rows & (table["role"] == "train")).sum()
    assert f"{count} soft, {count} partly trusted" in line


@pytest.mark.parametrize(("round_", "pseudo"), [(0, True), (1, False)])
def test_pseudo_labels_belong_to_rounds_from_one_on(tmp_path: Path, round_: int, pseudo: bool) -> None:
    with pytest.raises(CspineError, match="pseudo_labels"):
        training_set(tmp_path, TrainingSetConfig(0, round_), pseudo=pseudo)


def test_a_fold_without_anything_to_teach_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CspineError, match="none of 0 slices with the role train is labelled as fractured"):
        training_set(tmp_path, TrainingSetConfig(0, 0), labels=LABELS_TABLE.iloc[:0])


def good_and_heldout() -> tuple[pd.DataFrame, pd.DataFrame]:
    roles = LABELS_TABLE[UID].map(roles_of(FOLDS, 0))
    table = LABELS_TABLE.assign(role=roles, **dict.fromkeys(CONFIDENCE, 1.0))
    return table[roles != "heldout"], table[roles == "heldout"]


def test_the_check_catches_every_kind_of_leak() -> None:
    good, heldout = good_and_heldout()
    config = TrainingSetConfig(0, 0)
    check_training_set(good, FOLDS, SLICES, config)
    leaks = {
        "held-out study": pd.concat([good, heldout.iloc[:1].assign(role="train")]),
        "two roles": good.assign(role=np.where(np.arange(len(good)) % 2, "train", "select")),
        "taught twice": pd.concat([good, good.iloc[:1]]),
        "no slice of the index": good.assign(z_index=good["z_index"] + 1000),
        "outside the role train": good.assign(source="pseudo"),
        "outside 0 to 1": good.assign(C3=1.5),
        "without a confidence": good.assign(confidence_C3=np.nan),
    }
    for message, table in leaks.items():
        with pytest.raises(AssertionError, match=message):
            check_training_set(table, FOLDS, SLICES, config)


SEGMENTED = STUDIES.loc[::3, UID]


def presence_table() -> pd.DataFrame:
    """labels/presence.parquet of the segmented studies: C1 in the first slice, C2 in the others."""
    rows = SLICES[SLICES[UID].isin(SEGMENTED)]
    table = rows[[UID, "slice_number", "z_index"]].assign(**dict.fromkeys(VERTEBRAE, np.int8(0)))
    first = table["z_index"] == 0
    return table.assign(C1=first.astype(np.int8), C2=(~first).astype(np.int8)).reset_index(drop=True)


def given(tmp_path: Path, config: TrainingSetConfig, **tables: pd.DataFrame) -> pd.DataFrame:
    paths = {name: tmp_path / f"{name}.parquet" for name in ("labels", "folds", "slices", *tables)}
    for name, table in {"labels": LABELS_TABLE, "folds": FOLDS, "slices": SLICES, **tables}.items():
        write_table(table, paths[name])
    build_training_set(**paths, training_set=tmp_path / "set.parquet", config=config)
    return read_table(tmp_path / "set.parquet")


def test_presence_is_taught_by_the_segmented_studies_of_the_training_part_only(tmp_path: Path) -> None:
    presence = presence_table()
    table = given(tmp_path, TrainingSetConfig(0, 0, targets="presence"), presence=presence)
    roles = roles_of(FOLDS, 0)
    assert len(table) == (presence[UID].map(roles) != "heldout").sum() > 0
    assert set(table["source"]) == {"mask"} and table["C1"].sum() == table[UID].nunique()
    assert (table[UID].map(roles) == table["role"]).all()


def test_presence_beside_the_targets_is_known_in_segmented_studies_and_unknown_elsewhere(tmp_path: Path) -> None:
    table = given(tmp_path, TrainingSetConfig(0, 0), presence=presence_table())
    without = training_set(tmp_path, TrainingSetConfig(0, 0))
    segmented = table[UID].isin(SEGMENTED)
    assert 0 < segmented.sum() < len(table)
    assert (table["present_C1"].notna() == segmented).all()
    assert (table.loc[segmented, "present_C1"] == (table.loc[segmented, "z_index"] == 0)).all()
    pd.testing.assert_frame_equal(table[without.columns], without)


def test_the_truth_is_taught_by_every_training_study(tmp_path: Path) -> None:
    truth = SLICES.assign(**{f"fractured_{v}": np.int8(0) for v in VERTEBRAE})
    truth["fractured_C5"] = (truth["z_index"] == 2).astype(np.int8)
    table = given(tmp_path, TrainingSetConfig(0, 0, targets="truth"), truth=truth)
    roles = roles_of(FOLDS, 0)
    assert set(table[UID]) == set(roles.index[roles != "heldout"])
    assert (table["C5"] == (table["z_index"] == 2)).all() and set(table["source"]) == {"truth"}
    with pytest.raises(CspineError, match="phantom's truth has no slice"):
        given(tmp_path, TrainingSetConfig(0, 0, targets="truth"), truth=truth.iloc[:-3])
    with pytest.raises(CspineError, match="targets: truth needs --truth"):
        given(tmp_path, TrainingSetConfig(0, 0, targets="truth"))


def test_a_boxed_study_that_pseudo_labels_unite_is_taught_by_them_in_all_its_slices(tmp_path: Path) -> None:
    config = TrainingSetConfig(0, 1)
    before = training_set(tmp_path, config)
    boxed = before.loc[(before["source"] == "box") & (before["role"] == "train"), UID].unique()[:2]
    own = trusted(LABELS_TABLE[LABELS_TABLE[UID].isin(boxed)])
    united = united_with_boxes(own, predictions_table(STUDIES), soft=True)
    write_table(pd.concat([pseudo_of(0), united]), tmp_path / "pseudo.parquet")
    paths = {name: tmp_path / f"{name}.parquet" for name in ("labels", "folds", "slices", "training_set")}
    build_training_set(**paths, pseudo_labels=tmp_path / "pseudo.parquet", config=config)
    after = read_table(paths["training_set"])
    assert after[[UID, "z_index", "role"]].equals(before[[UID, "z_index", "role"]])
    changed = after["source"] == "united"
    assert set(after.loc[changed, UID]) == set(boxed)
    assert not {"box", "unboxed"} & set(after.loc[after[UID].isin(boxed), "source"])
    assert after[~changed].equals(before[~changed])
    np.testing.assert_array_equal(after.loc[changed, list(VERTEBRAE)], united[list(VERTEBRAE)])

"""Labels of whole studies as what slices are taught: everywhere, or where a localizer sees the vertebra; shares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.labels import LabelConfig, label_slices_from_boxes
from cspine.shares import share_of_studies
from cspine.stages.build_training_set import TrainingSetConfig, build_training_set
from cspine.studies import PRESENCE, UID, UNKNOWN, VERTEBRAE
from cspine.tables import read_table, write_table
from localization_tables import localization_table
from small_cohort import boxes_table, folds_of, many_studies, slices_table

STUDIES = many_studies(48, seed=2)
SLICES = slices_table(STUDIES)
FOLDS = folds_of(STUDIES)
BOXES = boxes_table(*[(uid, 11) for uid in STUDIES.loc[STUDIES["boxed"], UID]])
LABELS_TABLE = label_slices_from_boxes(STUDIES, SLICES, BOXES, LabelConfig(unfractured=8))[0]


def sources(tmp_path: Path, config: TrainingSetConfig, **tables: pd.DataFrame) -> pd.DataFrame:
    """The training set of these inputs by name, beside folds and slices."""
    given = {"labels": LABELS_TABLE, "folds": FOLDS, "slices": SLICES, **tables}
    paths = {name: tmp_path / f"{name}.parquet" for name in given}
    for name, table in given.items():
        write_table(table, paths[name])
    build_training_set(**paths, training_set=tmp_path / "set.parquet", config=config)
    return read_table(tmp_path / "set.parquet")


def with_unknown() -> tuple[pd.DataFrame, str]:
    """The studies with one fractured training study of which nobody knows C7."""
    roles = roles_of(FOLDS, 0)
    uid = STUDIES.loc[STUDIES[UID].map(roles).eq("train") & STUDIES["patient_overall"].eq(1), UID].iloc[0]
    return STUDIES.assign(C7=STUDIES["C7"].mask(STUDIES[UID] == uid, UNKNOWN)), uid


def test_with_targets_study_every_slice_of_every_training_study_has_its_studys_labels(tmp_path: Path) -> None:
    studies, unsure = with_unknown()
    table = sources(tmp_path, TrainingSetConfig(0, 0, "study"), studies=studies)
    roles = roles_of(FOLDS, 0)
    taught = roles.index[roles.isin(["train", "select"])]
    assert set(table[UID]) == set(taught) and len(table) == SLICES[UID].isin(taught).sum()
    due = studies.set_index(UID).loc[table[UID], list(VERTEBRAE)].astype(float).replace(float(UNKNOWN), np.nan)
    np.testing.assert_array_equal(table[list(VERTEBRAE)].to_numpy(), due.to_numpy())
    assert table.loc[table[UID] == unsure, "C7"].isna().all() and set(table["source"]) == {"study"}


def test_an_unreadable_study_is_not_taught_its_labels(tmp_path: Path) -> None:
    gone = STUDIES.loc[STUDIES[UID].map(roles_of(FOLDS, 0)) == "train", UID].iloc[0]
    table = sources(
        tmp_path,
        TrainingSetConfig(0, 0, "study"),
        studies=STUDIES.assign(readable=STUDIES["readable"] & (STUDIES[UID] != gone)),
        slices=SLICES[SLICES[UID] != gone],
    )
    assert gone not in set(table[UID]) and table[UID].nunique() > 10


def seen_by_localizer(**columns: object) -> pd.DataFrame:
    """C1 with 0.9 in the first slice of a study, C2 with 0.4 in the others; masks' rows say the opposite everywhere."""
    first = (SLICES["z_index"] == 0).to_numpy()
    presence = np.zeros((len(SLICES), 7))
    presence[first, 0], presence[~first, 1] = 0.9, 0.4
    predicted = localization_table(SLICES, presence)
    return pd.concat([predicted, localization_table(SLICES, 1 - presence, source="mask")], ignore_index=True)


@pytest.mark.parametrize(("soft", "c1", "c2"), [(True, 0.9, 0.4), (False, 1.0, 0.0)])
def test_with_targets_shown_a_label_counts_where_the_localizer_sees_the_vertebra(
    tmp_path: Path, soft: bool, c1: float, c2: float
) -> None:
    studies, unsure = with_unknown()
    studies = studies.assign(C1=np.where(studies[UID] == unsure, 1, studies["C1"]), C2=1)
    config = TrainingSetConfig(0, 0, "shown", soft=soft, least=0.5)
    table = sources(tmp_path, config, studies=studies, localization=seen_by_localizer())
    labels = studies.set_index(UID).loc[table[UID]].reset_index()
    first = table["z_index"] == 0
    np.testing.assert_array_equal(table["C1"], np.where(first & (labels["C1"] == 1), np.float32(c1), 0))
    np.testing.assert_array_equal(table["C2"], np.where(first, 0, np.float32(c2)))
    assert (table[["C3", "C4", "C5", "C6"]] == 0).all(axis=None)
    assert (
        table.loc[table[UID] == unsure, "C7"].isna().all() and table["C7"].notna().sum() == (table[UID] != unsure).sum()
    )
    assert set(table["role"]) == {"train", "select"}


def test_without_masks_every_slice_has_the_presence_that_the_localizer_sees(tmp_path: Path) -> None:
    config = TrainingSetConfig(0, 0, "study", presence="localized")
    table = sources(tmp_path, config, studies=STUDIES, localization=seen_by_localizer())
    first = table["z_index"] == 0
    np.testing.assert_array_equal(table["present_C1"], np.where(first, np.float32(0.9), 0))
    np.testing.assert_array_equal(table["present_C2"], np.where(first, 0, np.float32(0.4)))
    assert table[list(PRESENCE)].notna().all(axis=None)


def test_a_slice_that_the_localizer_has_not_seen_is_named(tmp_path: Path) -> None:
    roles = roles_of(FOLDS, 0)
    uid = roles.index[roles == "train"][0]
    localization = seen_by_localizer()
    localization = localization[(localization[UID] != uid) | (localization["source"] == "mask")]
    with pytest.raises(CspineError, match=f"no row `predicted` for slice 0 of study {uid}"):
        sources(tmp_path, TrainingSetConfig(0, 0, "shown"), studies=STUDIES, localization=localization)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (TrainingSetConfig(0, 0, "study"), "targets: study needs --studies; none was given"),
        (TrainingSetConfig(0, 0, "shown"), "targets: shown needs --studies and --localization"),
        (TrainingSetConfig(0, 0, share=0.5), "labels.share: 0.5 needs --studies"),
        (TrainingSetConfig(0, 0, presence="localized"), "labels.presence: localized needs --localization"),
    ],
)
def test_labels_without_what_they_come_from_are_an_error(tmp_path: Path, config: TrainingSetConfig, words: str) -> None:
    with pytest.raises(CspineError, match=words):
        sources(tmp_path, config)


def test_labels_without_a_fracture_are_an_error_that_says_where_to_look(tmp_path: Path) -> None:
    whole = STUDIES.assign(**dict.fromkeys(VERTEBRAE, 0))
    with pytest.raises(CspineError, match=r"no vertebra of \d+ slices .* labelled as fractured.*labels\.share"):
        sources(tmp_path, TrainingSetConfig(0, 0, "study"), studies=whole)


def test_a_share_is_stratified_and_a_larger_one_contains_it_and_select_stays_whole(tmp_path: Path) -> None:
    found = {}
    for share in (0.2, 0.5, 1.0):
        table = sources(tmp_path, TrainingSetConfig(0, 0, "study", share=share, seed=7), studies=STUDIES)
        found[share] = {role: set(table.loc[table["role"] == role, UID]) for role in ("train", "select")}
    assert found[0.2]["train"] < found[0.5]["train"] < found[1.0]["train"]
    assert found[0.2]["select"] == found[1.0]["select"]
    for fractured in (0, 1):
        kind = set(STUDIES.loc[STUDIES["patient_overall"] == fractured, UID])
        everyone = len(kind & found[1.0]["train"])
        for share in (0.2, 0.5):
            assert len(kind & found[share]["train"]) == max(1, round(share * everyone))


def test_a_share_is_a_function_of_its_seed_and_moves_with_it() -> None:
    taught = set(STUDIES[UID])
    one = share_of_studies(STUDIES, taught, 0.3, seed=1)
    assert one == share_of_studies(STUDIES.iloc[::-1], taught, 0.3, seed=1)
    assert one != share_of_studies(STUDIES, taught, 0.3, seed=2)
    assert share_of_studies(STUDIES, {"unknown"}, 0.3, seed=1) == set()

"""The localization table: predictions of a study come from models that never saw it, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cspine.errors import CspineError
from cspine.localization.anatomy import order_violations
from cspine.localization.columns import BOX, MIDDLE, OUTPUTS, OWN_BOX, RATIO, SHOWN
from cspine.localization.ensembles import mean_of_models, only_where_shown
from cspine.localization.parts import inner_parts
from cspine.stages.build_localizer_set import LocalizerSetConfig, build_localizer_set
from cspine.stages.localize_slices import COLUMNS, check_models
from cspine.studies import PRESENCE, UID, VERTEBRAE
from cspine.tables import read_table, write_table
from small_localizations import PARTS, ROLES, SEGMENTED, TEST_STUDY, Localizer, write_data

HELD_OUT = "1.5"
TAUGHT = [uid for uid in SEGMENTED if uid != HELD_OUT]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Localizer:
    """Trained and predicted once; the table is results/localization/{localizer}/fold-0.parquet."""
    folder = tmp_path_factory.mktemp("localization")
    write_data(folder)
    localizer = Localizer(folder)
    localizer.run()
    return localizer


def test_no_model_is_taught_or_watched_on_a_held_out_study_and_each_part_is_watched_once(chain: Localizer) -> None:
    sets = [read_table(chain.file("set.parquet", inner)) for inner in range(PARTS)]
    for table in sets:
        assert set(table[UID]) == set(TAUGHT) and HELD_OUT not in set(table[UID])
        assert (table.groupby(UID)["role"].nunique() == 1).all()
    watched = [set(table.loc[table["role"] == "select", UID]) for table in sets]
    assert watched[0] | watched[1] == set(TAUGHT) and not watched[0] & watched[1]


def test_a_segmented_study_is_predicted_by_the_one_model_that_was_not_taught_it(chain: Localizer) -> None:
    table = read_table(chain.file("fold-0.parquet"))
    predicted = table[table["source"] == "predicted"].set_index([UID, "z_index"])
    raw = [read_table(chain.file("localized.parquet", inner)).set_index([UID, "z_index"]) for inner in range(PARTS)]
    for inner, own in enumerate(raw):
        taught = read_table(chain.file("set.parquet", inner)).query("role == 'train'")[UID].unique()
        assert not set(taught) & set(own.index.get_level_values(UID))
    for uid in TAUGHT:
        (only,) = (own for own in raw if uid in own.index.get_level_values(UID))
        assert np.array_equal(predicted.loc[uid, list(PRESENCE)], only.loc[uid, list(PRESENCE)]), uid
    for uid in (HELD_OUT, "1.6", TEST_STUDY):  # held out, without a mask, of the test cohort: the mean of all
        mean = sum(own.loc[uid, list(PRESENCE)].to_numpy() for own in raw) / PARTS
        np.testing.assert_allclose(predicted.loc[uid, list(PRESENCE)], mean, rtol=1e-6)


def test_a_test_study_that_is_a_taught_training_study_is_not_predicted_by_its_teacher(tmp_path: Path) -> None:
    write_data(tmp_path)
    index = read_table(tmp_path / "slices.parquet")
    again = index[index[UID] == "1.0"].assign(cohort="test")
    write_table(pd.concat([index, again], ignore_index=True), tmp_path / "slices.parquet")
    table = Localizer(tmp_path).run()
    both = table[(table["source"] == "predicted") & (table[UID] == "1.0")]
    assert both.groupby("cohort").size().tolist() == [8, 8]
    assert (both.groupby("z_index")["present_C1"].nunique() == 1).all()


def test_a_study_localized_by_a_model_that_was_taught_it_stops_the_stage() -> None:
    one, two = (pd.DataFrame({UID: uids}) for uids in (["1.0", "1.5"], ["1.0", "1.1", "1.5"]))
    roles = pd.Series({"1.0": "train", "1.1": "select", "1.5": "heldout"})
    with pytest.raises(AssertionError, match=r"study 1\.0 was localized by 2 models, 1 were not taught it"):
        check_models([one, two], {"1.0", "1.1", "1.5"}, roles)


def test_the_table_has_every_slice_as_predicted_and_those_of_masks_as_truth(chain: Localizer) -> None:
    table = read_table(chain.file("fold-0.parquet"))
    assert list(table.columns) == COLUMNS
    assert table[["source", UID, "z_index"]].apply(tuple, axis=1).is_monotonic_increasing
    assert table.groupby("source").size().to_dict() == {"mask": 48, "predicted": 64}
    truth, predicted = (table[table["source"] == source] for source in ("mask", "predicted"))
    assert set(truth[UID]) == set(SEGMENTED) and set(predicted[UID]) == {*ROLES, TEST_STUDY}
    first = truth[truth[UID] == "1.2"].iloc[1]  # the second slice of C1: six rows from 10 on, eight columns from 8 on
    assert [first[name] for name in BOX] == [8 / 32, 10 / 32, 16 / 32, 16 / 32]
    assert [first["ratio_C1"], first["present_C1"], first["shown_C1"], first["present_C2"]] == [1, 1, 1, 0]
    assert [first["middle_C1_x"], first["middle_C1_y"]] == [12 / 32, 13 / 32] and np.isnan(first["middle_C2_x"])
    own = ["box_C1_x0", "box_C1_y0", "box_C1_x1", "box_C1_y1"]
    assert first[own].tolist() == first[list(BOX)].tolist() and np.isnan(first["box_C2_x0"])
    assert predicted[[*PRESENCE, *RATIO]].notna().all(axis=None)
    for _, rows in predicted.groupby(["cohort", UID]):
        assert order_violations(rows[list(SHOWN)].to_numpy()) == 0


def test_a_classifier_is_a_localizer_that_gives_presence_only(chain: Localizer) -> None:
    table = Localizer(chain.folder, "slice_cnn", presence_weight=0.0).run()
    predicted = table[table["source"] == "predicted"]
    assert predicted[list(PRESENCE)].notna().all(axis=None)
    assert predicted[[*RATIO, *BOX, *MIDDLE, *OWN_BOX]].isna().all(axis=None)


def test_a_prediction_is_the_same_with_other_studies_beside_it_and_after_a_kill(chain: Localizer) -> None:
    whole = read_table(chain.file("localized.parquet", 0))
    chain.file("parts", 0).joinpath("test-0.parquet").unlink()
    pd.testing.assert_frame_equal(chain.predict(0), whole)
    studies = read_table(chain.file("studies.parquet", 0))
    assert sorted(studies[UID]) == sorted(set(whole[UID])) and studies.filter(like="dice").isna().all(axis=None)


def test_parts_take_their_share_of_both_roles_and_do_not_hang_on_the_order_of_the_rows() -> None:
    uids = [f"{n}" for n in range(14)]
    roles = ["train"] * 8 + ["select"] * 4 + ["heldout"] * 2
    folds = pd.DataFrame({"fold": 0, UID: uids, "role": roles})
    parts = inner_parts(uids, folds, 0, 3, seed=5)
    assert parts == inner_parts(reversed(uids), folds.iloc[::-1], 0, 3, seed=5) != inner_parts(uids, folds, 0, 3, 6)
    assert set(parts) == set(uids[:12]) and sorted(np.bincount(list(parts.values()))) == [4, 4, 4]
    of_role = [np.bincount([parts[uid] for uid in some], minlength=3) for some in (uids[:8], uids[8:12])]
    assert all(np.ptp(counts) <= 1 for counts in of_role)


def test_voxels_of_masks_stand_beside_their_slice_for_a_family_that_is_taught_them(chain: Localizer) -> None:
    plain = chain.build(0)
    voxels = plain.loc[plain["z_index"] < 2, [UID, "z_index"]].assign(mask=[f"{z}".encode() for z in (0, 1) * 5])
    paths = [chain.folder / "masks-0.parquet", chain.folder / "masks-1.parquet"]
    write_table(voxels[:3], paths[0])
    write_table(voxels[3:], paths[1])
    extents, slices, folds = (chain.folder / f"{name}.parquet" for name in ("extents", "slices", "folds"))
    config = LocalizerSetConfig(fold=0, inner=0, parts=PARTS, seed=1)
    build_localizer_set(extents, slices, folds, chain.folder / "with.parquet", masks=paths, config=config)
    table = read_table(chain.folder / "with.parquet")
    assert table.drop(columns="mask").equals(plain)
    assert table["mask"].notna().sum() == 10 and (table.loc[table["z_index"] == 1, "mask"] == b"1").all()


def test_too_few_segmented_studies_are_answered_with_the_keys_that_help() -> None:
    folds = pd.DataFrame({"fold": 0, UID: ["a", "b", "c"], "role": ["train", "heldout", "train"]})
    with pytest.raises(CspineError, match=r"fold 0 has 1 segmented studies .* localization\.inner: 2 needs at least 2"):
        inner_parts(["a", "b"], folds, 0, 2, seed=0)


def test_places_are_means_of_the_models_that_know_them_and_only_where_something_is_shown() -> None:
    key = {"cohort": "train", UID: "1", "slice_number": [1, 2, 3], "z_index": [0, 1, 2]}
    one = pd.DataFrame(key | dict.fromkeys(OUTPUTS, 0.25))
    two = one.assign(present_C2=[0.9, 0.9, 0.1], ratio_T=[0.25, 0.25, -0.2])
    two[list(BOX)] = np.repeat([[0.75], [np.nan], [0.75]], len(BOX), axis=1)
    table = only_where_shown(mean_of_models([one, two]))
    assert table["box_x0"].tolist()[:2] == [0.5, 0.25] and np.isnan(table["box_x0"][2])
    for name in ("middle_{}_x", "box_{}_x0", "box_{}_y1"):
        assert table[name.format("C2")].notna().tolist() == [True, True, False]
        assert table[[name.format(v) for v in VERTEBRAE if v != "C2"]].isna().all(axis=None)

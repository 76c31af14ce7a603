"""The report's cases: the worst errors of either kind, one a study, where the truth is known; and the studies shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.predictions import AggregateConfig, study_probabilities_of
from cspine.stages.choose_cases import CaseConfig, choose_cases
from cspine.studies import LABELS, PRESENCE, UID, VERTEBRAE
from cspine.tables import read_table, write_table
from small_cohort import folds_of, many_studies, predictions_table, slices_table

FOLDS_RUN = [0, 2]
CONFIG = CaseConfig(method="semi_supervised", folds_run=FOLDS_RUN, cases=3, studies=6)
STUDIES = many_studies(80, seed=9, test=30)
FOLDS = folds_of(STUDIES)
SLICES = slices_table(STUDIES).assign(rows=np.int16(512), row_spacing=np.float32(0.4))
PREDICTIONS = [predictions_table(STUDIES, seed=fold) for fold in FOLDS_RUN]
PROBABILITIES = [
    study_probabilities_of(table, STUDIES, FOLDS, AggregateConfig(fold))[0]
    for fold, table in zip(FOLDS_RUN, PREDICTIONS, strict=True)
]
TRUTH = many_studies(30, seed=10)[[UID, *LABELS]].assign(**{UID: [f"test-{i:04d}" for i in range(30)]})
POINTS = pd.DataFrame({"fold": [0, 0, 2, 2], "kind": ["patient", "vertebra"] * 2, "threshold": [0.9, 0.3, 0.9, 0.4]})
POINTS["assumed"] = ["", "", "", "3 fractured"]
ROLES = {fold: roles_of(FOLDS, fold) for fold in FOLDS_RUN}
HELD_OUT = {uid: fold for fold in FOLDS_RUN for uid in ROLES[fold].index[ROLES[fold] == "heldout"]}


def chosen(folder: Path, config: CaseConfig = CONFIG, **given: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """cases and shown of the tables above, with others in their place; ``truth`` None for test studies of no truth."""
    folder.mkdir(exist_ok=True)
    findings = pd.DataFrame({UID: ["none"], "code": ["padding"]})
    singles = {"studies": STUDIES, "slices": SLICES, "findings": findings, "folds": FOLDS, "points": POINTS}
    inputs: dict[str, Any] = {}
    for name, table in singles.items():
        write_table(given.get(name, table), folder / f"in-{name}.parquet")
        inputs[name] = folder / f"in-{name}.parquet"
    lists: dict[str, Any] = {"study_probabilities": PROBABILITIES, "predictions": PREDICTIONS, "pseudo_labels": []}
    for name, tables in lists.items():
        inputs[name] = [folder / f"in-{name}-{i}.parquet" for i, _ in enumerate(given.get(name, tables))]
        for path, table in zip(inputs[name], given.get(name, tables), strict=True):
            write_table(table, path)
    inputs["choices"] = [folder / f"in-aggregation-{fold}.json" for fold in config.folds_run]
    for path in inputs["choices"]:
        path.write_text(json.dumps({"evidence": given.get("evidence", "fracture")}))
    truth = given.get("truth", TRUTH)
    if truth is not None:
        truth.to_csv(folder / "truth.csv", index=False)
        inputs["truth"] = folder / "truth.csv"
    choose_cases(**inputs, cases=folder / "cases.parquet", shown=folder / "shown.parquet", config=config)
    return read_table(folder / "cases.parquet"), read_table(folder / "shown.parquet")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    return chosen(tmp_path_factory.mktemp("cases"))


def every_error() -> pd.DataFrame:
    """All errors of held-out and test studies, worked out cell by cell."""
    labels = pd.concat([STUDIES[STUDIES["cohort"] == "train"], TRUTH]).set_index(UID)
    test = pd.concat([t[t["cohort"] == "test"] for t in PROBABILITIES]).groupby(UID)[list(VERTEBRAE)].mean()
    own = {fold: table.set_index(UID) for fold, table in zip(FOLDS_RUN, PROBABILITIES, strict=True)}
    limits = {0: 0.3, 2: 0.4, None: 0.35}
    rows = []
    for uid in [*HELD_OUT, *TRUTH[UID]]:
        fold = HELD_OUT.get(uid)
        for vertebra in VERTEBRAE:
            said = (test if fold is None else own[fold]).loc[uid, vertebra]
            truth, called = labels.loc[uid, vertebra], said >= limits[fold]
            if called != (truth == 1):
                rows.append((uid, vertebra, "false negative" if truth else "false positive", abs(truth - said)))
    return pd.DataFrame(rows, columns=[UID, "label", "kind", "error"])


def test_the_cases_are_the_largest_errors_of_their_kind_the_worst_first_and_one_a_study(
    made: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    errors = every_error().sort_values("error", ascending=False).drop_duplicates([UID, "kind"])
    for kind in ("false negative", "false positive"):
        wanted, found = errors[errors["kind"] == kind].head(3), made[0][made[0]["kind"] == kind]
        assert list(found["rank"]) == [1, 2, 3]
        assert found[[UID, "label"]].to_numpy().tolist() == wanted[[UID, "label"]].to_numpy().tolist()
        assert not found[UID].duplicated().any()


def test_a_heldout_study_has_its_own_folds_threshold_and_a_test_study_the_mean(tmp_path: Path) -> None:
    cases, _ = chosen(tmp_path, CaseConfig("m", FOLDS_RUN, cases=30))
    limits = {
        (cohort, fold): t for cohort, fold, t in zip(cases["cohort"], cases["fold"], cases["threshold"], strict=True)
    }
    assert limits == {("heldout", 0): 0.3, ("heldout", 2): 0.4, ("test", 0): pytest.approx(0.35)}
    assumed = cases["assumed"] != ""
    assert assumed.equals(cases["threshold"] != 0.3)  # of fold 2, and so of the mean
    held_out = cases[cases["cohort"] == "heldout"]
    assert held_out["fold"].tolist() == [HELD_OUT[uid] for uid in held_out[UID]]


def test_the_key_slice_is_the_one_that_says_most_of_the_vertebra_by_the_fold_that_is_shown(
    made: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    for case in made[0].to_dict("records"):
        slices = PREDICTIONS[FOLDS_RUN.index(case["fold"])]
        cohort = "test" if case["cohort"] == "test" else "train"
        rows = slices[(slices[UID] == case[UID]) & (slices["cohort"] == cohort)].reset_index(drop=True)
        key = rows.iloc[int(rows[case["label"]].argmax())]
        assert (case["z_index"], case["slice_number"]) == (key["z_index"], key["slice_number"])
        assert case["vertebra"] == case["label"]


def test_where_slices_count_by_what_they_show_the_key_slice_shows_the_vertebra(tmp_path: Path) -> None:
    tables = [
        table.assign(**{p: (table["z_index"] == 3).astype(np.float32) for p in PRESENCE}) for table in PREDICTIONS
    ]
    cases, _ = chosen(tmp_path, predictions=tables, evidence="localized")
    assert set(cases["z_index"]) == {3}


def test_of_slices_that_say_as_much_the_most_cranial_is_the_key(tmp_path: Path) -> None:
    flat = [table.assign(**dict.fromkeys(VERTEBRAE, np.float32(0.5)))[::-1] for table in PREDICTIONS]
    cases, _ = chosen(tmp_path, predictions=flat)
    assert set(cases["z_index"]) == {0}


def test_an_unknown_label_is_never_a_case(tmp_path: Path) -> None:
    studies = STUDIES.copy()
    of_c2 = studies["cohort"] == "train"
    studies.loc[of_c2, "C2"] = np.int8(-1)
    cases, _ = chosen(tmp_path, CaseConfig("m", FOLDS_RUN, cases=60), studies=studies, truth=None)
    assert len(cases) > 10 and "C2" not in set(cases["label"])


def test_a_study_that_no_model_judged_is_no_case(tmp_path: Path, made: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    first = made[0].iloc[0]
    tables = [table[table[UID] != first[UID]] for table in PROBABILITIES]
    cases, _ = chosen(tmp_path, study_probabilities=tables)
    assert first[UID] not in set(cases[UID])


def test_without_truth_of_the_test_studies_the_cases_are_held_out(tmp_path: Path) -> None:
    cases, shown = chosen(tmp_path, truth=None)
    assert set(cases["cohort"]) == {"heldout"} and len(cases) == 6
    assert "test" not in set(shown["cohort"])


def test_equal_errors_are_ordered_by_study_and_vertebra_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    tied = [table.assign(**dict.fromkeys(VERTEBRAE, 0.01)) for table in PROBABILITIES]
    found = [chosen(tmp_path / name, study_probabilities=order) for name, order in
             (("a", tied), ("b", [table[::-1] for table in tied]))]  # fmt: skip
    pd.testing.assert_frame_equal(found[0][0], found[1][0])
    pd.testing.assert_frame_equal(found[0][1], found[1][1])
    fractured = STUDIES[STUDIES[UID].isin(HELD_OUT) & (STUDIES["patient_overall"] == 1)].sort_values(UID).head(3)
    assert found[0][0][UID].tolist() == fractured[UID].tolist()
    assert found[0][0]["label"].tolist() == fractured[list(VERTEBRAE)].idxmax(axis=1).tolist()


def test_a_method_without_errors_has_no_cases_and_still_shows_studies(tmp_path: Path) -> None:
    labels = pd.concat([STUDIES[STUDIES["cohort"] == "train"], TRUTH]).set_index(UID)
    perfect = [t.assign(**{v: labels.loc[t[UID], v].to_numpy(np.float64) for v in VERTEBRAE}) for t in PROBABILITIES]
    cases, shown = chosen(tmp_path, study_probabilities=perfect)
    assert cases.empty and len(shown) == 6 and not shown["why"].str.contains("false").any()
    for reason in ("found: ", "segmented", "unfractured"):
        assert shown["why"].str.contains(reason).any(), reason


def test_a_method_of_whole_studies_has_cases_without_key_slices(
    tmp_path: Path, made: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    whole = [table[["cohort", UID, *VERTEBRAE]].groupby(["cohort", UID], as_index=False).max() for table in PREDICTIONS]
    cases, shown = chosen(tmp_path, predictions=whole)
    assert set(cases["z_index"]) == set(cases["slice_number"]) == {-1}
    assert cases[UID].tolist() == made[0][UID].tolist() and len(shown) == 6


def test_the_studies_shown_are_errors_first_then_one_of_each_kind_of_label(tmp_path: Path) -> None:
    pseudo = [pd.DataFrame({UID: sorted(ROLES[fold].index[ROLES[fold] == "train"])[:5]}) for fold in FOLDS_RUN]
    cases, shown = chosen(tmp_path, pseudo_labels=pseudo)
    assert len(shown) == 6 and not shown[UID].duplicated().any()
    worst = cases[cases["rank"] == 1]
    assert set(worst[UID]) <= set(shown[UID]) and shown["why"].iloc[0].startswith("false negative: ")
    for reason in ("segmented", "pseudo-labelled", "unfractured", "found: "):
        assert shown["why"].str.contains(reason).any(), reason
    wrong = shown["why"].str.contains("false").to_numpy()
    assert wrong[: wrong.sum()].all()  # errors first
    assert (shown["why"].str.contains("found: ") & ~shown["why"].str.contains("false")).any()  # one that is right
    row = shown[shown["why"].str.contains("pseudo-labelled")].iloc[0]
    assert row[UID] in set(pseudo[FOLDS_RUN.index(row["fold"])][UID])
    assert row["cohort"] == ROLES[row["fold"]][row[UID]]


@pytest.mark.parametrize("count", [1, 2, 4, 12])
def test_as_many_studies_are_shown_as_are_asked_for(tmp_path: Path, count: int) -> None:
    cases, shown = chosen(tmp_path, CaseConfig("m", FOLDS_RUN, cases=8, studies=count))
    assert len(shown) == count
    assert cases.iloc[0][UID] == shown.iloc[0][UID]


def test_every_reason_of_a_study_that_is_shown_is_true_of_it(tmp_path: Path) -> None:
    cases, shown = chosen(tmp_path, CaseConfig("m", FOLDS_RUN, cases=8, studies=14))
    train = STUDIES[STUDIES["cohort"] == "train"].set_index(UID)
    named = {(row[UID], f"{row['kind']}: {row['label']}") for row in cases.to_dict("records")}
    for row in shown.to_dict("records"):
        for reason in row["why"].split(", "):
            if reason.startswith("false"):
                assert (row[UID], reason) in named
            elif reason in ("boxed", "segmented"):
                assert train.loc[row[UID], reason] and row["cohort"] != "test"
            elif reason.startswith("found: "):
                labels = (TRUTH.set_index(UID) if row["cohort"] == "test" else train).loc[row[UID]]
                assert all(labels[vertebra] == 1 for vertebra in reason.removeprefix("found: ").split())


def test_what_is_known_of_a_study_stands_beside_its_case(
    tmp_path: Path, made: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    uid = made[0][UID].iloc[0]
    findings = pd.DataFrame({UID: [uid, uid, "other"], "code": ["sizes-vary", "padding", "file-cut"]})
    cases, _ = chosen(tmp_path, findings=findings)
    row = cases.iloc[0]
    assert row["findings"] == "padding, sizes-vary" and cases["findings"].iloc[1] != row["findings"]
    assert (row["slices"], row["thickness"], row["rows"]) == (4, 1.0, 512)


def test_points_of_other_folds_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CspineError, match="no threshold of vertebrae for fold 2"):
        chosen(tmp_path, points=POINTS[POINTS["fold"] == 0])


def test_other_numbers_of_files_than_folds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CspineError, match=r"1 pseudo_labels for folds \[0, 2\]"):
        chosen(tmp_path, pseudo_labels=[pd.DataFrame({UID: ["train-0001"]})])

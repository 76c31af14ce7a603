"""The submission: the sample's rows, all of them, in its order, whatever became of the studies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cspine.errors import CspineError
from cspine.metric import best_constant
from cspine.stages.write_submission import write_submission
from cspine.studies import LABELS, UID
from cspine.submission import SubmissionConfig, check_submission, mean_of_folds, read_sample, training_prior
from cspine.tables import read_table, write_table
from small_cohort import many_studies, studies_table, study

CONFIG = SubmissionConfig()
TRAINING = many_studies(30, seed=6)
STUDIES = pd.concat(
    [
        TRAINING,
        studies_table(
            study("1.2.826.22327", cohort="test"),
            study("1.2.826.25399", cohort="test"),
            study("1.2.826.10197", cohort="test", has_folder=False, readable=False),
            study("1.2.826.5876", cohort="test", readable=False, reason="no readable slice"),
        ),
    ],
    ignore_index=True,
)


def table_of(**studies: float) -> pd.DataFrame:
    """study_probabilities with one value for all labels, C7 a tenth of it; a train row as bait."""
    rows = [{UID: f"1.2.826.{uid[1:]}", "cohort": "test", "value": value} for uid, value in studies.items()]
    rows.append({UID: "1.2.826.10197", "cohort": "heldout", "value": 0.99})
    table = pd.DataFrame(rows)
    for label in LABELS:
        table[label] = table["value"] / (10 if label == "C7" else 1)
    return table.drop(columns="value")


TABLES = [table_of(_22327=0.2, _25399=0.6), table_of(_22327=0.4, _25399=0.8)]


def submit(
    folder: Path, sample: list[str], tables: list[pd.DataFrame] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    (folder / "sample.csv").write_text("\n".join(["row_id,fractured", *[f"{row},0.5" for row in sample]]) + "\n")
    write_table(STUDIES, folder / "studies.parquet")
    paths = []
    for i, table in enumerate(TABLES if tables is None else tables):
        paths.append(folder / f"fold-{i}.parquet")
        write_table(table, paths[-1])
    out, reasons = folder / "submission.csv", folder / "reasons.parquet"
    write_submission(folder / "sample.csv", folder / "studies.parquet", paths, out, reasons, config=CONFIG)
    assert [p.name for p in folder.glob("submission*")] == ["submission.csv"]  # no half-written file left
    return pd.read_csv(out, dtype={"row_id": "str"}), read_table(reasons)


def test_rows_are_the_samples_in_its_order_and_the_mean_of_the_models(tmp_path: Path) -> None:
    sample = ["1.2.826.25399_C7", "1.2.826.22327_patient_overall", "1.2.826.25399_C1"]  # not 8 rows a study
    table, reasons = submit(tmp_path, sample)
    assert list(table["row_id"]) == sample
    np.testing.assert_allclose(table["fractured"], [0.07, 0.3, 0.7])
    assert reasons.empty and list(reasons.columns) == [UID, "code", "detail", "rows"]


def test_a_study_without_prediction_is_given_the_best_training_constant(tmp_path: Path) -> None:
    sample = ["1.2.826.10197_patient_overall", "1.2.826.5876_C2", "1.2.826.5876_C3", "1.2.9_C1"]
    table, reasons = submit(tmp_path, sample)
    prior = dict(zip(LABELS, best_constant(TRAINING[list(LABELS)].to_numpy(), "per_exam"), strict=True))
    due = [prior["patient_overall"], prior["C2"], prior["C3"], prior["C1"]]
    np.testing.assert_allclose(table["fractured"], due, atol=1e-6)  # and not the 0.99 of the training study
    assert reasons.set_index(UID)[["code", "rows"]].to_dict("index") == {
        "1.2.826.10197": {"code": "no-folder", "rows": 1},
        "1.2.826.5876": {"code": "unreadable", "rows": 2},
        "1.2.9": {"code": "no-folder", "rows": 1},
    }
    assert "no readable slice" in reasons.loc[reasons[UID] == "1.2.826.5876", "detail"].iloc[0]


def test_no_test_study_at_all_still_gives_a_submission(tmp_path: Path) -> None:
    table, reasons = submit(tmp_path, ["1.2.826.10197_C1", "1.2.826.10454_C1"], tables=[table_of()])
    assert table["fractured"].between(0.01, 0.99).all()
    assert list(reasons["code"]) == ["no-folder", "no-folder"]


def test_a_study_only_some_models_predicted_is_said(tmp_path: Path) -> None:
    tables = [table_of(_22327=0.2), table_of(_22327=0.4, _25399=0.8)]
    table, reasons = submit(tmp_path, ["1.2.826.25399_C1"], tables)
    assert table["fractured"].tolist() == [0.8]
    assert reasons[["code", "detail"]].iloc[0].tolist() == ["some-folds", "1 of 2 models predicted it"]


def test_probabilities_are_kept_from_the_edges(tmp_path: Path) -> None:
    table, _ = submit(tmp_path, ["1.2.826.22327_C1", "1.2.826.25399_C1"], [table_of(_22327=0.0, _25399=1.0)])
    assert table["fractured"].tolist() == [0.001, 0.999]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["1.2_C1", "1.2_C8"], r"line 3, '1\.2_C8'.*patient_overall, C1"),
        (["1.2_C1", "1.2_C2", "1.2_C1"], r"line 4, '1\.2_C1'.*once"),
        (["nounderscore"], "line 2, 'nounderscore'"),
        (["_C1"], "line 2, '_C1'"),
        ([], "no row"),
    ],
)
def test_a_wrong_sample_is_refused_by_line(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(CspineError, match=message):
        submit(tmp_path, rows)


def test_a_sample_without_row_ids_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sample.csv").write_text("id,fractured\n1_C1,0.5\n")
    with pytest.raises(CspineError, match=r"sample\.csv: expected a column row_id, found id, fractured"):
        read_sample(tmp_path / "sample.csv")


def test_a_model_that_gives_no_number_is_no_submission(tmp_path: Path) -> None:
    with pytest.raises(CspineError, match=r"study 1\.2\.826\.22327"):
        submit(tmp_path, ["1.2.826.22327_C1"], [table_of(_22327=float("nan"))])
    with pytest.raises(CspineError, match="one table for each fold"):
        mean_of_folds([], "test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("row_id,fractured\nb_C1,0.5\na_C1,0.5\n", "line 2"),
        ("row_id,fractured\na_C1,0.5\nb_C1,nan\n", "line 3"),
        ("row_id,fractured\na_C1,0.5\nb_C1,1.5\n", "line 3"),
        ("row_id,fractured\na_C1,0.5\n", "1 rows"),
        ("row_id,value\na_C1,0.5\nb_C1,0.5\n", "row_id, value"),
    ],
)
def test_a_file_read_back_wrong_is_caught(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "sample.csv").write_text("row_id,fractured\na_C1,0.5\nb_C1,0.5\n")
    (tmp_path / "written.csv").write_text(text)
    with pytest.raises(CspineError, match=message):
        check_submission(tmp_path / "written.csv", read_sample(tmp_path / "sample.csv"))


def test_the_prior_never_says_never() -> None:
    rare = TRAINING.assign(C3=0)
    prior = training_prior(rare, "per_exam", 0.01)
    assert prior[LABELS.index("C3")] == 0.01
    with pytest.raises(CspineError, match="no labelled study"):
        training_prior(STUDIES[STUDIES["cohort"] == "test"], "per_exam", 0.01)


def test_the_prior_uses_training_labels_only() -> None:
    known = STUDIES.copy()
    known.loc[known["cohort"] == "test", list(LABELS)] = 1
    np.testing.assert_array_equal(training_prior(known, "pooled", 0.01), training_prior(TRAINING, "pooled", 0.01))

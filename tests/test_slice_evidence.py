"""Localized evidence is the fracture times the presence; of two kinds of evidence the better one on select is taken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cspine.errors import CspineError
from cspine.predictions import (
    AggregateConfig,
    Choice,
    apply_choice,
    choice_of,
    highest_slices,
    study_probabilities_of,
)
from cspine.slice_evidence import columns_for, weighed
from cspine.stages.aggregate_studies import aggregate_studies
from cspine.studies import LABELS, PRESENCE, UID, VERTEBRAE
from cspine.tables import read_table, write_table
from small_cohort import folds_of, many_studies, predictions_table

CONFIG = AggregateConfig(fold=0, evidence=["fracture", "localized"])
STUDIES = many_studies(64, seed=5, test=4)
FOLDS = folds_of(STUDIES)
PREDICTIONS = predictions_table(STUDIES, seed=5)


def with_presence(presence: float | np.ndarray, predictions: pd.DataFrame = PREDICTIONS) -> pd.DataFrame:
    values = np.broadcast_to(presence, (len(predictions), len(PRESENCE)))
    return predictions.assign(**dict(zip(PRESENCE, values.T, strict=True)))


def test_localized_evidence_is_the_product_of_each_slices_own_two_numbers() -> None:
    table = pd.DataFrame({"cohort": "train", UID: "a", "z_index": range(3)})
    table = table.assign(**dict.fromkeys(VERTEBRAE, 0.5), **dict.fromkeys(PRESENCE, 1.0))
    table["C2"], table["present_C2"] = [0.9, 0.4, 0.6], [0.1, 0.75, 0.25]
    _, top = highest_slices(table, 2, evidence="localized")
    assert top[0, :, 1].tolist() == pytest.approx([0.3, 0.15])  # 0.4 * 0.75, 0.6 * 0.25; the 0.9 lies elsewhere
    assert top[0, :, 0].tolist() == [0.5, 0.5]
    assert highest_slices(table, 1)[1][0, 0, 1] == 0.9


def test_the_numbers_of_a_network_are_weighed_in_their_own_precision() -> None:
    values = np.arange(1, 15, dtype=np.float32)[None] / np.float32(16)
    assert weighed(values, "localized").dtype == np.float32
    assert weighed(values, "localized")[0, 2] == np.float32(3 / 16) * np.float32(10 / 16)
    assert np.array_equal(weighed(values, "fracture"), values[:, :7])


def test_of_two_kinds_of_evidence_the_one_that_is_right_on_select_is_taken() -> None:
    """Every slice of the networks cries fracture; only what they show tells the broken vertebrae from the others."""
    truth = STUDIES.set_index([UID, "cohort"]).loc[pd.MultiIndex.from_frame(PREDICTIONS[[UID, "cohort"]])]
    crying = PREDICTIONS.assign(**dict.fromkeys(VERTEBRAE, 0.9))
    told = with_presence(0.05 + 0.9 * (truth[list(VERTEBRAE)].to_numpy() == 1), crying)
    table, choice = study_probabilities_of(told, STUDIES, FOLDS, CONFIG)
    assert choice.evidence == "localized"
    alone, only = study_probabilities_of(told, STUDIES, FOLDS, replace(CONFIG, evidence=["localized"]))
    pd.testing.assert_frame_equal(table, alone)
    assert replace(choice, tried=[]) == replace(only, tried=[])
    assert {row["evidence"] for row in choice.tried} == {"fracture", "localized"}
    assert len(choice.tried) == 2 * len(only.tried) and "evidence" not in only.tried[0]


def test_equal_kinds_of_evidence_are_decided_by_the_order_of_the_config() -> None:
    everywhere = with_presence(1.0)
    for order in (["fracture", "localized"], ["localized", "fracture"]):
        _, choice = study_probabilities_of(everywhere, STUDIES, FOLDS, replace(CONFIG, evidence=order))
        assert choice.evidence == order[0]


def test_with_too_few_select_studies_the_first_kind_is_used() -> None:
    config = replace(CONFIG, evidence=["localized", "fracture"], least_select=1000)
    _, choice = study_probabilities_of(with_presence(0.5), STUDIES, FOLDS, config)
    assert choice.evidence == "localized" and "1000 are needed" in choice.fallback


def test_predictions_without_presence_are_an_error_that_names_column_and_key() -> None:
    with pytest.raises(CspineError, match=r"no column present_C1, which aggregate\.evidence: localized weighs by"):
        study_probabilities_of(PREDICTIONS, STUDIES, FOLDS, replace(CONFIG, evidence=["localized"]))
    wrong = with_presence(0.5)
    wrong.loc[3, "present_C4"] = np.nan
    with pytest.raises(CspineError, match=f"study {wrong[UID].iloc[3]}: nobody judged present_C4"):
        highest_slices(wrong, 1, evidence="localized")


def test_a_kind_of_evidence_that_is_not_known_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(CspineError, match=r"aggregate\.evidence: found presence; expected some of fracture, localized"):
        AggregateConfig(fold=0, evidence=["presence"])
    with pytest.raises(CspineError, match=r"aggregate\.evidence: expected at least one"):
        AggregateConfig(fold=0, evidence=[])


def test_without_localized_the_stage_reads_no_presence_and_says_nothing_of_evidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = tmp_path / "predictions.parquet", tmp_path / "studies.parquet", tmp_path / "folds.parquet"
    for path, table in zip(inputs, (PREDICTIONS, STUDIES, FOLDS), strict=True):
        write_table(table, path)
    probabilities, made = tmp_path / "probabilities.parquet", tmp_path / "choice.json"
    aggregate_studies(*inputs, probabilities, made, config=AggregateConfig(fold=0))
    assert "evidence" not in capsys.readouterr().err
    block = json.loads(made.read_text(encoding="utf-8"))
    assert block["evidence"] == "fracture" and columns_for(["fracture"]) == list(VERTEBRAE)
    old = {key: value for key, value in block.items() if key != "evidence"}  # of a bundle made before
    kept: Choice = choice_of(old)
    assert kept == choice_of(block)
    _, top = highest_slices(PREDICTIONS, 5)
    found = read_table(probabilities).sort_values(list(LABELS))[list(LABELS)].to_numpy()
    due = pd.DataFrame(apply_choice(top, kept), columns=list(LABELS)).sort_values(list(LABELS)).to_numpy()
    np.testing.assert_array_equal(found, due)

"""Models that judge whole studies or vertebrae: what they are taught, several at once, and studies without pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cspine.cached_studies import with_pixels
from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.members import mean_of_members
from cspine.metric import exam_losses
from cspine.predictions import AggregateConfig, study_probabilities_of
from cspine.scores import ScoreConfig, score_heldout_studies
from cspine.stages.build_study_set import check_study_set, labelled_studies, labelled_vertebrae
from cspine.stages.predict_studies import tables_of
from cspine.studies import LABELS, UID, VERTEBRAE
from small_cohort import folds_of, many_studies, studies_table, study
from small_units import world_of

STUDIES = many_studies(80, seed=4, test=6)
FOLDS = folds_of(STUDIES)
ROLES = roles_of(FOLDS, 0)


def judged(lost: str = "") -> pd.DataFrame:
    """predictions.parquet with a row a study; of ``lost`` nothing is said."""
    table = STUDIES[["cohort", UID]].sort_values(["cohort", UID], ignore_index=True)
    random = np.random.default_rng(0)
    table[list(LABELS)] = random.uniform(0.1, 0.9, (len(table), len(LABELS))).astype(np.float32)
    table.loc[table[UID] == lost, list(LABELS)] = np.nan
    return table


def test_studies_are_taught_their_labels_and_none_that_is_held_out() -> None:
    table = labelled_studies(STUDIES, FOLDS, 0)
    assert set(table[UID]) == set(ROLES.index[ROLES.isin(["train", "select"])])
    truth = STUDIES.set_index(UID).loc[table[UID], list(LABELS)].to_numpy()
    assert np.array_equal(table[list(LABELS)].to_numpy(), truth)
    with pytest.raises(AssertionError, match="a held-out study"):
        check_study_set(table.assign(**{UID: ROLES.index[ROLES == "heldout"][0]}), FOLDS, 0)


def test_an_unknown_label_stays_unknown_and_its_vertebra_is_not_taught() -> None:
    studies = STUDIES.copy()
    one = ROLES.index[ROLES == "train"][0]
    studies.loc[studies[UID] == one, "C4"] = -1
    labels = labelled_studies(studies, FOLDS, 0)
    assert labels.set_index(UID).loc[one].isna().sum() == 1
    places = labels[[UID]].merge(pd.DataFrame({"vertebra": VERTEBRAE}), how="cross").assign(cohort="train")
    placed = labelled_vertebrae(places, labels)
    assert len(placed) == 7 * len(labels) - 1
    assert list(placed.loc[placed[UID] == one, "vertebra"]) == [v for v in VERTEBRAE if v != "C4"]
    assert placed["fractured"].isin([0, 1]).all()


def test_members_are_averaged_over_those_that_judge_a_cell() -> None:
    nothing = np.float32(np.nan)
    one, other = np.array([[0.2, nothing, nothing]], np.float32), np.array([[0.6, 0.3, nothing]], np.float32)
    assert mean_of_members([one, other])[0] == pytest.approx([0.4, 0.3, np.nan], nan_ok=True)
    assert mean_of_members([other, one]).tobytes() == mean_of_members([one, other]).tobytes()
    assert mean_of_members([one]) is one


def test_a_study_that_the_view_lacks_is_not_taught_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = world_of(tmp_path, "study")
    table = pd.DataFrame({UID: ["1.0", "1.99", "1.1"]})
    assert list(with_pixels(table, world.shards, "train")[UID]) == ["1.0", "1.1"]
    assert "train: study 1.99 has no pixels in the view volume" in capsys.readouterr().err


@pytest.mark.parametrize("role", ["heldout", "select", "train"])
def test_a_study_of_which_nothing_was_judged_is_left_to_the_prior(role: str) -> None:
    lost = ROLES.index[role == ROLES][0]
    config = AggregateConfig(0, vertebra=["max"])
    table, choice = study_probabilities_of(judged(lost), STUDIES, FOLDS, config)
    assert lost not in set(table[UID]) and len(table) == len(STUDIES) - 1
    assert choice.select_studies == (ROLES == "select").sum() - (role == "select")
    scored = score_heldout_studies(STUDIES, FOLDS, [table], ScoreConfig("m", [0]))
    assert scored.uids == sorted(ROLES.index[ROLES == "heldout"]) and scored.by_prior == (role == "heldout")
    if role == "heldout":
        at = scored.uids.index(lost)
        assert np.array_equal(scored.probability[at], scored.constants["per_exam"][at])
        assert np.isfinite(exam_losses(scored.truth, scored.probability)).all()


def test_a_vertebra_that_nobody_judged_of_a_study_that_was_is_named() -> None:
    table = judged()
    table.loc[3, "C5"] = np.nan
    with pytest.raises(CspineError, match=f"study {table[UID][3]}: nobody judged C5"):
        study_probabilities_of(table, STUDIES, FOLDS, AggregateConfig(0, vertebra=["max"]))


def test_every_readable_study_is_asked_about_and_one_without_placed_vertebrae_is_named() -> None:
    studies = studies_table(study("1.1"), study("1.2", readable=False), study("1.3", cohort="test"))
    assert [table[UID].iloc[0] for table in tables_of(studies, None)] == ["1.3", "1.1"]
    placed = pd.DataFrame({"cohort": ["train"] * 7, UID: ["1.1"] * 7, "vertebra": VERTEBRAE})
    with pytest.raises(CspineError, match=r"1 readable studies have no placed vertebrae, the first is 1\.3"):
        tables_of(studies, placed)

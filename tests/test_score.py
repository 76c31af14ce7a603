"""Scores: the right studies by the right models, beside constants that saw no more than the models did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.metric import best_constant, weighted_log_loss
from cspine.predictions import AggregateConfig, study_probabilities_of
from cspine.pseudo.config import PseudoConfig
from cspine.pseudo.labels import pseudo_labels_of
from cspine.scores import ScoreConfig, measure, score_heldout_studies, score_test_studies
from cspine.stages.score import score
from cspine.studies import LABELS, UID
from cspine.submission import training_prior
from cspine.tables import read_table, write_table
from small_cohort import folds_of, many_studies, predictions_table

STUDIES = many_studies(80, seed=9, test=30)
FOLDS = folds_of(STUDIES)
TRUTH = many_studies(30, seed=10)[[UID, *LABELS]].assign(**{UID: [f"test-{i:04d}" for i in range(30)]})
CONFIG = ScoreConfig(method="semi_supervised", folds_run=[0, 2], bootstrap=200)
TABLES = [
    study_probabilities_of(predictions_table(STUDIES, seed=fold), STUDIES, FOLDS, AggregateConfig(fold))[0]
    for fold in CONFIG.folds_run
]


def run_stage(
    folder: Path,
    config: ScoreConfig = CONFIG,
    tables: list[pd.DataFrame] | None = None,
    truth: pd.DataFrame | None = TRUTH,
    counts: list[pd.DataFrame] | None = None,
) -> tuple[pd.DataFrame, str]:
    def written(tables: list[pd.DataFrame], name: str) -> list[Path]:
        paths = [folder / f"{name}-{i}.parquet" for i in range(len(tables))]
        for table, path in zip(tables, paths, strict=True):
            write_table(table, path)
        return paths

    studies, folds = written([STUDIES, FOLDS], "index")
    if truth is not None:
        truth.to_csv(folder / "truth.csv", index=False)
    score(
        studies,
        folds,
        written(TABLES if tables is None else tables, "fold"),
        folder / "scores.parquet",
        folder / "scores.txt",
        truth=folder / "truth.csv" if truth is not None else None,
        pseudo_counts=written(counts or [], "counts"),
        config=config,
    )
    return read_table(folder / "scores.parquet"), (folder / "scores.txt").read_text()


def value_of(scores: pd.DataFrame, cohort: str, name: str, column: str = "value") -> float:
    rows = scores[(scores["cohort"] == cohort) & ((scores["normalisation"] == name) | (scores["label"] == name))]
    assert len(rows) == 1
    return float(rows[column].iloc[0])


def test_held_out_studies_are_scored_by_their_own_folds_model() -> None:
    scored = score_heldout_studies(STUDIES, FOLDS, TABLES, CONFIG)
    parts = [table[table["cohort"] == "heldout"] for table in TABLES]
    rows = pd.concat(parts)
    truth = STUDIES.set_index(UID).loc[rows[UID], list(LABELS)]
    np.testing.assert_array_equal(scored.truth, truth)
    np.testing.assert_array_equal(scored.probability, rows[list(LABELS)])
    assert rows[UID].is_unique and len(rows) == 40


def test_the_constant_of_a_fold_has_not_seen_its_held_out_labels() -> None:
    roles = STUDIES[UID].map(roles_of(FOLDS, 0))
    one = ScoreConfig(method="m", folds_run=[0], bootstrap=10)
    before = score_heldout_studies(STUDIES, FOLDS, TABLES[:1], one)
    turned = STUDIES.copy()
    turned.loc[roles == "heldout", list(LABELS)] = 1 - turned.loc[roles == "heldout", list(LABELS)]
    after = score_heldout_studies(turned, FOLDS, TABLES[:1], one)
    training = STUDIES.loc[roles.isin(["train", "select"]), list(LABELS)].to_numpy()
    for form in ("per_exam", "pooled"):
        np.testing.assert_array_equal(before.constants[form], after.constants[form])
        np.testing.assert_allclose(before.constants[form][0], best_constant(training, form))


def test_test_studies_are_scored_by_the_mean_and_the_prior_where_unread() -> None:
    tables = [t[t[UID] != "test-0003"] for t in TABLES]
    scored = score_test_studies(STUDIES, FOLDS, tables, TRUTH, CONFIG)
    assert scored.by_prior == 1
    np.testing.assert_allclose(scored.probability[3], training_prior(STUDIES, "per_exam", 0.01))
    values = [t.set_index(UID).loc["test-0005", list(LABELS)].to_numpy(dtype=float) for t in TABLES]
    np.testing.assert_allclose(scored.probability[5], (values[0] + values[1]) / 2)


def test_the_losses_and_their_difference_are_the_metrics() -> None:
    scored = score_heldout_studies(STUDIES, FOLDS, TABLES, CONFIG)
    table = measure(scored, CONFIG.method, CONFIG.bootstrap, CONFIG.seed)
    for form in ("per_exam", "pooled"):
        model = weighted_log_loss(scored.truth, scored.probability, form)
        constant = weighted_log_loss(scored.truth, scored.constants[form], form)
        assert value_of(table, "heldout", form) == pytest.approx(model)
        assert value_of(table, "heldout", form, "constant") == pytest.approx(constant)
        assert value_of(table, "heldout", form, "difference") == pytest.approx(model - constant)
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()


def test_the_table_says_what_it_is_and_fits_the_terminal(tmp_path: Path) -> None:
    scores, text = run_stage(tmp_path)
    assert len(scores) == 2 * (2 + 8)
    assert max(len(line) for line in text.splitlines()) <= 100
    for word in (
        "PHANTOM",
        "demo: too small to rank methods",
        "per-exam (a)",
        "pooled (b)",
        "folds run: 0, 2",
    ):
        assert word in text
    assert "40 studies, 20 fractured" in text
    assert f"{value_of(scores, 'test', 'pooled'):.4f}" in text
    assert f"{value_of(scores, 'test', 'pooled', 'constant'):.4f}" in text


def test_smoke_measures_nothing_and_real_data_is_no_phantom(tmp_path: Path) -> None:
    config = ScoreConfig(method="m", folds_run=[0, 2], size="smoke", phantom=False, bootstrap=10)
    _, text = run_stage(tmp_path, config, truth=None)
    assert "smoke: checks that it runs, measures nothing" in text
    assert "phantom" not in text.lower() and "test studies" not in text


def test_a_model_worse_than_the_constant_is_told_so(tmp_path: Path) -> None:
    bad = [t.assign(**{label: 1 - t[label] for label in LABELS}) for t in TABLES]
    scores, text = run_stage(tmp_path, tables=bad, truth=None)
    assert value_of(scores, "heldout", "per_exam", "difference_low") > 0
    assert "per-exam (a): the model is WORSE than the best constant; the interval excludes 0\n" in text


def test_an_oracle_is_better_than_the_constant(tmp_path: Path) -> None:
    truth = STUDIES.set_index(UID)[list(LABELS)].clip(lower=0)
    oracle = [t.assign(**(0.05 + 0.9 * truth.loc[t[UID]]).reset_index(drop=True)) for t in TABLES]
    _, text = run_stage(tmp_path, tables=oracle, truth=None)
    assert "pooled (b): the model is better than the best constant; the interval excludes 0\n" in text


def test_rows_with_too_few_studies_or_positives_are_marked(tmp_path: Path) -> None:
    scores, text = run_stage(tmp_path, truth=TRUTH.iloc[:12].assign(C3=0))
    test = scores[scores["cohort"] == "test"]
    assert not test["measurable"].any()
    block = text[text.index("test studies") :]
    rows = [line for line in block.splitlines() if line.startswith(("AUC", "loss"))]
    assert len(rows) == 2 + 8
    assert all(line.endswith("  few") or "only one class" in line for line in rows)
    assert any(line.startswith("AUC  C3 ") and "only one class" in line for line in rows)
    assert block.count("too few to measure") == 2
    assert np.isnan(value_of(scores, "test", "C3"))


def test_rounds_that_taught_nothing_are_flagged(tmp_path: Path) -> None:
    nothing = pseudo_labels_of(predictions_table(STUDIES), STUDIES.iloc[:0], PseudoConfig(fold=2, round=3))[1]
    _, text = run_stage(tmp_path, counts=[nothing])
    assert "! fold 2, round 3:" in text and "is not a result" in text.replace("\n ", "")
    assert max(len(line) for line in text.splitlines()) <= 100


def test_tables_of_other_folds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CspineError, match="fold 0 are not those"):
        run_stage(tmp_path, tables=TABLES[::-1])
    with pytest.raises(CspineError, match="expected one for each"):
        run_stage(tmp_path, tables=TABLES[:1])
    with pytest.raises(CspineError, match="patient_overall missing"):
        run_stage(tmp_path, truth=TRUTH.drop(columns="patient_overall"))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    run_stage(tmp_path / "a")
    run_stage(tmp_path / "b")
    for name in ("scores.parquet", "scores.txt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()

"""Every method in one table: on the same studies, in pairs, and with what it cannot say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from comparison_inputs import (
    FOLDS,
    FOLDS_RUN,
    KNOWN,
    METHODS,
    PREDICTIONS,
    SKILL,
    STUDIES,
    TABLES,
    TRUTH,
    Compared,
    config_of,
    run_stage,
)
from cspine.bootstrap import Measured, mean, resample_counts
from cspine.comparison.aggregation import SOURCE, Ways, aggregation_rows, evidence_ways, predicted_columns
from cspine.comparison.figures import smallest
from cspine.errors import CspineError
from cspine.metric import exam_losses, weighted_log_loss
from cspine.predictions import aggregate, highest_slices
from cspine.scores import measure
from cspine.studies import LABELS, PRESENCE, UID, VERTEBRAE
from cspine.submission import training_prior

DOCUMENT = (Path(__file__).parent.parent / "docs/comparison.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    return run_stage(tmp_path_factory.mktemp("compared"))


def test_losses_aucs_and_intervals_are_those_of_the_methods_score(compared: Compared) -> None:
    config = config_of()
    for name in SKILL:
        for cohort, scored in KNOWN.scored(name, TABLES[name], config).items():
            row = compared.row(name, cohort)
            scores = measure(scored, name, config.bootstrap, config.seed)
            for one in scores.to_dict("records"):
                label = "patient" if one["label"] == LABELS[0] else one["label"]
                column = f"loss_{one['normalisation']}" if one["measure"] == "loss" else f"auc_{label}"
                for end, part in (("", "value"), ("_low", "low"), ("_high", "high")):
                    np.testing.assert_allclose(row[f"{column}{end}"], one[part], err_msg=f"{name} {cohort} {column}")
                if one["measure"] == "loss":
                    against = f"minus_constant_{one['normalisation']}"
                    assert row[f"constant_{one['normalisation']}"] == pytest.approx(one["constant"])
                    assert row[against] == pytest.approx(one["difference"])
                    assert row[f"{against}_low"] == pytest.approx(one["difference_low"])


def test_a_difference_to_the_reference_draws_the_same_studies_for_both(compared: Compared) -> None:
    config = config_of()
    of_pair = [KNOWN.scored(name, TABLES[name], config)["heldout"] for name in ("knowing", "semi_supervised")]
    counts = resample_counts(len(of_pair[0].uids), config.bootstrap, config.seed)
    own, other = (exam_losses(scored.truth, scored.probability) for scored in of_pair)
    expected = mean(own - other, counts).estimate()
    row = compared.row("knowing")
    assert row["minus_reference_per_exam"] == pytest.approx(expected.value)
    assert row["minus_reference_per_exam_low"] == pytest.approx(expected.low)
    assert row["minus_reference_per_exam_high"] == pytest.approx(expected.high)
    assert np.isnan(compared.row("semi_supervised")["minus_reference_per_exam"])


def test_skill_shows_in_every_figure(compared: Compared) -> None:
    knowing, guessing = compared.row("knowing"), compared.row("guessing")
    assert knowing["loss_per_exam"] < knowing["constant_per_exam"] < guessing["loss_per_exam"]
    for name in ("auc_patient", "auc_vertebra_mean", "patient_sensitivity", "vertebra_specificity"):
        assert knowing[name] > guessing[name], name
    assert knowing["auc_patient_low"] > 0.9 and guessing["auc_patient_low"] < 0.5


def test_the_smallest_difference_is_2_8_standard_errors_and_shrinks_with_the_studies() -> None:
    draws = np.random.default_rng(0).normal(0.3, 0.01, 20_000)
    assert smallest(Measured(0.3, draws)) == pytest.approx(0.02802, rel=0.03)
    losses = np.random.default_rng(1).normal(0, 1, 400)
    few, many = (mean(losses[:n], resample_counts(n, 1000, 0)) for n in (100, 400))
    assert smallest(many) == pytest.approx(smallest(few) / 2, rel=0.15)


def test_a_difference_of_that_size_is_found_in_80_percent_of_runs() -> None:
    draw = np.random.default_rng(2)
    shift = 2.802 / np.sqrt(100)
    found = [mean(draw.normal(shift, 1, 100), resample_counts(100, 300, 0)).estimate().low > 0 for _ in range(300)]
    assert 0.72 < np.mean(found) < 0.88


def test_points_are_chosen_on_select_and_applied_to_the_fold_that_holds_a_study_out() -> None:
    entry = KNOWN.entry(METHODS[2], TABLES["knowing"], config_of())
    thresholds = KNOWN.thresholds(entry, "heldout", "patient")
    of_fold = {fold: entry.points[fold]["patient"].threshold for fold in FOLDS_RUN}
    for uid, threshold in zip(entry.cohorts["heldout"].uids, thresholds, strict=True):
        own = FOLDS[(FOLDS[UID] == uid) & (FOLDS["role"] == "heldout") & FOLDS["fold"].isin(FOLDS_RUN)]
        assert threshold == of_fold[int(own["fold"].iloc[0])]
    said = [table.copy() for table in TABLES["knowing"]]
    for table in said:
        heldout = table["cohort"].isin(["heldout", "test", "train"])
        table.loc[heldout, list(LABELS)] = 0.5
    assert KNOWN.entry(METHODS[2], said, config_of()).points == entry.points


def test_a_fold_with_too_few_select_studies_says_so_instead_of_a_sensitivity(tmp_path: Path) -> None:
    few = {"semi_supervised": [table.copy() for table in TABLES["semi_supervised"]]}
    table = few["semi_supervised"][0]
    labels = STUDIES.set_index([UID, "cohort"])[LABELS[0]]
    fractured = table[UID].isin(labels[labels == 1].index.get_level_values(UID))
    few["semi_supervised"][0] = table[~((table["cohort"] == "select") & fractured)]
    found = run_stage(tmp_path, config_of(METHODS[:1]), few)
    row = found.row("semi_supervised")
    assert "patient, fold 0: 0 fractured among the select studies, 5 needed" in row["points"]
    for name in ("patient_sensitivity", "vertebra_specificity_high", "patient_threshold"):
        assert np.isnan(row[name]), name
    assert "has no chosen point" in found.text("html") and not np.isnan(row["auc_patient"])


def test_a_study_without_a_result_is_given_the_prior_as_in_the_score(tmp_path: Path) -> None:
    gone = {name: [t[t[UID] != "test-0003"] for t in tables] for name, tables in TABLES.items()}
    row, config = run_stage(tmp_path, tables=gone).row("knowing", "test"), config_of()
    scored = KNOWN.scored("knowing", TABLES["knowing"], config)["test"]
    said = scored.probability.copy()
    said[scored.uids.index("test-0003")] = training_prior(STUDIES, config.normalisation, config.prior_clip)
    assert row["by_prior"] == 1 and row["studies"] == len(TRUTH)
    assert row["loss_per_exam"] == pytest.approx(weighted_log_loss(scored.truth, said))


def test_one_method_is_compared_with_the_constant_alone(tmp_path: Path) -> None:
    found = run_stage(tmp_path, config_of(METHODS[:1]), truth=None)
    table = found.csv()
    assert list(table["method"]) == ["semi_supervised"] and list(table["cohort"]) == ["heldout"]
    assert table["minus_reference_per_exam"].isna().all() and table["minus_constant_per_exam"].notna().all()
    assert "to the best constant" in found.text() and "to semi_supervised" not in found.text()


def test_rows_come_in_the_order_of_the_config(tmp_path: Path, compared: Compared) -> None:
    order = [METHODS[2], METHODS[0], METHODS[1]]
    other = run_stage(tmp_path, config_of(order))
    assert list(other.csv()["method"].iloc[:3]) == ["knowing", "semi_supervised", "guessing"]
    for name in SKILL:
        assert other.row(name)["loss_pooled_low"] == compared.row(name)["loss_pooled_low"]


def test_parameters_are_of_all_members_and_of_every_model_of_the_localizers_asked(tmp_path: Path) -> None:
    methods = [replace(METHODS[0], members=3), replace(METHODS[2], localizers=["segmentation"])]
    found = run_stage(tmp_path, config_of(methods, localizers=["presence", "segmentation"], inner=2))
    first, second = found.row("semi_supervised"), found.row("knowing")
    assert (first["parameters"], first["localizer_parameters"]) == (3 * 20, 0)
    assert (second["parameters"], second["localizer_parameters"]) == (20, 2 * 6)


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path, compared: Compared) -> None:
    assert run_stage(tmp_path).everything() == compared.everything()


def test_copied_inputs_have_no_costs_and_cause_no_error(compared: Compared) -> None:
    table = compared.csv()
    for name in ("training_seconds", "inference_seconds_per_study", "localizer_peak_mb", "device"):
        assert table[name].isna().all(), name


def test_files_that_are_not_one_for_each_method_and_fold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CspineError, match=r"4 study_probabilities for .* in 2 folds; expected 6"):
        run_stage(tmp_path, tables={**TABLES, "guessing": []})


def test_a_reference_that_is_not_compared_is_refused() -> None:
    with pytest.raises(CspineError, match="reference: found 'other', expected one of semi_supervised"):
        replace(config_of(), reference="other")


def test_the_ends_of_the_noisy_or_are_the_ways_called_max_and_noisy_or() -> None:
    _, top = highest_slices(PREDICTIONS["knowing"][0], 3)
    ways = Ways.of(PREDICTIONS["knowing"][0], FOLDS, 0, METHODS[2])
    for most, name in ((1, "max"), (7, "noisy_or")):
        values = ways.probabilities("mean_of_3", most, 1e-6)[list(LABELS)].to_numpy()
        np.testing.assert_allclose(values, np.clip(aggregate(top, "mean_of_3", name), 1e-6, 1 - 1e-6))


def test_every_way_is_scored_on_the_studies_of_the_table_and_beside_the_source(compared: Compared) -> None:
    ways = compared.csv("comparison_aggregation")
    assert len(ways) == 2 * 3 * 2 * 7
    assert dict(zip(ways["patient"], ways["source_loss"], strict=True)) == {
        f"noisy_or_of_{n}": loss for n, loss in SOURCE.items()
    }
    plain = ways[(ways["vertebra"] == "max") & (ways["same_as"] == "max")]
    for row in plain.to_dict("records"):  # the methods of this test were aggregated so, without calibration
        assert row["loss_per_exam"] == pytest.approx(compared.row(row["method"], row["cohort"])["loss_per_exam"])


def test_localized_evidence_is_the_fracture_where_the_model_sees_the_vertebra() -> None:
    table = PREDICTIONS["knowing"][0].copy()
    table[list(PRESENCE)] = 0.5
    method = replace(METHODS[2], evidence=["localized"])
    assert evidence_ways(method) == ["fracture", "localized"] and "present_C7" in predicted_columns(method)
    plain, seen = (Ways.of(table, FOLDS, 0, method, way).top for way in evidence_ways(method))
    np.testing.assert_allclose(seen, plain / 2)
    rows = aggregation_rows(method, [table, table], KNOWN, config_of())
    assert [row["evidence"] for row in rows] == ["fracture"] * 28 + ["localized"] * 28


def test_vertebrae_judged_whole_have_one_way_and_whole_studies_none(tmp_path: Path) -> None:
    methods = [replace(METHODS[0], unit="vertebra"), replace(METHODS[1], unit="study")]
    ways = run_stage(tmp_path, config_of(methods)).csv("comparison_aggregation")
    assert set(ways["method"]) == {"semi_supervised"} and set(ways["vertebra"]) == {"judged whole"}


@pytest.mark.parametrize("size", ["smoke", "demo"])
def test_small_sizes_rank_nothing(tmp_path: Path, size: str) -> None:
    found = run_stage(tmp_path, config_of(size=size))
    for text in (found.text(), found.text("html")):
        assert "not a ranking" in text and "PHANTOM" in text.upper()
    assert 'class="clear' not in found.text("html")


def test_a_clear_difference_is_marked_at_study_size(tmp_path: Path) -> None:
    page = run_stage(tmp_path, config_of(size="study")).text("html")
    assert 'class="clear good"' in page and 'class="clear bad"' in page


def test_the_page_needs_nothing_from_elsewhere_and_holds_the_plot(compared: Compared) -> None:
    page = compared.text("html")
    assert not re.findall(r'(?:src|href)="(?!#|data:)', page) and "<script" not in page
    assert "data:image/png;base64," in page and "0.6048" in page and "another data set" in page


def test_the_text_fits_a_terminal(compared: Compared) -> None:
    assert max(map(len, compared.text().splitlines())) <= 100


def test_every_column_is_documented_and_no_other(compared: Compared) -> None:
    documented = set(re.findall(r"`([a-zA-Z0-9_]+)`", DOCUMENT.split("## Columns")[1].split("\n## ")[0]))
    documented |= {f"auc_{vertebra}" for vertebra in VERTEBRAE}
    ends = re.compile(r"_(low|high|smallest)$")
    for name in ("comparison", "comparison_aggregation"):
        assert {ends.sub("", column) for column in compared.csv(name).columns} <= documented, name


def test_a_method_on_other_studies_than_the_others_is_refused(tmp_path: Path) -> None:
    first, second = TABLES["guessing"]
    own = first.loc[first["cohort"] == "heldout", UID].iloc[0]
    strange = first.assign(**{UID: first[UID].replace(own, "of another fold")})
    with pytest.raises(CspineError, match=r"fold 0 are not those of folds\.parquet"):
        run_stage(tmp_path, tables={**TABLES, "guessing": [strange, second]})

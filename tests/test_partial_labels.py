"""Studies of which some labels are unknown: what follows is filled in, the rest counts nowhere and is no 0."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from audit_tables import audited, codes_of, presence_of, stack, whole_neck
from cspine.audit.page import labels_in_words, labels_table
from cspine.bootstrap import auc, measured_auc, multiplicities, resampled_aucs, resamples
from cspine.calibration import cross_fitted, fit_platt
from cspine.errors import CspineError
from cspine.evaluation import evaluate
from cspine.folds import readable_training_studies
from cspine.labels import LabelConfig, label_slices_from_boxes
from cspine.losses import TARGETS, FractureLoss
from cspine.methods.slice_cnn import any_fractured
from cspine.metric import NORMALISATIONS, best_constant, exam_losses, exam_weights, weighted_log_loss
from cspine.mixup import blend_of
from cspine.partial_labels import completed, contradictory, truth_of
from cspine.precision import Precision
from cspine.predictions import AggregateConfig, study_probabilities_of
from cspine.pseudo.config import PseudoConfig
from cspine.pseudo.labels import pseudo_labels_of
from cspine.pseudo.marking import mark_study
from cspine.scores import ScoreConfig, measure, score_heldout_studies
from cspine.stages.build_training_set import TrainingSetConfig, check_training_set, join_training_set
from cspine.stages.score import score_text
from cspine.studies import LABELS, UID, UNKNOWN, VERTEBRAE
from cspine.submission import training_prior
from dicom_makers import write_raw_folder
from small_cohort import (
    boxes_table,
    folds_of,
    many_studies,
    predictions_table,
    random_exams,
    slices_table,
    studies_table,
    study,
)
from test_inventory import found, run, table
from training_makers import config_of

NAN = float("nan")


def labels(overall: int, vertebrae: str) -> dict[str, int]:
    """``labels(1, "0?1?000")``: a study's labels, ? = unknown."""
    return {"patient_overall": overall, **{v: UNKNOWN if c == "?" else int(c) for v, c in zip(VERTEBRAE, vertebrae)}}  # noqa: B905


def blanked(truth: np.ndarray, seed: int, share: float = 0.3) -> np.ndarray:
    """Vertebrae of ``truth`` made unknown here and there; the patients stay known."""
    hidden = np.random.default_rng(seed).random(truth.shape) < share
    hidden[:, 0] = False
    return np.where(hidden, NAN, truth)


# What follows from what is known


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((0, "?0?????"), (0, "0000000")),
        ((-1, "??1????"), (1, "??1????")),
        ((-1, "0000000"), (0, "0000000")),
        ((-1, "0010000"), (1, "0010000")),
        ((1, "000?000"), (1, "0001000")),
        ((1, "00??000"), (1, "00??000")),
        ((1, "1?00000"), (1, "1?00000")),
        ((-1, "00?0000"), (-1, "00?0000")),
        ((0, "1??0000"), (0, "1??0000")),  # contradictory: nothing follows
        ((1, "0000000"), (1, "0000000")),
    ],
)
def test_what_the_known_labels_imply_is_filled_in_and_nothing_else(
    given: tuple[int, str], wanted: tuple[int, str]
) -> None:
    assert completed(labels(*given)) == labels(*wanted)


def test_filling_in_says_what_every_complete_study_with_these_labels_has_in_common() -> None:
    whole = [(max(v), *v) for v in product((0, 1), repeat=7)]
    for overall, *vertebrae in product((0, 1, UNKNOWN), repeat=8):
        if sum(v == UNKNOWN for v in vertebrae) > 3:
            continue
        given = dict(zip(LABELS, (overall, *vertebrae), strict=True))
        possible = [w for w in whole if all(g in (UNKNOWN, v) for g, v in zip(given.values(), w, strict=True))]
        assert contradictory(given) == (not possible)
        if possible:
            common = [v[0] if len(set(v)) == 1 else UNKNOWN for v in zip(*possible, strict=True)]
            assert list(completed(given).values()) == common, given


# The tables


def test_the_inventory_keeps_blanks_fills_in_what_follows_and_reports_both_kinds(tmp_path: Path) -> None:
    root = write_raw_folder(tmp_path / "raw", {"s1": "C2", "s2": "", "s3": "C7", "s4": ""})
    head = (root / "train.csv").read_text().splitlines()[0]
    rows = ["s1,1,0,1,,,0,0,0", "s2,0,,,,,,,", "s3,,0,0,0,0,0,0,1", "s4,,0,0,0,,0,0,0"]
    (root / "train.csv").write_text("\n".join([head, *rows]) + "\n")
    out = run(root, tmp_path / "out")
    kept = table(out / "train.csv").set_index(UID)
    assert list(kept.loc["s1"]) == ["1", "0", "1", "", "", "0", "0", "0"]
    assert list(kept.loc["s2"]) == ["0"] * 8
    assert kept.loc["s3", "patient_overall"] == "1"
    assert list(kept.loc["s4"]) == ["", "0", "0", "0", "", "0", "0", "0"]
    doubts = {pair for pair in found(out) if "partial" in pair[0] or "unknown" in pair[0] or "max" in pair[0]}
    assert doubts == {("partial-labels", "s1"), ("unknown-overall", "s4")}


def test_a_contradiction_goes_by_the_known_labels(tmp_path: Path) -> None:
    root = write_raw_folder(tmp_path / "raw", {"s1": "", "s2": ""})
    head = (root / "train.csv").read_text().splitlines()[0]
    (root / "train.csv").write_text("\n".join([head, "s1,0,1,,,,,,", "s2,1,0,0,,,0,0,0"]) + "\n")
    assert {uid for code, uid in found(run(root, tmp_path / "out")) if code == "overall-not-max"} == {"s1"}


def test_a_study_of_unknown_overall_has_no_role() -> None:
    studies = studies_table(study("a", "C1"), study("b", patient_overall=UNKNOWN, C3=UNKNOWN), study("c"))
    assert list(readable_training_studies(studies)[UID]) == ["a", "c"]


STUDIES = studies_table(
    study("known", "C2", boxed=True),
    study("partly", "C2", boxed=True, C3=UNKNOWN),
    study("some", "C2", boxed=True, C2=UNKNOWN, C5=UNKNOWN),
    study("whole"),
)
BOXES = boxes_table(("known", 11), ("partly", 11), ("some", 12))


def test_a_boxed_slice_is_unknown_for_unknown_vertebrae_and_the_other_slices_are_negative() -> None:
    found, findings = label_slices_from_boxes(STUDIES, slices_table(STUDIES), BOXES, LabelConfig())
    box = found[found["source"] == "box"].set_index(UID)
    assert box.loc[["partly"], ["C2", "C3"]].to_numpy().tolist() == [[1, UNKNOWN]]
    assert box.loc[["some"], list(VERTEBRAE)].to_numpy().tolist() == [[0, UNKNOWN, 0, 0, UNKNOWN, 0, 0]]
    assert (found.loc[found["source"] != "box", list(VERTEBRAE)] == 0).all(axis=None)
    assert not findings and len(found) == 16


def test_the_training_set_holds_nan_for_unknown_cells_and_every_known_cell_as_before() -> None:
    config = TrainingSetConfig(fold=0, round=0)
    roles = pd.DataFrame({"fold": 0, UID: STUDIES[UID], "role": "train"})
    slices = slices_table(STUDIES)
    taught, _ = label_slices_from_boxes(STUDIES, slices, BOXES, LabelConfig())
    joined = join_training_set(taught, roles, None, config)
    check_training_set(joined, roles, slices, config)
    targets = joined[list(VERTEBRAE)]
    assert set(targets.dtypes) == {np.dtype(np.float32)}
    assert targets.isna().sum().sum() == 1 + 2 == (taught[list(VERTEBRAE)] == UNKNOWN).sum().sum()
    assert targets.gt(0).sum().sum() == 2 and len(joined) == len(taught[taught["first_round"] == 0])


def test_a_teacher_without_a_positive_slice_is_an_error_that_says_what_to_do() -> None:
    studies = studies_table(study("a"), study("b", "C3"), study("c"))
    slices, roles = slices_table(studies), pd.DataFrame({"fold": 0, UID: ["a", "b", "c"], "role": "train"})
    taught, _ = label_slices_from_boxes(studies, slices, boxes_table(), LabelConfig(unfractured="all"))
    config = TrainingSetConfig(fold=0, round=0)
    with pytest.raises(CspineError, match=r"negatives only; .*--boxes.*docs/own-data\.md"):
        check_training_set(join_training_set(taught, roles, None, config), roles, slices, config)


# The network


def test_any_fracture_is_known_where_a_known_vertebra_decides_it() -> None:
    rows = np.array([[0] * 7, [0, 1] + [NAN] * 5, [0] * 6 + [NAN], [NAN] * 7, [0.25] * 7], dtype=np.float32)
    np.testing.assert_array_equal(any_fractured(rows), np.array([0, 1, NAN, NAN, 0.25], dtype=np.float32))


def batch(unknown: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    target = (torch.rand(6, len(TARGETS), generator=draw) < 0.3).float()
    target[:, 15:] = 1  # trusted
    if unknown:
        target[1, 2] = target[1, 14] = target[4, 0] = target[4, 14] = NAN
    return torch.randn(6, 15, generator=draw), target, torch.rand(6, generator=draw)


@pytest.mark.parametrize("kind", ["competition", "bce", "focal"])
def test_an_unknown_cell_has_no_weight_and_no_gradient_in_any_term(kind: str) -> None:
    loss = FractureLoss(
        config_of(loss=kind, patient_term=kind == "competition", presence_weight=0.3, any_fracture_weight=0.2)
    )
    logits, target, weight = batch(unknown=True)
    logits.requires_grad_()
    value = loss(logits, target, weight)
    value.backward()
    moved = logits.detach().clone()
    moved[1, 2] = moved[4, 0] = 9.0
    assert value.isfinite() and logits.grad is not None and logits.grad.isfinite().all()
    assert logits.grad[1, 2] == logits.grad[4, 0] == logits.grad[1, 14] == 0
    assert torch.equal(loss(moved, target, weight), value.detach())
    assert (loss.norms(target, weight) < loss.norms(batch(unknown=False)[1], weight))[[0, -1]].all()


def test_a_blend_with_an_unknown_cell_is_unknown_there_only() -> None:
    _, target, _ = batch(unknown=True)
    blend = blend_of(6, 0.4, torch.device("cpu"), 1)
    assert blend is not None
    unknown = target.isnan()
    assert torch.equal(blend.of(target).isnan(), unknown | unknown[blend.partner])


def test_slice_figures_are_of_the_known_cells() -> None:
    target = torch.zeros(3, len(TARGETS))
    target[0, 0], target[1, :7] = 1.0, NAN
    network = torch.nn.Linear(2, 7)
    torch.nn.init.zeros_(network.weight)
    torch.nn.init.constant_(network.bias, 5.0)  # calls everything fractured
    loss = FractureLoss(config_of())
    cpu, pixels = torch.device("cpu"), torch.zeros(3, 2)
    row = evaluate(network, loss, [(pixels, target, torch.ones(3))], cpu, Precision("fp32", "cpu"))
    assert row["select_accuracy"] == pytest.approx(1 / 14)
    assert row["select_accuracy_all_negative"] == pytest.approx(13 / 14)


# Pseudo-labels


def test_an_unknown_vertebra_is_free_of_the_studys_label_and_gets_no_run() -> None:
    probability = np.zeros((3, 7))
    probability[0, :4], probability[1, :4] = [0.9, 0.9, 0.2, 0.2], [0.1, 0.1, 0.1, 0.3]
    label = np.array([0, UNKNOWN, UNKNOWN, 1, 0, 0, 0])
    marked = mark_study(probability, label, PseudoConfig(fold=0))
    over, run = marked.over, marked.run
    assert over[:, :4].any(axis=0).tolist() == [False, True, False, False]
    assert run.any(axis=0).tolist() == [False, False, False, True, False, False, False]


def test_the_counts_of_pseudo_labels_add_up_with_unknown_vertebrae() -> None:
    studies = studies_table(study("a", "C2", slices=6, C3=UNKNOWN, C4=UNKNOWN))
    rows = slices_table(studies)
    rows[list(VERTEBRAE)] = np.float32(0.1)
    rows["C3"] = np.float32(0.8)
    taught, counts = pseudo_labels_of(rows, studies, PseudoConfig(fold=0))
    by = counts.set_index("vertebra")
    assert by.loc["C3", "slices_positive"] == 6 and by.loc["C3", "studies_fractured"] == 0
    assert by.loc["C4", "slices_positive"] == 0
    assert (by["studies_fractured"] == by["studies_with_positive"] + by["studies_without_positive"]).all()
    assert (by["slices_positive"] == by["slices_by_threshold"] + by["slices_by_run"]).all()
    assert taught[list(VERTEBRAE)].isin([0, 1]).all(axis=None)


# Losses, calibration, scores


@pytest.mark.parametrize("form", NORMALISATIONS)
def test_the_metric_is_the_plain_sum_over_the_known_rows(form: str) -> None:
    truth, probability = random_exams(30, seed=2)
    truth = blanked(truth, 3)
    sums = weights = 0.0
    exams = []
    for labels_of, values in zip(truth, probability, strict=True):
        known = [(t, p, i) for i, (t, p) in enumerate(zip(labels_of, values, strict=True)) if not np.isnan(t)]
        w = [(7 if i == 0 else 1) * (1 + t) for t, _, i in known]
        losses = [-np.log(p if t else 1 - p) for t, p, _ in known]
        exams.append(np.dot(w, losses) / sum(w))
        sums, weights = sums + np.dot(w, losses), weights + sum(w)
    wanted = np.mean(exams) if form == "per_exam" else sums / weights
    assert weighted_log_loss(truth, probability, form) == pytest.approx(wanted)
    np.testing.assert_allclose(exam_losses(truth, probability), exams)


def test_a_study_of_which_nothing_is_known_cannot_be_scored() -> None:
    with pytest.raises(CspineError, match="no label of row 1 is known"):
        exam_weights(np.array([[0.0] * 8, [NAN] * 8]), "pooled")


@pytest.mark.parametrize("form", NORMALISATIONS)
def test_no_other_constant_does_better_on_the_known_labels(form: str) -> None:
    truth = blanked(random_exams(40, seed=4)[0], 5)
    best = best_constant(truth, form)
    least = weighted_log_loss(truth, np.tile(best, (40, 1)), form)
    for column, step in product(range(8), (-0.01, 0.01)):
        other = best.copy()
        other[column] += step
        assert weighted_log_loss(truth, np.tile(other, (40, 1)), form) > least


def test_a_vertebra_nobody_knows_gets_the_constant_of_the_others() -> None:
    truth = random_exams(40, seed=6)[0]
    truth[:, 3] = NAN
    best = best_constant(truth, "pooled")
    vertebrae = np.delete(truth[:, 1:], 2, axis=1)
    prevalence = vertebrae.mean()
    assert best[3] == pytest.approx(2 * prevalence / (1 + prevalence))
    truth[:, 1:] = NAN
    assert best_constant(truth)[1:].tolist() == [0.5] * 7


def test_the_training_prior_goes_by_the_studies_whose_label_is_known() -> None:
    rows = [study("a", "C1"), study("b"), study("c", C1=UNKNOWN), study("d", patient_overall=UNKNOWN, C1=1)]
    prior = training_prior(studies_table(*rows), "pooled", 0.01)
    assert prior[1] == pytest.approx(2 / 3) and prior[0] == pytest.approx(14 / 28)


def test_a_calibrator_is_moved_by_known_labels_only() -> None:
    truth, probability = random_exams(30, seed=7)
    truth = blanked(truth, 8)
    other = np.where(np.isnan(truth), 0.999, probability)  # what is said where nobody knows
    for form in NORMALISATIONS:
        assert fit_platt(truth, probability, form, 1.0) == fit_platt(truth, other, form, 1.0)
        assert np.isfinite(cross_fitted(truth, probability, form, 1.0)).all()


def test_an_auc_is_of_the_studies_whose_label_is_known() -> None:
    truth, probability = (values[:, 2] for values in random_exams(40, seed=9))
    hidden = np.where(np.arange(40) % 4 == 3, NAN, truth)
    known = ~np.isnan(hidden)
    counts = multiplicities(resamples(40, 50, 1))
    assert auc(hidden, probability) == auc(truth[known], probability[known])
    wanted = resampled_aucs(truth[known], probability[known], counts[:, known])
    np.testing.assert_array_equal(resampled_aucs(hidden, probability, counts), wanted)
    assert measured_auc(hidden, probability, counts).value == auc(hidden, probability)


def partial_studies() -> pd.DataFrame:
    studies = many_studies(60, seed=3, test=2)
    hidden = np.random.default_rng(4).random((len(studies), 7)) < 0.3
    vertebrae = studies[list(VERTEBRAE)].to_numpy().copy()
    free = hidden & (studies["patient_overall"] == 1).to_numpy()[:, None]
    vertebrae[free] = UNKNOWN
    studies[list(VERTEBRAE)] = vertebrae
    return studies


def test_aggregation_and_scores_count_known_labels_and_see_no_unknown_one() -> None:
    studies = partial_studies()
    folds, predictions = folds_of(studies), predictions_table(studies)
    probabilities, choice = study_probabilities_of(predictions, studies, folds, AggregateConfig(fold=0))
    assert np.isfinite(probabilities[list(LABELS)]).all(axis=None) and not choice.fallback
    config = ScoreConfig(method="m", folds_run=[0], bootstrap=20)
    scored = score_heldout_studies(studies, folds, [probabilities], config)
    measured = measure(scored, config.method, config.bootstrap, config.seed)
    heldout = studies[studies[UID].isin(folds.loc[(folds["fold"] == 0) & (folds["role"] == "heldout"), UID])]
    aucs = measured[measured["measure"] == "auc"].set_index("label")
    for label in LABELS:
        assert aucs.loc[label, "studies"] == (heldout[label] != UNKNOWN).sum()
        assert aucs.loc[label, "positives"] == (heldout[label] == 1).sum()
    assert measured.loc[measured["measure"] == "loss", "studies"].eq(len(heldout)).all()
    assert np.isfinite(measured.loc[measured["measure"] == "loss", "value"]).all()
    text = score_text([scored], [measured], [], config)
    assert f"{aucs['positives']['C2']}/{aucs['studies']['C2']}" in text and "the label is known of" in text


def test_labels_as_numbers_have_nan_for_unknown_and_leave_the_table_alone() -> None:
    studies = partial_studies()
    before = studies.copy()
    truth = truth_of(studies)
    np.testing.assert_array_equal(np.isnan(truth), studies[list(LABELS)].to_numpy() == UNKNOWN)
    pd.testing.assert_frame_equal(studies, before)


# The audit


def test_a_box_off_the_known_fractures_may_mean_an_unknown_vertebra(tmp_path: Path) -> None:
    levels, slices = whole_neck(), [stack("a"), stack("b")]
    boxes = [(uid, levels["C6"][4] + 1) for uid in ("a", "b")]
    rows = [study("a", "C2", boxed=True, slices=151), study("b", "C2", boxed=True, slices=151, C6=UNKNOWN)]
    audit = audited(tmp_path, rows, slices, boxes=boxes, presence=[presence_of("a", levels), presence_of("b", levels)])
    assert "boxes-off-fracture" in codes_of(audit, "a")
    assert not {"boxes-off-fracture", "box-off-fracture"} & codes_of(audit, "b")
    assert audit.studies.set_index(UID).loc[["a", "b"], "unknown"].tolist() == ["", "C6"]


def test_twins_contradict_each_other_by_known_labels_only(tmp_path: Path) -> None:
    twin = [stack("a").assign(**{UID: uid}) for uid in ("a", "b")]
    rows = [study("a", "C2", slices=151), study("b", "C2", slices=151, C3=UNKNOWN)]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert "same-pixels-other-labels" not in codes_of(audited(tmp_path / "one", rows, twin), "a")
    rows[1] |= {"C2": UNKNOWN, "C3": 1}
    assert "same-pixels-other-labels" in codes_of(audited(tmp_path / "two", rows, twin), "b")  # C3: 0 and 1


def test_the_page_says_what_is_unknown_and_takes_shares_of_what_is_known(tmp_path: Path) -> None:
    rows = [study("a", "C2", C3=UNKNOWN), study("b"), study("c", patient_overall=UNKNOWN, C1=UNKNOWN)]
    audit = audited(tmp_path, rows, [stack(uid, slices=4) for uid in "abc"])
    words = {row[UID]: labels_in_words(row) for row in audit.studies.to_dict("records")}
    assert words == {
        "a": "fractured: C2; unknown: C3",
        "b": "unfractured",
        "c": "not labelled; unknown: patient_overall C1",
    }
    shares = {row[0]: row[1:4] for row in labels_table(audit.studies).rows}
    assert shares["C2"] == [1, 2, "50.0%"] and shares["C3"] == [0, 1, "0.0%"]
    assert dict(zip(audit.studies[UID], audit.studies["use"], strict=True))["c"] == "unlabelled"

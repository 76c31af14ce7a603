"""The steps of pseudo-labelling: one run, thresholds chosen on select, targets, confidence, selection, boxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cspine.calibration import Line, logit
from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.labels import COLUMNS as SLICE_LABELS
from cspine.labels import LabelConfig, label_slices_from_boxes
from cspine.pseudo.boxes import united_with_boxes
from cspine.pseudo.choices import Cells, Choices, best_thresholds, choose
from cspine.pseudo.config import PseudoConfig
from cspine.pseudo.evidence import evidence_of
from cspine.pseudo.labels import choices_on, pseudo_labels_of
from cspine.pseudo.marking import mark_study
from cspine.pseudo.runs import in_one_run, log_lengths, smoothed
from cspine.pseudo.selection import kept
from cspine.stages.pseudo_label import pseudo_label
from cspine.studies import CONFIDENCE, PRESENCE, UID, UNKNOWN, VERTEBRAE
from cspine.tables import read_table, write_table
from small_cohort import boxes_table, folds_of, many_studies, predictions_table, slices_table, studies_table, study

CONFIG = PseudoConfig(fold=0)
LENGTHS = log_lengths([2, 3, 3, 4], 8)


def by_hand(score: np.ndarray, log_length: np.ndarray) -> np.ndarray:
    """The share of the weight of all runs in runs that hold each slice, run by run."""
    total, inside = 0.0, np.zeros(len(score))
    for first in range(len(score)):
        for last in range(first + 1, min(len(score), first + len(log_length)) + 1):
            length = last - first
            places = len(score) - length + 1
            weight = np.exp(score[first:last].sum() + log_length[length - 1]) / places
            total += weight
            inside[first:last] += weight
    return inside / total


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.integers(1, 14), elements=st.floats(-6, 6)))
def test_in_one_run_is_the_share_of_all_runs_that_hold_a_slice(score: np.ndarray) -> None:
    found = in_one_run(score, LENGTHS)
    assert found == pytest.approx(by_hand(score, LENGTHS), abs=1e-9)
    assert ((found >= 0) & (found <= 1)).all()


def test_one_run_is_the_likelier_of_two_and_holds_the_dip_between_its_slices() -> None:
    probability = np.array([0.1, 0.1, 0.9, 0.3, 0.9, 0.1, 0.1, 0.1, 0.7, 0.1, 0.1])
    found = in_one_run(logit(probability), LENGTHS)
    assert found[3] > 0.5  # between two certain neighbours
    assert found[8] < 0.1  # an island, though likelier than the dip where each slice stands alone


def test_one_run_adds_up_to_at_least_one_slice() -> None:
    assert in_one_run(np.full(30, -9.0), LENGTHS).sum() >= 1 - 1e-9


def test_the_length_prior_is_a_distribution_with_its_most_where_lengths_were_seen() -> None:
    prior = np.exp(log_lengths([6, 7, 7, 8], 20))
    assert prior.sum() == pytest.approx(1)
    assert 4 <= prior.argmax() + 1 <= 8
    one = np.exp(log_lengths([5], 15))  # a single length rules out no other
    assert one[1] > 0.01 and one[11] > 0.001


def test_smoothing_keeps_the_sum_inside_and_the_value_of_a_plateau() -> None:
    pulse = np.zeros((21, 7))
    pulse[10] = 1
    assert smoothed(pulse, 1.5).sum(axis=0) == pytest.approx(np.ones(7))
    assert smoothed(np.full((5, 7), 0.4), 2.0) == pytest.approx(np.full((5, 7), 0.4))


def test_evidence_is_the_model_a_localizer_or_their_product_and_none_in_whole_vertebrae() -> None:
    draw = np.random.default_rng(0)
    model, presence = draw.random((6, 7)), draw.random((6, 7))
    label = np.array([1, 0, UNKNOWN, 1, 0, 0, 1])
    whole = label == 0
    for evidence, value in (("fracture", model), ("presence", presence), ("both", model * presence)):
        found = evidence_of(model, presence, label, replace(CONFIG, evidence=evidence), Choices())
        assert (found[:, whole] == 0).all()
        assert found[:, ~whole] == pytest.approx(value[:, ~whole])
    free = evidence_of(model, None, label, replace(CONFIG, agree_with_study=False), Choices())
    assert free == pytest.approx(model)


def test_one_run_is_asked_of_vertebrae_known_to_be_fractured_only() -> None:
    model = np.full((9, 7), 0.02)
    label = np.array([1, 0, UNKNOWN, 0, 0, 0, 0])
    found = evidence_of(model, None, label, replace(CONFIG, along_z="run"), Choices(log_lengths=LENGTHS))
    assert found[:, 0].sum() >= 1 - 1e-9 and found[:, 2] == pytest.approx(np.full(9, 0.02))


def test_top_marks_k_slices_of_each_fractured_vertebra_and_nothing_else() -> None:
    evidence = np.random.default_rng(1).random((9, 7)) * 0.3 + 0.01
    label = np.array([1, 0, UNKNOWN, 0, 1, 0, 0])
    marked = mark_study(evidence, label, replace(CONFIG, positives="top", top_slices=3))
    assert marked.positive.sum(axis=0).tolist() == [3, 0, 0, 0, 3, 0, 0]
    assert set(np.flatnonzero(marked.over[:, 4])) == set(np.argsort(evidence[:, 4])[-3:])
    assert not marked.run.any()
    short = mark_study(evidence[:2], label, replace(CONFIG, positives="top", top_slices=3))
    assert short.positive.sum(axis=0)[0] == 2


def test_soft_targets_are_the_evidence_and_a_forced_run_reaches_one_at_its_peak() -> None:
    evidence = np.zeros((5, 7))
    evidence[:, 0] = [0.1, 0.7, 0.9, 0.4, 0.0]
    evidence[:, 1] = [0.0, 0.1, 0.2, 0.05, 0.0]
    label = np.array([1, 1, 0, 0, 0, 0, 0])
    marked = mark_study(evidence, label, replace(CONFIG, target="soft"))
    assert marked.target[:, 0].tolist() == [0.1, 0.7, 0.9, 0.4, 0.0]
    assert marked.target[:, 1] == pytest.approx([0.0, 0.5, 1.0, 0.05, 0.0])
    hard = mark_study(evidence, label, CONFIG)
    assert hard.target[:, 1].tolist() == [0, 1, 1, 0, 0]


def test_a_cell_counts_by_how_far_the_evidence_is_on_its_labels_side() -> None:
    evidence = np.zeros((4, 7))
    evidence[:, 0] = [0.9, 0.5, 0.4, 0.0]
    label = np.array([1, 0, 0, 0, 0, 0, 0])
    found = mark_study(evidence, label, replace(CONFIG, confidence="margin")).confidence
    assert found[:, 0] == pytest.approx([0.8, 0.0, 0.2, 1.0])
    assert (found[:, 1:] == 1).all()  # train.csv calls them whole
    assert (mark_study(evidence, label, CONFIG).confidence == 1).all()


def test_of_each_level_the_same_share_is_kept_the_most_certain_first() -> None:
    label = np.array([1, 1, 0, 0, 0, 0, 0])
    peaks = [(0.9, 0.6), (0.6, 0.9), (0.8, 0.7), (0.7, 0.8)]
    marked = [mark_study(np.array([[*p, 0, 0, 0, 0, 0]], float), label, CONFIG) for p in peaks]
    keep = kept(marked, np.tile(label == 1, (4, 1)), 0.5)
    assert keep[:, 0].tolist() == [True, False, True, False]
    assert keep[:, 1].tolist() == [False, True, False, True]
    assert keep[:, 2:].all()
    assert kept(marked, np.tile(label == 1, (4, 1)), 1.0).all()


def cells(vertebra: int, count: int, threshold: float, seed: int = 0) -> list[Cells]:
    """Studies whose slices are fractured exactly from ``threshold`` on."""
    draw = np.random.default_rng(seed)
    values = [draw.random(40) for _ in range(count)]
    return [Cells(f"{vertebra}-{i}", vertebra, v, (v >= threshold).astype(float)) for i, v in enumerate(values)]


def test_a_vertebra_with_studies_of_its_own_gets_its_own_threshold_and_others_that_of_all() -> None:
    known = [*cells(0, 30, 0.3), *cells(1, 30, 0.7)]
    found = best_thresholds(known, [cell.value for cell in known])
    assert found[0] == pytest.approx(0.3) and found[1] == pytest.approx(0.7)
    assert 0.3 <= found[6] <= 0.7


def test_unknown_cells_choose_no_threshold() -> None:
    known = cells(0, 10, 0.3)
    hidden = [replace(c, fractured=np.where(c.value < 0.6, np.nan, c.fractured)) for c in known]
    assert best_thresholds(hidden, [c.value for c in hidden])[0] >= 0.5


def test_with_too_few_boxed_select_studies_nothing_is_chosen_and_that_is_said() -> None:
    made = choose(cells(0, 2, 0.3), [3, 4], replace(CONFIG, threshold="select", along_z="run"))
    assert "2 boxed select studies" in made.fallback
    assert made.thresholds == (0.5,) * 7 and made.line == Line()


def test_an_overconfident_model_is_believed_less() -> None:
    draw = np.random.default_rng(3)
    known = []
    for i in range(12):  # the run is at a random place; the model is sure, and wrong half of the time
        fractured = np.zeros(30)
        start = int(draw.integers(0, 26))
        fractured[start : start + 4] = 1
        told = np.roll(fractured, 12) if i % 2 else fractured
        known.append(Cells(str(i), 0, np.clip(told, 0.001, 0.999), fractured))
    made = choose(known, [4] * 12, replace(CONFIG, along_z="run"))
    assert made.line.slope < 0.7


STUDIES = studies_table(*(study(f"s{i}", "C2 C5", slices=8, boxed=True) for i in range(6)), study("u", "C2", slices=8))


def predictions() -> pd.DataFrame:
    table = slices_table(STUDIES)
    table[list(VERTEBRAE)] = np.float32(0.05)
    table.loc[table["z_index"].isin([2, 3]), "C2"] = np.float32(0.4)
    table.loc[table["z_index"].isin([4, 5]), "C5"] = np.float32(0.4)
    return table


def box_labels() -> pd.DataFrame:
    table = slices_table(STUDIES[STUDIES["boxed"]]).drop(columns="cohort")
    box = table["z_index"].isin([2, 3, 4, 5])
    table[list(VERTEBRAE)] = 0.0
    table.loc[box, ["C2", "C5"]] = 1.0
    table["source"] = np.where(box, "box", "unboxed")
    return table.assign(weight=1.0, first_round=0)[SLICE_LABELS]


def test_thresholds_come_from_the_studies_given_and_no_others() -> None:
    config = replace(CONFIG, threshold="select")
    first = choices_on(predictions(), STUDIES[STUDIES["boxed"]], box_labels(), config)
    assert first.studies == 6 and first.thresholds[1] < 0.5  # 0.4 is where the boxes are
    other = predictions()
    other.loc[other[UID] == "u", list(VERTEBRAE)] = np.float32(0.99)
    assert choices_on(other, STUDIES[STUDIES["boxed"]], box_labels(), config).thresholds == first.thresholds
    labels, _ = pseudo_labels_of(predictions(), STUDIES.iloc[-1:], config, choices=first)
    assert labels["C2"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


def test_only_predicted_rows_of_a_localizer_count_and_all_must_be_there() -> None:
    shown = predictions().rename(columns=dict(zip(VERTEBRAE, PRESENCE, strict=True)))
    shown = pd.concat([shown.assign(source="predicted"), shown.assign(source="mask", **dict.fromkeys(PRESENCE, 1.0))])
    config = replace(CONFIG, evidence="presence", threshold=0.3)
    labels, _ = pseudo_labels_of(predictions(), STUDIES.iloc[-1:], config, shown)
    assert labels["C2"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    with pytest.raises(CspineError, match="study u"):
        pseudo_labels_of(predictions(), STUDIES.iloc[-1:], config, shown[shown["z_index"] != 3])
    with pytest.raises(CspineError, match="none was given"):
        pseudo_labels_of(predictions(), STUDIES.iloc[-1:], config)


def test_vertebrae_left_out_are_unknown_in_every_slice_and_the_study_stays() -> None:
    taught, counts = pseudo_labels_of(predictions(), STUDIES, replace(CONFIG, keep_share=0.5, threshold=0.3))
    assert taught[UID].nunique() == len(STUDIES)
    unknown = taught["C5"].isna().groupby(taught[UID]).agg(["any", "all"])
    assert (unknown["any"] == unknown["all"]).all() and unknown["all"].sum() == 3
    assert taught["C1"].notna().all()
    assert counts.set_index("vertebra").loc["C5", "studies_with_positive"] == 6  # counted before the selection


def test_a_box_says_which_slice_and_the_model_which_vertebra() -> None:
    labels = box_labels()
    united = united_with_boxes(labels, predictions(), soft=False)
    assert len(united) == len(labels) and set(united[UID]) == set(labels[UID])
    own = united[united[UID] == "s0"]
    assert own["C2"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert own["C5"].tolist() == [0, 0, 0, 0, 1, 1, 0, 0]
    assert (own[list(CONFIDENCE)] == 1).all(axis=None)
    soft = united_with_boxes(labels, predictions(), soft=True)
    assert soft[soft[UID] == "s0"]["C5"].tolist() == pytest.approx([0, 0, 0.125, 0.125, 1, 1, 0, 0])


def test_a_box_of_which_the_model_says_nothing_keeps_its_labels() -> None:
    silent = predictions().assign(**dict.fromkeys(VERTEBRAE, np.float32(0)))
    united = united_with_boxes(box_labels(), silent, soft=False)
    pd.testing.assert_frame_equal(united[["C2", "C5"]], box_labels()[["C2", "C5"]].astype(np.float32))


def test_every_boxed_slice_shows_some_fracture_when_united() -> None:
    draw = np.random.default_rng(2)
    random = predictions()
    random[list(VERTEBRAE)] = draw.random((len(random), 7)).astype(np.float32)
    united = united_with_boxes(box_labels(), random, soft=False)
    box = box_labels()["source"] == "box"
    assert (united.loc[box, list(VERTEBRAE)].sum(axis=1) >= 1).all()
    assert united.loc[~box, list(VERTEBRAE)].to_numpy().sum() == 0
    assert united.loc[box, ["C1", "C3", "C4", "C6", "C7"]].to_numpy().sum() == 0


@pytest.mark.parametrize(
    "wrong", [{"threshold": "best"}, {"threshold": 0}, {"keep_share": 0.0}, {"evidence": "x"}, {"top_slices": 0}]
)
def test_a_mistyped_key_is_answered_with_its_name(wrong: dict[str, object]) -> None:
    with pytest.raises(CspineError, match=next(iter(wrong))):
        replace(CONFIG, **wrong)  # type: ignore[arg-type]


def test_held_out_studies_decide_nothing_of_a_folds_pseudo_labels(tmp_path: Path) -> None:
    studies = many_studies(80, seed=5, boxed_share=0.7)
    folds, slices = folds_of(studies), slices_table(studies)
    boxes = boxes_table(*[(uid, n) for uid in studies.loc[studies["boxed"], UID] for n in (11, 12)])
    labels = label_slices_from_boxes(studies, slices, boxes, LabelConfig(unfractured="all"))[0]
    made = predictions_table(studies, skill=4.0)
    config = replace(CONFIG, along_z="run", threshold="select", boxed_studies="united", target="soft")
    first = run_stage(tmp_path, made, studies, folds, labels, config)
    assert '"fallback": ""' in first["choices"].read_text()  # something was chosen
    kept = {name: path.read_bytes() for name, path in first.items()}
    heldout = set(roles_of(folds, 0).loc[lambda role: role == "heldout"].index)
    draw = np.random.default_rng(1)
    other = made[UID].isin(heldout)
    made.loc[other, list(VERTEBRAE)] = draw.random((int(other.sum()), 7)).astype(np.float32)
    labels = labels.copy()
    labels.loc[labels[UID].isin(heldout), list(VERTEBRAE)] = 1
    again = run_stage(tmp_path, made, studies, folds, labels, config)
    assert kept == {name: path.read_bytes() for name, path in again.items()}
    assert not heldout & set(read_table(again["pseudo_labels"])[UID])


def run_stage(
    folder: Path,
    predictions: pd.DataFrame,
    studies: pd.DataFrame,
    folds: pd.DataFrame,
    labels: pd.DataFrame,
    config: PseudoConfig,
) -> dict[str, Path]:
    tables = {"predictions": predictions, "studies": studies, "folds": folds, "labels": labels}
    given = {name: folder / f"{name}.parquet" for name in tables}
    for name, table in tables.items():
        write_table(table, given[name])
    made = {name: folder / f"made-{name}" for name in ("pseudo_labels", "counts", "choices")}
    pseudo_label(**given, **made, config=config)
    return made

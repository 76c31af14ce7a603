"""The quality of pseudo-labels: what each figure counts, what a box can say, and figures from boxes alone."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cspine.blocks import block
from cspine.bootstrap import multiplicities, resamples
from cspine.config import complete_config, read_yaml
from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.labels import LabelConfig, label_slices_from_boxes
from cspine.pseudo.config import PseudoConfig
from cspine.pseudo_quality.figures import ALL, BINS, MEASURES, Cells, measures_of, reliability, sums_of
from cspine.pseudo_quality.references import boxed_select_studies, cells_by_boxes, cells_by_truth, has_box, labelled
from cspine.pseudo_quality.table import DIFFERENCES, quality_table
from cspine.stages.measure_pseudo_labels import QualityConfig, measure_pseudo_labels
from cspine.stages.write_pseudo_quality import QualityTextConfig, write_pseudo_quality
from cspine.studies import UID, VERTEBRAE
from cspine.tables import read_table, write_table
from small_cohort import boxes_table, folds_of, many_studies, predictions_table, slices_table, studies_table, study
from smoke_projects import ROOT

NAN = float("nan")
CONFIG = QualityConfig(PseudoConfig(fold=0), bootstrap=50)


def column(
    label: list[float], reference: list[float], study: list[int], probability: list[float] | None = None
) -> Cells:
    """One column of cells; the probability is the label unless it is given."""
    values = [np.array(v, dtype=float)[:, None] for v in (label, probability or np.nan_to_num(label), reference)]
    every = np.ones((len(label), 1), dtype=bool)
    return Cells((ALL,), max(study) + 1, np.array(study), values[0], values[1], values[2], every)


def values_of(cells: Cells, counts: np.ndarray | None = None) -> dict[str, float]:
    drawn = np.ones((1, cells.studies)) if counts is None else counts
    return {measure: found.value for (_, measure), found in measures_of(sums_of(cells), drawn).items()}


def test_precision_recall_overlap_and_found_of_a_hand_made_run() -> None:
    found = values_of(column([0, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1], [0] * 6))
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 4)
    assert found["f1"] == pytest.approx(4 / 7)
    assert found["overlap"] == pytest.approx(2 / 5)
    assert found["found"] == 1
    assert found["brier"] == pytest.approx(3 / 6)


def test_labels_equal_to_the_reference_are_perfect_in_every_figure() -> None:
    found = values_of(column([0, 1, 1, 0, 1, 0], [0, 1, 1, 0, 1, 0], [0, 0, 0, 1, 1, 1]))
    assert {name: found[name] for name in ("precision", "recall", "f1", "overlap", "found")} == dict.fromkeys(
        ("precision", "recall", "f1", "overlap", "found"), 1.0
    )
    assert found["brier"] == found["ece"] == found["left_out"] == 0


def test_a_study_without_positives_is_missed_and_not_forgotten() -> None:
    found = values_of(column([1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]))
    assert (found["recall"], found["found"], found["overlap"], found["precision"]) == (0.5, 0.5, 0.5, 1.0)


def test_a_label_that_is_left_out_misses_its_fracture_and_harms_no_precision() -> None:
    found = values_of(column([1, NAN, NAN, 0], [1, 1, 0, 0], [0] * 4))
    assert (found["precision"], found["recall"], found["left_out"]) == (1.0, 0.5, 0.5)


def test_a_soft_label_counts_as_much_as_it_says() -> None:
    found = values_of(column([0.6, 0.2], [1, 0], [0, 0]))
    assert found["precision"] == pytest.approx(0.75) and found["recall"] == pytest.approx(0.6)
    assert found["overlap"] == pytest.approx(0.6 / 1.2) and found["found"] == 1
    assert values_of(column([0.4, 0.2], [1, 0], [0, 0]))["found"] == 0


def test_a_wrong_label_that_counts_little_in_the_loss_counts_little_in_the_weighted_precision() -> None:
    cells = column([1, 1], [1, 0], [0, 0])
    assert values_of(cells)["weighted"] == values_of(cells)["precision"] == 0.5
    sure = values_of(replace(cells, confidence=np.array([[0.9], [0.1]])))
    assert sure["weighted"] == pytest.approx(0.9) and sure["precision"] == 0.5


def test_the_confidence_of_a_slice_is_that_of_its_highest_label() -> None:
    nothing = slices_table(BOXED).assign(**dict.fromkeys(VERTEBRAE, 0.0))
    pseudo = nothing.assign(**{f"confidence_{v}": 0.2 + 0.1 * i for i, v in enumerate(VERTEBRAE)}, C3=1.0)
    pseudo.loc[0, list(VERTEBRAE)] = NAN
    found = labelled(nothing, BOXED, pseudo)
    cells = cells_by_truth(found, np.zeros((12, 7)))["slice"]
    assert cells.confidence is not None and cells.confidence[1:, 0] == pytest.approx([0.4] * 11)
    assert np.isnan(cells.label[0, 0]) and cells.label[1:, 0].tolist() == [1.0] * 11


def test_a_cell_of_which_the_reference_says_nothing_counts_nowhere() -> None:
    known = values_of(column([1, 0, 1], [1, 1, 0], [0, 0, 1]))
    assert values_of(column([1, 0, 1, 1, 0], [1, 1, 0, NAN, NAN], [0, 0, 1, 0, 1])) == known


def test_calibration_is_the_distance_of_bins_weighted_by_their_cells() -> None:
    cells = column([0] * 4, [0, 0, 0, 1], [0] * 4, [0.05, 0.05, 0.85, 0.85])
    assert values_of(cells)["ece"] == pytest.approx((2 * 0.05 + 2 * 0.35) / 4)
    rows = reliability(sums_of(cells), ALL, np.ones((1, 1)))
    assert [(number, count, share.value) for number, count, _, share in rows] == [(0, 2, 0.0), (8, 2, 0.5)]
    assert [predicted for _, _, predicted, _ in rows] == pytest.approx([0.05, 0.85])
    settled = replace(cells, open=np.array([[True], [True], [False], [False]]))
    assert values_of(settled)["ece"] == pytest.approx(0.05)


@settings(max_examples=40)
@given(
    arrays(float, (24, 7), elements=st.sampled_from([0.0, 0.3, 1.0, NAN])),
    arrays(float, (24, 7), elements=st.sampled_from([0.0, 1.0, NAN])),
)
def test_every_cell_is_counted_once(label: np.ndarray, reference: np.ndarray) -> None:
    place = np.repeat(np.arange(4), 6)
    cells = Cells(VERTEBRAE, 4, place, label, np.nan_to_num(label), reference, np.ones((24, 7), dtype=bool))
    sums = sums_of(cells)
    known = ~np.isnan(reference)
    assert sums.parts["cells"][:, -1].sum() == known.sum() == sums.bins[:, -1, :, 0].sum()
    assert sums.parts["due"][:, -1].sum() == np.nansum(reference)
    assert sums.parts["labelled"][:, -1].sum() == pytest.approx(np.nansum(label[known]))
    for part in sums.parts.values():
        assert part[:, -1] == pytest.approx(part[:, :-1].sum(axis=1))
    assert sums.bins.shape == (4, 8, BINS, 3)


def test_a_draw_of_every_study_once_is_the_value_itself() -> None:
    draw = np.random.default_rng(3)
    label, reference = draw.random((40, 7)), draw.integers(0, 2, (40, 7)).astype(float)
    cells = Cells(VERTEBRAE, 8, np.repeat(np.arange(8), 5), label, label, reference, np.ones((40, 7), dtype=bool))
    for found in measures_of(sums_of(cells), np.ones((3, 8))).values():
        assert found.draws == pytest.approx([found.value] * 3)


BOXED = studies_table(
    study("a", "C2", slices=6, boxed=True), study("b", "C2 C5", slices=6, boxed=True),
)  # fmt: skip
A_FOLD = pd.DataFrame({"fold": 0, UID: ["a", "b"], "role": "select"})


def cells_of_two_studies(label: dict[tuple[str, str], list[int]]) -> dict[str, Cells]:
    """Studies a (C2) and b (C2 and C5) with boxes on their slices 1 and 2, labelled as ``label`` says."""
    slices = slices_table(BOXED)
    boxes = boxes_table(*[(uid, number) for uid in "ab" for number in (11, 12)])
    taught, _ = label_slices_from_boxes(BOXED, slices, boxes, LabelConfig())
    predictions = slices.assign(**dict.fromkeys(VERTEBRAE, 0.0))
    pseudo = slices.assign(**dict.fromkeys(VERTEBRAE, 0.0))
    for (uid, vertebra), values in label.items():
        pseudo.loc[(pseudo[UID] == uid).to_numpy(), vertebra] = values
    studies = boxed_select_studies(BOXED, A_FOLD, taught, 0)
    found = labelled(predictions, studies, pseudo[pseudo[UID].isin([uid for uid, _ in label])])
    return cells_by_boxes(found, has_box(found, taught))


def test_a_box_stands_for_the_slice_for_the_only_vertebra_or_for_all_of_the_study() -> None:
    ways = cells_of_two_studies({("a", "C2"): [0, 1, 1, 0, 0, 0], ("b", "C5"): [0, 1, 1, 0, 0, 0]})
    assert values_of(ways["slice"])["recall"] == values_of(ways["slice"])["precision"] == 1
    one = measures_of(sums_of(ways["one"]), np.ones((1, 2)))
    assert one["C2", "recall"].value == one[ALL, "f1"].value == 1
    assert list(sums_of(ways["one"]).studies()) == [1] * 8  # study b has two fractured vertebrae and says nothing
    study = measures_of(sums_of(ways["study"]), np.ones((1, 2)))
    assert study["C5", "recall"].value == 1
    assert study["C2", "recall"].value == 0.5  # the boxes of b, which C5 explains, are asked of C2 as well
    assert study[ALL, "found"].value == pytest.approx(2 / 3)


def test_a_study_that_the_rules_dropped_is_missed() -> None:
    ways = cells_of_two_studies({("a", "C2"): [0, 1, 1, 0, 0, 0]})
    assert values_of(ways["slice"])["recall"] == 0.5
    assert values_of(ways["slice"])["left_out"] == 0


def test_an_unknown_vertebra_is_asked_for_by_no_box() -> None:
    slices = slices_table(BOXED)
    studies = BOXED.copy()
    studies.loc[studies[UID] == "b", "C5"] = -1
    taught, _ = label_slices_from_boxes(studies, slices, boxes_table(("a", 11), ("b", 11)), LabelConfig())
    everything = slices.assign(**dict.fromkeys(VERTEBRAE, 1.0))
    found = labelled(everything, studies, everything)
    ways = cells_by_boxes(found, has_box(found, taught))
    of_c5 = ways["study"].reference[:, VERTEBRAE.index("C5")]
    assert np.isnan(of_c5).sum() == 1
    assert list(sums_of(ways["one"]).studies()[:1]) == [1]  # b may have two fractured vertebrae


def test_with_a_localisation_a_box_is_asked_only_of_the_vertebrae_that_the_slice_shows() -> None:
    nothing = slices_table(BOXED).assign(**dict.fromkeys(VERTEBRAE, 0.0))
    found = labelled(nothing, BOXED, nothing)
    box = np.tile([False, True, True, False, False, False], 2)
    shown = np.zeros((12, 7), dtype=bool)
    shown[:, VERTEBRAE.index("C2")] = True
    ways = cells_by_boxes(found, box, shown)
    assert ways["shown"].reference.sum() == 4 and ways["study"].reference.sum() == 6


class Cohort:
    """A hundred and twenty studies with boxes and a truth, as files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.studies = many_studies(120, seed=5, boxed_share=0.7)
        self.folds = folds_of(self.studies, select=0.4)
        self.predictions = predictions_table(self.studies, seed=2)
        slices = slices_table(self.studies)
        self.truth = self._truth(slices)
        fractured = self.truth[[f"fractured_{v}" for v in VERTEBRAE]].any(axis=1)
        boxed = self.truth[UID].isin(self.studies.loc[self.studies["boxed"], UID])
        places = self.truth[fractured & boxed]
        boxes = boxes_table(*zip(places[UID], places["slice_number"], strict=True))
        self.labels, _ = label_slices_from_boxes(self.studies, slices, boxes, LabelConfig())
        for name in ("studies", "folds", "predictions", "labels", "truth"):
            write_table(getattr(self, name), folder / f"{name}.parquet")

    def _truth(self, slices: pd.DataFrame) -> pd.DataFrame:
        """Every fractured vertebra is seen in the two middle slices of its study."""
        table = slices.copy()
        of_study = self.studies.set_index(UID)[list(VERTEBRAE)]
        for v in VERTEBRAE:
            table[f"fractured_{v}"] = (table[UID].map(of_study[v]).eq(1) & table["z_index"].isin([1, 2])).astype(int)
        return table

    def measured(self, name: str, **more: Path) -> pd.DataFrame:
        place = self.folder / f"{name}.parquet"
        inputs = {key: self.folder / f"{key}.parquet" for key in ("predictions", "studies", "folds", "labels")}
        measure_pseudo_labels(**(inputs | more), quality=place, config=CONFIG)
        return read_table(place)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return Cohort(tmp_path_factory.mktemp("quality"))


def test_without_truth_the_boxes_give_the_same_figures(cohort: Cohort) -> None:
    alone = cohort.measured("alone")
    beside = cohort.measured("beside", truth=cohort.folder / "truth.parquet")
    assert set(alone["arm"]) == {"boxes"} and set(beside["arm"]) == {"boxes", "truth", "unboxed"}
    of_boxes = beside[(beside["arm"] == "boxes") & (beside["than"] == "")].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_boxes, alone)
    assert {(row.arm, row.than) for row in beside.itertuples()} >= set(DIFFERENCES)


def test_boxes_that_tell_the_truth_agree_with_it_exactly_where_nothing_is_assumed(cohort: Cohort) -> None:
    table = cohort.measured("agreed", truth=cohort.folder / "truth.parquet")
    difference = table[(table["arm"] == "boxes") & (table["than"] == "truth")]
    exact = difference[difference["compared"].isin(["slice", "one"])]
    assert exact["value"].dropna().eq(0).all() and exact.loc[exact["value"].notna(), "holds_zero"].all()
    assert set(table["measure"]) == {*MEASURES, "reliability"}


def test_labels_that_are_worse_where_they_are_taught_are_told_apart_from_those_of_select(
    cohort: Cohort, tmp_path: Path
) -> None:
    unboxed = cohort.predictions[UID].isin(cohort.studies.loc[~cohort.studies["boxed"], UID])
    spoiled = cohort.predictions.copy()
    last = spoiled["z_index"] == 3  # the model sees every fracture where none is
    for vertebra in VERTEBRAE:
        spoiled.loc[unboxed, vertebra] = np.where(last[unboxed], 0.9, 0.1).astype(np.float32)
    write_table(spoiled, tmp_path / "predictions.parquet")
    truth = cohort.folder / "truth.parquet"
    table = cohort.measured("spoiled", truth=truth, predictions=tmp_path / "predictions.parquet")
    row = table.set_index(["arm", "than", "compared", "vertebra", "measure"]).sort_index()
    assert row.loc[("unboxed", "", "slice", ALL, "recall"), "value"] == 0
    assert not row.loc[("truth", "unboxed", "slice", ALL, "recall"), "holds_zero"]
    assert row.loc[("boxes", "truth", "slice", ALL, "recall"), "holds_zero"]


def test_no_held_out_study_is_looked_at(cohort: Cohort, tmp_path: Path) -> None:
    roles = roles_of(cohort.folds, 0)
    heldout = set(roles.index[roles == "heldout"])
    assert heldout
    before = cohort.measured("with", truth=cohort.folder / "truth.parquet")
    for name in ("predictions", "labels", "truth"):
        table = getattr(cohort, name)
        write_table(table[~table[UID].isin(heldout)], tmp_path / f"{name}.parquet")
    given = {name: tmp_path / f"{name}.parquet" for name in ("predictions", "labels", "truth")}
    pd.testing.assert_frame_equal(cohort.measured("without", **given), before)


def test_only_boxed_studies_of_select_are_measured_by_boxes(cohort: Cohort) -> None:
    chosen = boxed_select_studies(cohort.studies, cohort.folds, cohort.labels, 0)
    assert set(roles_of(cohort.folds, 0).loc[list(chosen[UID])]) == {"select"}
    assert not chosen["boxed"].any() and chosen["patient_overall"].eq(1).all()
    expected = cohort.studies[cohort.studies["boxed"]][UID].map(roles_of(cohort.folds, 0)).eq("select").sum()
    assert len(chosen) == expected > 0


def test_another_phantoms_truth_is_an_error(cohort: Cohort, tmp_path: Path) -> None:
    write_table(cohort.truth.iloc[:5], tmp_path / "truth.parquet")
    with pytest.raises(CspineError, match="the phantom's truth has no slice"):
        cohort.measured("other", truth=tmp_path / "truth.parquet")


def test_a_fold_without_boxed_select_studies_measures_nothing_and_says_so(cohort: Cohort, tmp_path: Path) -> None:
    labels = cohort.labels[cohort.labels["source"] != "box"]
    write_table(labels, tmp_path / "labels.parquet")
    table = cohort.measured("none", labels=tmp_path / "labels.parquet")
    assert table["value"].isna().all() and not table["measurable"].any() and table["studies"].eq(0).all()
    text = written(tmp_path, cohort.folder / "none.parquet")
    assert "boxed studies of select: 0" in text


def test_few_studies_are_marked_as_too_few() -> None:
    ways = cells_of_two_studies({("a", "C2"): [0, 1, 1, 0, 0, 0]})
    table = quality_table({"boxes": ways}, {"boxes": multiplicities(resamples(2, 20, 0))})
    assert not table["measurable"].any() and table["studies"].max() == 2


def test_the_truth_compared_as_shown_is_what_it_is_of_the_study() -> None:
    nothing = slices_table(BOXED).assign(**dict.fromkeys(VERTEBRAE, 0.0))
    found = labelled(nothing, BOXED, nothing)
    ways = cells_by_truth(found, np.zeros((12, 7)), localised=True)
    assert ways["shown"] is ways["study"] and set(cells_by_truth(found, np.zeros((12, 7)))) == {"slice", "one", "study"}


def written(folder: Path, *tables: Path, **config: object) -> str:
    settings = {"method": "m", "last_round": 1, **config}
    write_pseudo_quality(list(tables), folder / "text.txt", config=QualityTextConfig(**settings))  # type: ignore[arg-type]
    return (folder / "text.txt").read_text(encoding="utf-8")


def test_the_text_says_phantom_counts_and_agreement_in_100_columns(cohort: Cohort, tmp_path: Path) -> None:
    cohort.measured("shown", truth=cohort.folder / "truth.parquet")
    text = written(tmp_path, cohort.folder / "shown.parquet")
    assert text.startswith("pseudo-labels of m on the PHANTOM")
    assert max(map(len, text.splitlines())) <= 100
    studies = len(boxed_select_studies(cohort.studies, cohort.folds, cohort.labels, 0))
    assert f"boxed studies of select: {studies}" in text
    line = next(line for line in text.splitlines() if line.startswith("slice precision"))
    assert line.split()[-2] == "yes"


def test_on_real_data_the_text_has_the_boxes_alone(cohort: Cohort, tmp_path: Path) -> None:
    cohort.measured("real")
    text = written(tmp_path, cohort.folder / "real.parquet", phantom=False)
    assert "real data" in text and "truth, select" not in text and "= truth" not in text


def test_the_rules_and_the_bootstrap_are_all_that_the_figures_are_measured_anew_for() -> None:
    raw = read_yaml(ROOT / "config.yaml")
    schema = read_yaml(ROOT / "workflow/schemas/config.schema.yaml")
    at = {"method": "semi_supervised", "fold": "0", "round": "0"}

    def block_under(setting: str) -> object:
        config = complete_config(copy.deepcopy(raw) | {"set": setting}, schema)
        return block(config, "measure_pseudo_labels", **at)

    same = block_under("size=smoke methods.semi_supervised.training.epochs=9 methods.semi_supervised.rounds=3")
    assert same == block_under("")
    for setting in ("score.bootstrap=70", "methods.semi_supervised.pseudo_labels.threshold=0.4"):
        assert block_under(setting) != same

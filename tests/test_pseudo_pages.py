"""The page of the pseudo-labels: the most doubtful first, the right cells in the matrices, one file without network."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cspine.cache.shards import write_shard
from cspine.labels import LabelConfig, label_slices_from_boxes
from cspine.pseudo.config import PseudoConfig
from cspine.pseudo.labels import pseudo_labels_of
from cspine.pseudo.who import unlabelled_studies
from cspine.pseudo_pages.cells import Sources, panels_of
from cspine.pseudo_pages.doubts import doubtful_runs, studies_to_show
from cspine.pseudo_pages.matrices import LEFT_OUT, MODEL, Panel, coloured, draw_matrices
from cspine.pseudo_pages.runs_shown import run_rows, run_table, slices_around
from cspine.stages.write_pseudo_pages import BOXED, DOUBTFUL, MOST, TYPICAL, PagesConfig, write_pseudo_pages
from cspine.studies import UID, VERTEBRAE
from cspine.tables import write_table
from small_cohort import boxes_table, folds_of, many_studies, predictions_table, slices_table, studies_table, study
from test_audit_page import Elements
from test_cache import HOW, rows_of

STUDIES = studies_table(study("a", "C2", slices=6), study("b", "C7", slices=6), study("c", "C3", slices=6))
EMPTY = slices_table(STUDIES).assign(**dict.fromkeys(VERTEBRAE, 0.0))
FOLD = 0


def with_values(table: pd.DataFrame, values: dict[tuple[str, str], list[float]]) -> pd.DataFrame:
    """``table`` with these values of a study's vertebra from slice to slice."""
    changed = table.copy()
    for (uid, vertebra), column in values.items():
        changed.loc[(changed[UID] == uid).to_numpy(), vertebra] = column
    return changed


LABELS = with_values(EMPTY, {("a", "C2"): [0, 1, 1, 0, 1, 0], ("b", "C7"): [0, 0, 1, 1, 1, 0]})
PREDICTED = with_values(EMPTY, {("a", "C2"): [0.1, 0.9, 0.7, 0.2, 0.3, 0], ("b", "C7"): [0, 0, 0.1, 0.4, 0.1, 0]})


def test_runs_are_neighbouring_slices_and_the_one_the_model_believes_least_is_first() -> None:
    runs = doubtful_runs(LABELS, PREDICTED)
    told = [tuple(row) for row in runs[[UID, "vertebra", "first", "last", "peak"]].itertuples(index=False)]
    assert told == [("b", "C7", 2, 4, 3), ("a", "C2", 4, 4, 4), ("a", "C2", 1, 2, 1)]
    assert runs["doubt"].tolist() == pytest.approx([0.8, 0.7, 0.2])


def test_a_soft_label_is_a_run_from_a_half_on_and_one_left_out_ends_it() -> None:
    soft = with_values(EMPTY, {("a", "C2"): [0.4, 0.5, 0.9, np.nan, 0.6, 0]})
    runs = doubtful_runs(soft, PREDICTED)
    assert sorted(zip(runs["first"], runs["last"], strict=True)) == [(1, 2), (4, 4)]


def test_no_labels_are_no_runs() -> None:
    assert len(doubtful_runs(EMPTY.iloc[:0], PREDICTED)) == 0
    assert studies_to_show(doubtful_runs(EMPTY, PREDICTED), 3, 2) == []


def test_shown_are_the_most_doubtful_studies_and_those_in_the_middle_of_the_rest() -> None:
    runs = pd.DataFrame({UID: list("abacdefgh")})
    assert [uid for uid, _ in studies_to_show(runs, 2, 2)] == ["a", "b", "e", "f"]
    assert [uid for uid, _ in studies_to_show(runs, 20, 2)] == list("abcdefgh")


def test_the_neighbours_of_a_run_end_where_the_study_ends() -> None:
    assert slices_around({"first": 0, "last": 3, "peak": 2}, 5) == [0, 2, 3, 4]
    assert slices_around({"first": 4, "last": 4, "peak": 4}, 5) == [3, 4]


def test_a_matrix_has_a_cell_for_each_slice_and_vertebra_as_strong_as_its_value() -> None:
    values = np.zeros((6, 7))
    values[2, 1], values[3, 6] = 0.25, np.nan
    cells = coloured(Panel("model", values, given=False))
    assert cells.shape == (6, 7, 4)
    assert cells[2, 1].tolist() == pytest.approx([*MODEL, 0.25]) and cells[0, 0, 3] == 0
    assert cells[3, 6, :3].tolist() == pytest.approx(list(LEFT_OUT)) and cells[3, 6, 3] > 0


def test_the_panels_of_a_boxed_study_have_box_label_probability_and_truth_in_their_cells() -> None:
    studies = studies_table(study("a", "C2 C5", slices=6, boxed=True))
    slices = slices_table(studies)
    taught, _ = label_slices_from_boxes(studies, slices, boxes_table(("a", 13)), LabelConfig())
    empty = slices.assign(**dict.fromkeys(VERTEBRAE, 0.0))
    predicted = with_values(empty, {("a", "C5"): [0, 0, 0.2, 0.8, 0, 0]})
    pseudo = with_values(empty, {("a", "C5"): [0, 0, 0, 1, 0, 0]})
    truth = slices.assign(**{f"fractured_{v}": (slices["z_index"] == 3) & (v == "C5") for v in VERTEBRAE}).astype(
        {f"fractured_{v}": int for v in VERTEBRAE}
    )
    panels = {p.title: p for p in panels_of(Sources.of(predicted, pseudo, taught, predicted, truth).study("a"), 0)}
    assert list(panels) == ["boxes", "model, round 0", "pseudo-label", "model, round 1", "truth"]
    assert np.argwhere(panels["boxes"].values == 1).tolist() == [[3, 1], [3, 4]]
    for name in ("pseudo-label", "truth"):
        assert np.argwhere(panels[name].values == 1).tolist() == [[3, 4]]
    assert panels["model, round 0"].values[2:4, 4].tolist() == [0.2, 0.8]
    without = panels_of(Sources.of(predicted, pseudo, taught, None, None).study("a"), 0)
    assert [p.title for p in without] == ["boxes", "model, round 0", "pseudo-label"]


def test_the_numbers_beside_a_picture_are_those_of_its_slices() -> None:
    sources = Sources.of(PREDICTED, LABELS, EMPTY.assign(source="unboxed"), None, None)
    run = doubtful_runs(LABELS, PREDICTED).iloc[0].to_dict()
    table = run_table(run_rows(run, sources.study("b")))
    assert list(table.head) == ["file", "slice from the head", "probability", "label"]
    assert table.rows[0] == [11, 1, "0.00", "whole"] and table.rows[2] == [13, 3, "0.40", "fractured"]


def test_a_drawing_says_what_it_shows_and_draws_the_same_bytes_again() -> None:
    panels = [Panel("truth", np.eye(7), given=True)]
    first = draw_matrices("one", "1.2.3", range(7), panels)
    assert first == draw_matrices("one", "1.2.3", range(7), panels)
    assert "Study 1.2.3, 7 slices" in first and "xlink" not in first


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, pd.DataFrame]:
    """The page of a made-up cohort with a truth, and its runs."""
    folder = tmp_path_factory.mktemp("page")
    studies = many_studies(80, seed=4)
    slices = slices_table(studies)
    boxed = studies.loc[studies["boxed"], UID]
    folds = folds_of(studies)
    labels, _ = label_slices_from_boxes(studies, slices, boxes_table(*[(uid, 11) for uid in boxed]), LabelConfig())
    predictions, student = predictions_table(studies, seed=1), predictions_table(studies, seed=2)
    pseudo, _ = pseudo_labels_of(predictions, unlabelled_studies(studies, folds, FOLD), PseudoConfig(FOLD))
    truth = slices.assign(**{f"fractured_{v}": 0 for v in VERTEBRAE})
    tables = {"studies": studies, "folds": folds, "labels": labels, "predictions": predictions, "student": student}
    tables |= {"pseudo_labels": pseudo, "truth": truth}
    for name, table in tables.items():
        write_table(table, folder / f"{name}.parquet")
    write_shard(folder / "shard-0.parquet", rows_of(*[(uid, 4) for uid in studies[UID]]), HOW)
    inputs = {name: folder / f"{name}.parquet" for name in tables}
    page = folder / "page.html"
    config = PagesConfig("m", PseudoConfig(FOLD))
    write_pseudo_pages(**inputs, shards=[folder / "shard-0.parquet"], page=page, config=config)
    return page.read_text(encoding="utf-8"), doubtful_runs(pseudo, predictions)


def test_the_page_shows_exactly_the_most_doubtful_labels_in_their_order(made: tuple[str, pd.DataFrame]) -> None:
    page, runs = made
    assert len(runs) > DOUBTFUL
    shown = re.findall(r'<h3>(\d+)\. (C\d) <span class="uid">(\S+)</span>', page)
    expected = runs.head(DOUBTFUL)
    assert shown == [
        (str(i + 1), v, uid) for i, (v, uid) in enumerate(zip(expected["vertebra"], expected[UID], strict=True))
    ]
    assert len(Elements(page).named("img")) == DOUBTFUL
    assert f"{len(runs)} labelled runs" in page


def test_the_page_has_the_matrices_of_the_studies_that_its_rule_names(made: tuple[str, pd.DataFrame]) -> None:
    page, _ = made
    assert len(Elements(page).named("svg")) == MOST + TYPICAL + BOXED
    assert page.count("boxed, labelled as if it were not") == BOXED
    assert page.count("most doubtful; fractured:") == MOST


def test_the_page_is_one_file_that_asks_the_network_for_nothing_and_says_what_it_shows(
    made: tuple[str, pd.DataFrame],
) -> None:
    elements = Elements(made[0])
    assert not elements.named("script", "link", "iframe", "object", "embed")
    for tag, attributes in elements.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                assert str(value).startswith(("#", "data:image/png;base64,")), (tag, name, value)
    assert "synthetic data" in elements.text
    identities = [attributes["id"] for _, attributes in elements.tags if "id" in attributes]
    assert len(identities) == len(set(identities))


def test_without_any_label_the_page_says_so(tmp_path: Path) -> None:
    studies = many_studies(20, seed=4)
    predictions = predictions_table(studies)
    for name, table in {
        "predictions": predictions,
        "pseudo_labels": predictions.iloc[:0].drop(columns="cohort").assign(weight=1.0),
        "studies": studies,
        "folds": folds_of(studies),
        "labels": predictions.iloc[:0].assign(source="box"),
    }.items():
        write_table(table, tmp_path / f"{name}.parquet")
    names = ("predictions", "pseudo_labels", "studies", "folds", "labels")
    config = PagesConfig("m", PseudoConfig(FOLD), phantom=False)
    page = tmp_path / "page.html"
    write_pseudo_pages(**{n: tmp_path / f"{n}.parquet" for n in names}, shards=[], page=page, config=config)
    text = page.read_text(encoding="utf-8")
    assert "No slice is labelled fractured" in text and "keep this page where the data may be" in text

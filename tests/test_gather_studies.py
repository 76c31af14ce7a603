"""What can be browsed: every picture, box, outline and number lies at the slice and place it was said of."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from browsed_tables import BOX_AT, BOXED, COLUMNS, MASKED, PIXELS, PLAIN, PSEUDO, ROWS, SLICES, TEST, Given, grey
from cspine.errors import CspineError
from cspine.report.overlays import boxes_in_view, outline, outlines
from cspine.report.slice_pictures import Pictured, bytes_of, thinned
from cspine.stages.gather_studies import BrowseConfig
from cspine.studies import PRESENCE, UID, VERTEBRAE
from cspine.tables import write_table
from cspine.views.windows import resize_slice
from small_cohort import studies_table, study


@pytest.fixture
def given_tables(tmp_path: Path) -> Given:
    return Given(tmp_path)


@pytest.fixture(scope="module")
def browsed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return Given(tmp_path_factory.mktemp("browsed")).gather()


def rows_of(browsed: pd.DataFrame, uid: str) -> pd.DataFrame:
    return browsed[browsed[UID] == uid].reset_index(drop=True)


def at(browsed: pd.DataFrame, uid: str, column: str) -> dict[int, float]:
    """z_index -> value, of those that are known and not 0."""
    rows = rows_of(browsed, uid)[["z_index", column]].dropna()
    return {z: round(value, 3) for z, value in zip(rows["z_index"], rows[column], strict=True) if value != 0}


@pytest.mark.parametrize(("rows", "columns", "centre"), [(60, 60, 1.0), (40, 60, 1.0), (64, 48, 0.5), (50, 50, 0.5)])
def test_a_box_covers_in_the_view_what_it_covers_in_the_stored_slice(rows: int, columns: int, centre: float) -> None:
    raw = np.zeros((rows, columns), np.uint8)
    x, y, width, height = 22, 24, 8, 6
    raw[y : y + height, x : x + width] = 200
    side = max(rows, columns)
    view = resize_slice(raw, round(side * centre), centre)  # as many pixels as it shows: nothing is blurred
    lit = np.argwhere(view == 200)
    (top, left), (bottom, right) = lit.min(axis=0), lit.max(axis=0) + 1
    boxes = pd.DataFrame([("a", x, y, width, height, 3)], columns=[UID, "x", "y", "width", "height", "slice_number"])
    slices = pd.DataFrame([("a", 3, rows, columns)], columns=[UID, "slice_number", "rows", "columns"])
    found = boxes_in_view(boxes, slices, centre)[["x0", "y0", "x1", "y1"]].to_numpy()[0]
    assert (found * len(view)).tolist() == pytest.approx([left, top, right, bottom])


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.booleans()))
def test_an_outline_encloses_the_pixels_of_the_mask_and_no_others(mask: np.ndarray) -> None:
    path = outline(mask)
    crossings = np.zeros((mask.shape[0], mask.shape[1] + 1), int)
    for x, y, length in re.findall(r"M(\d+) (\d+)v(\d+)", path):
        crossings[int(y) : int(y) + int(length), int(x)] += 1
    assert ((crossings.cumsum(axis=1) % 2 == 1)[:, :-1] == mask).all()
    drawn = sum(int(length) for length in re.findall(r"[hv](\d+)", path))
    padded = np.pad(mask, 1).astype(int)
    assert drawn == np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()


def test_only_levels_that_a_slice_shows_have_an_outline() -> None:
    labels = np.zeros((4, 4), np.uint8)
    labels[0, 1], labels[3, 3] = 2, 8
    assert outlines(labels) == {"C2": "M1 0h1M1 1h1M1 0v1M2 0v1", "T": "M3 3h1M3 4h1M3 3v1M4 3v1"}


def test_studies_come_in_their_order_with_all_their_slices_from_head_to_feet(browsed: pd.DataFrame) -> None:
    order = browsed.groupby("number")[UID].first().tolist()
    assert order == [BOXED, TEST, PSEUDO]
    assert browsed.groupby("number")["z_index"].apply(list).tolist() == [list(range(SLICES))] * 3
    assert rows_of(browsed, BOXED)["role"].unique().tolist() == ["heldout"]


def test_every_picture_is_of_its_slice(browsed: pd.DataFrame) -> None:
    for row in browsed.to_dict("records"):
        image = np.asarray(Image.open(io.BytesIO(row["image"])).convert("L"))
        assert image.shape == (PIXELS, PIXELS)
        assert abs(float(np.median(image)) - grey(row["z_index"])) <= 2
        column = np.frombuffer(row["section"], np.uint8)
        assert len(column) == PIXELS and np.median(column) == grey(row["z_index"])


def test_boxes_and_outlines_are_on_their_slices_only(browsed: pd.DataFrame) -> None:
    rows = rows_of(browsed, BOXED)
    assert rows.loc[rows["boxes"] != "", "slice_number"].tolist() == [BOX_AT]
    assert rows.loc[rows["source"] == "box", "slice_number"].tolist() == [BOX_AT]
    assert rows.loc[rows["outlines"] != "", "z_index"].tolist() == list(MASKED[0])
    (x0, y0, x1, y1) = json.loads(rows["boxes"][5])[0]
    shown, first = 0.75 * COLUMNS, (COLUMNS - 0.75 * COLUMNS) / 2
    assert (x0, x1) == pytest.approx(((5 - first) / shown, (25 - first) / shown), abs=1e-4)
    margin = (COLUMNS - ROWS) / 2
    assert (y0, y1) == pytest.approx(((6 + margin - first) / shown, (16 + margin - first) / shown), abs=1e-4)
    assert (browsed.loc[browsed[UID] != BOXED, ["boxes", "outlines"]] == "").all(axis=None)


def test_probabilities_labels_pseudo_labels_and_truth_are_at_their_slices(browsed: pd.DataFrame) -> None:
    peak = {z: 0.9 if z == 7 else 0.05 for z in range(SLICES)}
    assert at(browsed, BOXED, "probability_C3") == peak
    assert {z for z, p in at(browsed, TEST, "probability_C5").items() if p > 0.5} == {2}
    assert at(browsed, BOXED, "label_C3") == at(browsed, BOXED, "label_C6") == {5: 1.0}
    assert at(browsed, BOXED, "label_C4") == {} and at(browsed, PSEUDO, "label_C2") == {}
    pseudo = at(browsed, PSEUDO, "pseudo_C2")
    assert 0 not in pseudo and pseudo[8] == 0.9 and len(pseudo) == SLICES - 1
    assert at(browsed, BOXED, "pseudo_C3") == {}
    assert at(browsed, TEST, "truth_C5") == {3: 1.0, 4: 1.0}


def test_a_reversed_study_has_its_truth_by_file_number(given_tables: Given) -> None:
    given_tables.shown = pd.DataFrame([("train", PLAIN, "unfractured", 2)], columns=["cohort", UID, "why", "fold"])
    truth = given_tables.truth()
    truth.loc[(truth[UID] == PLAIN) & (truth["slice_number"] == 10), "fractured_C7"] = 1
    truth["z_index"] = 99  # the phantom counts slices that cannot be read
    write_table(truth, given_tables.folder / "other.parquet")
    given_tables.more = {"truth": given_tables.folder / "other.parquet"}
    assert at(given_tables.gather(), PLAIN, "truth_C7") == {SLICES - 1: 1.0}


def test_what_a_slice_shows_is_said_by_the_surest_source(browsed: pd.DataFrame, given_tables: Given) -> None:
    assert at(browsed, TEST, "shown_C5") == {2: 1.0, 3: 1.0, 4: 1.0, 5: 1.0}
    places = given_tables.slices[["cohort", UID, "slice_number", "z_index"]].assign(
        source="predicted", **dict.fromkeys(PRESENCE, 0.25)
    )
    write_table(pd.concat([places, places.assign(source="mask", present_C1=1.0)]), given_tables.folder / "seen.parquet")
    given_tables.more = {"truth": None, "localization": [given_tables.folder / "seen.parquet"]}
    found = given_tables.gather()
    assert found.groupby(UID)["shown_by"].first().to_dict() == {BOXED: "mask", TEST: "localizer", PSEUDO: "localizer"}
    assert at(found, BOXED, "shown_C3") == {4: 1.0, 5: 1.0, 6: 1.0}
    assert np.isnan(rows_of(found, BOXED)["shown_C3"].iloc[-1]), "no plane of the mask shows the last slice"
    assert set(at(found, TEST, "shown_C1").values()) == {0.25}


def test_a_method_of_whole_studies_says_nothing_of_slices(given_tables: Given) -> None:
    table = given_tables.studies[["cohort", UID]].assign(**dict.fromkeys(VERTEBRAE, 0.4))
    write_table(table, given_tables.folder / "studies_said.parquet")
    given_tables.more = {"predictions": [given_tables.folder / "studies_said.parquet"]}
    found = given_tables.gather()
    assert found[[f"probability_{v}" for v in VERTEBRAE]].isna().all(axis=None) and len(found) == 3 * SLICES


def test_a_study_in_both_cohorts_is_told_apart(given_tables: Given) -> None:
    given_tables.studies = studies_table(
        study("a", "C3", slices=SLICES, boxed=True), study("a", cohort="test", slices=SLICES - 2)
    )
    given_tables.boxes = given_tables.boxes.assign(**{UID: "a"})
    rows = [("test", "a", "test study", 2), ("heldout", "a", "boxed", 2)]
    given_tables.shown = pd.DataFrame(rows, columns=["cohort", UID, "why", "fold"])
    found = given_tables.gather()
    assert found.groupby("number").size().tolist() == [SLICES - 2, SLICES]
    assert found.groupby("number")["boxes"].apply(lambda boxes: (boxes != "").sum()).tolist() == [0, 1]


def test_boxes_of_a_study_turned_upright_are_not_drawn(given_tables: Given) -> None:
    given_tables.findings = pd.DataFrame({UID: [BOXED], "code": ["turned-upright"]})
    rows = rows_of(given_tables.gather(), BOXED)
    assert (rows["boxes"] == "").all() and rows["boxes_turned"].all()
    assert (rows["source"] == "box").sum() == 1, "that the slice is boxed is known all the same"


def test_without_images_there_is_no_pixel_and_nothing_over_it(given_tables: Given) -> None:
    given_tables.config = BrowseConfig([2], images=False)
    given_tables.more = {"train_shards": [], "test_shards": []}
    found = given_tables.gather()
    assert found[["image", "section"]].map(len).sum(axis=None) == 0
    assert (found[["boxes", "outlines"]] == "").all(axis=None)
    assert found["probability_C3"].notna().all()


def test_too_large_pictures_are_thinned_alike_in_all_studies_until_they_fit(given_tables: Given) -> None:
    whole = given_tables.gather()["image"].map(len)
    given_tables.config = replace(given_tables.config, max_mb=whole.sum() * 0.4e-6)
    found = given_tables.gather()
    kept = found[found["image"].map(len) > 0]
    assert kept["image"].map(len).sum() <= whole.sum() * 0.4
    assert kept.groupby("number")["z_index"].apply(list).tolist() == [[1, 4, 7, 10]] * 3
    assert (found["every"] == 3).all() and len(found) == len(whole)


def test_every_study_keeps_a_picture_however_little_there_is_room_for() -> None:
    studies = [Pictured([b"x" * 10] * count, [b""] * count) for count in (1, 2, 9)]
    kept, every = thinned(studies, most=5)
    assert every == 9 and [sum(bool(blob) for blob in study.slices) for study in kept] == [1, 1, 1]
    assert bytes_of(kept) == 30 and thinned(studies, most=120) == (studies, 1)


def test_what_is_known_of_a_study_is_said(browsed: pd.DataFrame) -> None:
    said = browsed.groupby(UID)["labelled"].first().to_dict()
    assert said == {BOXED: "fractured: C3 C6", TEST: "fractured: C5 (hidden truth)", PSEUDO: "fractured: C2"}


def test_as_many_tables_as_folds_are_expected(given_tables: Given) -> None:
    given_tables.config = BrowseConfig([2, 3])
    with pytest.raises(CspineError, match=r"1 predictions for folds \[2, 3\]"):
        given_tables.gather()

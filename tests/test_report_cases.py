"""What the report says of a case, in words and in pictures: the box and the evidence are where the tables have them."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from cspine.report.cases import NOTE, PANEL, STRIP, cases_section
from cspine.studies import UID

NAMES = {"1.2.3": "<1>", "1.2.4": "2"}


def case_of(**changes: Any) -> dict[str, Any]:
    row = {"cohort": "heldout", UID: "1.2.3", "fold": 2, "label": "C5", "kind": "false negative", "rank": 1, "truth": 1}
    row |= {
        "probability": 0.08,
        "threshold": 0.31,
        "assumed": "",
        "z_index": 40,
        "slice_number": 41,
        "vertebra": "C5",
        "slices": 64,
    }
    row |= {"thickness": 2.5, "boxed": True, "segmented": False, "rows": 512.0, "row_spacing": 0.4}
    return row | {"findings": "padding, sizes-vary"} | changes


def explained_of(case: dict[str, Any], **changes: Any) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(np.full((64, 64), 90, np.uint8)).save(buffer, format="PNG")
    evidence = np.zeros((10, 10), np.float32)
    evidence[8, 1] = 1
    row = {key: case[key] for key in ("cohort", UID, "label", "kind", "rank", "z_index")}
    row |= {"image": buffer.getvalue(), "map": evidence.ravel(), "map_rows": 10, "map_columns": 10, "how": "occlusion"}
    row |= {"along": np.zeros(0, np.float32), "number": 0, "slices": 1, "boxes": np.array([0.5, 0.25, 0.75, 0.5])}
    return row | changes


def pictures_of(markup: str) -> list[NDArray[np.uint8]]:
    found = re.findall(r"data:image/webp;base64,([^\"]+)", markup)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) for data in found]


def shown(**changes: Any) -> list[NDArray[np.uint8]]:
    case = case_of()
    table = pd.DataFrame([explained_of(case, **changes)])
    return pictures_of(cases_section(pd.DataFrame([case]), table, NAMES)[0].picture)


def colour_at(picture: NDArray[np.uint8], x: float, y: float) -> NDArray[np.int64]:
    return picture[round(y * PANEL), round(x * PANEL)].astype(int)


def test_the_facts_say_what_was_said_what_is_true_and_of_whom() -> None:
    (found,) = cases_section(pd.DataFrame([case_of()]), pd.DataFrame([explained_of(case_of())]), NAMES)
    facts = dict(found.facts)
    assert found.title == "1. C5 of study <1>" and found.kind == "false negative"
    assert facts["said"] == "0.080, not called fractured" and facts["true"] == "fractured"
    assert facts["judged"] == "held out of fold 2, by its models"
    assert facts["slice"] == "41 of 64 from the head, file number 41"
    assert facts["study"] == "64 slices, 2.50 mm apart, 512 rows of 0.40 mm, boxed"
    assert facts["findings"] == "padding, sizes-vary" and facts["map"] == "occlusion"


def test_nothing_of_a_case_names_the_study_but_by_its_name_on_the_page() -> None:
    (found,) = cases_section(pd.DataFrame([case_of()]), pd.DataFrame([explained_of(case_of())]), NAMES)
    assert "1.2.3" not in f"{found.title} {found.facts} {found.picture}"


def test_the_box_is_drawn_where_the_table_has_it() -> None:
    plain, over = shown()
    for picture in (plain, over):
        red, green, blue = colour_at(picture, 0.5, 0.375)  # its left edge
        assert red > green > blue and red > 150
    assert np.ptp(colour_at(plain, 0.6, 0.375)) < 12  # grey inside
    without = shown(boxes=np.zeros(0))[0]
    assert np.ptp(without.astype(int), axis=2).max() < 12


def test_the_evidence_is_over_the_slice_where_the_map_has_it_and_nowhere_else() -> None:
    plain, over = shown(boxes=np.zeros(0))
    assert np.abs(colour_at(over, 0.15, 0.85) - colour_at(plain, 0.15, 0.85)).max() > 60
    assert np.abs(colour_at(over, 0.85, 0.15) - colour_at(plain, 0.85, 0.15)).max() < 12


def test_without_a_map_the_slice_alone_is_shown_and_it_is_said_why() -> None:
    case = case_of()
    table = pd.DataFrame([explained_of(case, map=np.zeros(0), how="masking weakens the answer nowhere")])
    (found,) = cases_section(pd.DataFrame([case]), table, NAMES)
    assert len(pictures_of(found.picture)) == 1 and dict(found.facts)["map"] == "masking weakens the answer nowhere"


def test_of_several_slices_the_strip_beside_the_picture_has_the_head_at_the_top() -> None:
    along = np.array([1.0, 0.0, 0.0, 0.0, 0.0], np.float32)
    over = shown(along=along, number=1, slices=15)[1]
    strip = over[:, -STRIP // 2].astype(int).sum(axis=1)
    assert over.shape[1] > PANEL and strip[PANEL // 10] > 400 and strip[-PANEL // 10] < 60


def test_the_alternative_text_says_where_the_map_is_brightest_and_that_a_box_is_outlined() -> None:
    (found,) = cases_section(pd.DataFrame([case_of()]), pd.DataFrame([explained_of(case_of())]), NAMES)
    texts = re.findall(r'alt="([^"]+)"', found.picture)
    assert "lower left" in texts[1] and all("C5" in text and "1 box outlined" in text for text in texts)


def test_a_page_without_pixels_has_the_facts_and_no_picture() -> None:
    cases = pd.DataFrame([case_of(), case_of(rank=2, **{UID: "1.2.4"})])
    found = cases_section(cases, pd.DataFrame([explained_of(case_of())]).iloc[:0], NAMES)
    assert [case.picture for case in found] == ["", ""] and dict(found[1].facts)["slice"].startswith("41 of 64")


@pytest.mark.parametrize(
    ("changes", "name", "wanted"),
    [
        ({"cohort": "test"}, "judged", "test study, by the mean of the folds run; picture and map are of fold 2"),
        ({"thickness": float("nan"), "boxed": False}, "study", "64 slices, 512 rows of 0.40 mm"),
        ({"findings": ""}, "findings", "none"),
        ({"assumed": "2 positives"}, "threshold", "0.310, assumed: 2 positives"),
        ({"kind": "false positive", "truth": 0, "probability": 0.9}, "said", "0.900, called fractured"),
    ],
)
def test_what_is_not_known_is_not_said(changes: dict[str, Any], name: str, wanted: str) -> None:
    case = case_of(**changes)
    (found,) = cases_section(pd.DataFrame([case]), pd.DataFrame([explained_of(case)]), NAMES)
    assert dict(found.facts)[name] == wanted


def test_a_method_of_whole_studies_says_which_of_its_slices_is_shown_and_none_of_the_study() -> None:
    case = case_of(z_index=-1, slice_number=-1)
    table = pd.DataFrame([explained_of(case, number=30, slices=64)])
    (found,) = cases_section(pd.DataFrame([case]), table, NAMES)
    assert dict(found.facts)["slice"] == "31 of the 64 that are read at once"


def test_equal_tables_give_equal_markup_and_none_give_none() -> None:
    tables = pd.DataFrame([case_of()]), pd.DataFrame([explained_of(case_of())])
    assert cases_section(*tables, NAMES) == cases_section(*tables, NAMES)
    assert cases_section(tables[0].iloc[:0], tables[1].iloc[:0], NAMES) == []
    assert "not the fracture" in NOTE

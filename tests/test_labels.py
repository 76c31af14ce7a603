"""Boxes become slice labels; nothing is lost, invented or drawn anew."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from cspine.errors import CspineError
from cspine.labels import LabelConfig, draw_unfractured, label_slices_from_boxes
from cspine.studies import UID, VERTEBRAE
from cspine.tables import read_table, write_table
from small_cohort import boxes_table, many_studies, slices_table, studies_table, study

STUDIES = studies_table(
    study("boxed", "C2 C5", boxed=True, slices=6),
    study("turned", "C1", boxed=True, slices=6, reversed=True),
    study("unboxed", "C3"),
    study("whole-a"),
    study("whole-b"),
    study("whole-c"),
    study("broken", "C4", boxed=True, readable=False),
    study("unlisted", in_csv=False),
    study("asked", cohort="test"),
)
BOXES = boxes_table(("boxed", 11), ("boxed", 12), ("boxed", 12), ("turned", 10))


def labels_of(
    studies: pd.DataFrame = STUDIES, boxes: pd.DataFrame = BOXES, config: LabelConfig | None = None
) -> pd.DataFrame:
    return label_slices_from_boxes(studies, slices_table(studies), boxes, config or LabelConfig())[0]


def test_a_boxed_slice_is_positive_for_every_fractured_vertebra_of_its_study() -> None:
    labels = labels_of()
    boxed = labels[(labels[UID] == "boxed") & (labels["source"] == "box")]
    assert list(boxed["slice_number"]) == [11, 12]  # two boxes on 12 count once
    assert (boxed[["C2", "C5"]] == 1).all(axis=None)
    assert boxed[["C1", "C3", "C4", "C6", "C7"]].sum().sum() == 0


def test_a_box_is_matched_by_file_number_and_not_by_position() -> None:
    labels = labels_of()
    row = labels[(labels[UID] == "turned") & (labels["source"] == "box")]
    assert list(row["slice_number"]) == [10]
    assert list(row["z_index"]) == [5]  # numbered feet to head: the lowest number lies lowest


def test_other_slices_of_boxed_and_all_slices_of_unfractured_studies_are_negative() -> None:
    labels = labels_of()
    rest = labels[labels["source"] != "box"]
    assert rest[list(VERTEBRAE)].sum().sum() == 0
    sources = labels.groupby(UID)["source"].value_counts().to_dict()
    assert sources[("boxed", "unboxed")] == 4
    assert sources[("turned", "unboxed")] == 5
    assert sources[("whole-a", "negative")] == 4


def test_studies_a_model_must_label_or_nobody_can_read_have_no_rows() -> None:
    assert set(labels_of()[UID]) == {"boxed", "turned", "whole-a", "whole-b", "whole-c"}


def test_the_teacher_is_taught_as_many_unfractured_studies_as_boxed_ones() -> None:
    first = labels_of().groupby(UID)["first_round"].agg(["min", "max"])
    assert (first["min"] == first["max"]).all()
    assert (first.loc[["boxed", "turned"], "max"] == 0).all()
    assert (first.loc[["whole-a", "whole-b", "whole-c"], "max"] == 0).sum() == 2


@pytest.mark.parametrize(("unfractured", "studies"), [("all", 3), (1, 1), (0, 0), (99, 3)])
def test_the_number_of_unfractured_studies_can_be_set(unfractured: int | str, studies: int) -> None:
    labels = labels_of(config=LabelConfig(unfractured=unfractured))
    negative = labels[(labels["source"] == "negative") & (labels["first_round"] == 0)]
    assert negative[UID].nunique() == studies


def test_a_larger_draw_holds_the_smaller_and_a_new_study_moves_one_at_most() -> None:
    uids = [f"study-{i}" for i in range(50)]
    draws = [set(draw_unfractured(uids, count, seed=3)) for count in range(51)]
    assert all(small < large for small, large in pairwise(draws))
    assert len(draws[20] - set(draw_unfractured([*uids, "new"], 20, seed=3))) <= 1
    assert draws[20] != set(draw_unfractured(uids, 20, seed=4))


def test_weights_follow_the_source_of_a_slice() -> None:
    config = LabelConfig(weight_box=3.0, weight_unboxed=0.5, weight_negative=1.0)
    weights = labels_of(config=config).groupby("source")["weight"].unique()
    assert {source: list(w) for source, w in weights.items()} == {
        "box": [3.0],
        "unboxed": [0.5],
        "negative": [1.0],
    }


def test_counts_are_conserved_on_a_whole_cohort() -> None:
    studies = many_studies(60, seed=1)
    boxed = studies.loc[studies["boxed"], UID]
    boxes = boxes_table(*[(uid, 10 + i % 4) for i, uid in enumerate(boxed)], *[(uid, 13) for uid in boxed])
    labels = labels_of(studies, boxes)
    unique = boxes.drop_duplicates([UID, "slice_number"])
    assert (labels["source"] == "box").sum() == len(unique) == labels[list(VERTEBRAE)].any(axis=1).sum()
    assert len(labels) == 4 * (len(boxed) + (studies["patient_overall"] == 0).sum())
    assert not labels.duplicated([UID, "slice_number"]).any()


def test_contradictions_between_boxes_and_train_csv_are_reported() -> None:
    odd = [
        study("box-but-whole", boxed=True),
        study("no-vertebra", boxed=True, patient_overall=1),
        study("bad-boxes", "C7", boxed=True),
    ]
    studies = pd.concat([STUDIES, studies_table(*odd)], ignore_index=True)
    boxes = pd.concat([BOXES, boxes_table(("box-but-whole", 10), ("no-vertebra", 10))], ignore_index=True)
    labels, findings = label_slices_from_boxes(studies, slices_table(studies), boxes, LabelConfig())
    assert {(f.StudyInstanceUID, f.code) for f in findings} == {
        ("no-vertebra", "box-without-vertebra"),
        ("bad-boxes", "boxed-without-valid-box"),
    }
    assert (labels.loc[labels[UID] == "box-but-whole", "source"] == "negative").all()
    assert not {"no-vertebra", "bad-boxes"} & set(labels[UID])


@pytest.mark.parametrize("unfractured", ["half", -1, True])
def test_a_wrong_config_names_its_key(unfractured: int | str) -> None:
    with pytest.raises(CspineError, match=rf"labels\.unfractured: found {unfractured!r}"):
        LabelConfig(unfractured=unfractured)


def test_without_any_box_the_unfractured_studies_are_still_labelled() -> None:
    labels = labels_of(boxes=BOXES.iloc[:0])
    assert set(labels["source"]) == {"negative"} and set(labels["first_round"]) == {1}


def test_the_stage_reports_boxes_that_match_nothing(tmp_path: Path) -> None:
    from cspine.stages.label_slices import label_slices

    strays = boxes_table(("nobody", 10), ("boxed", 99))
    paths = {name: tmp_path / f"{name}.parquet" for name in ("studies", "slices", "labels", "findings")}
    write_table(STUDIES, paths["studies"])
    write_table(slices_table(STUDIES).assign(rows=512, columns=512), paths["slices"])
    pd.concat([BOXES, strays]).to_csv(tmp_path / "boxes.csv", index=False)
    label_slices(boxes=tmp_path / "boxes.csv", **paths, config=LabelConfig())
    labels, findings = read_table(paths["labels"]), read_table(paths["findings"])
    assert (labels["source"] == "box").sum() == 3
    assert {"nobody", "boxed"} <= set(findings[UID])
    assert str(labels["C1"].dtype) == "int8" and str(labels["first_round"].dtype) == "int8"

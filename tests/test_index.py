"""The index of slices and studies, and the boxes that can be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cspine.boxes import CONSEQUENCES, check_boxes, read_boxes
from cspine.cache.shards import read_metadata
from cspine.errors import CspineError
from cspine.hashing import shard_of
from cspine.slices import INDEX_COLUMNS
from cspine.stages.index import STUDY_TYPES, index
from cspine.stages.ingest import IngestConfig, ingest
from cspine.stages.inventory import InventoryConfig, inventory
from cspine.tables import read_table
from dicom_makers import write_raw_folder
from small_caches import encoding_file

TRAIN = {"s1": "C2", "s2": "", "s3": "C7", "s4": ""}
SHARDS = 2
TABLES = ("train", "boxes", "test", "sample_submission", "folders", "segmentations")


class Built:
    """A raw folder that went through inventory and ingest."""

    def __init__(self, root: Path, out: Path) -> None:
        self.out = out
        self.tables = {name: out / f"{name}.csv" for name in TABLES}
        lists = {c: [out / f"{c}-{n}.csv" for n in range(SHARDS)] for c in ("train", "test")}
        self.findings = out / "findings.parquet"
        inventory(
            root,
            **self.tables,
            findings=self.findings,
            train_shards=lists["train"],
            test_shards=lists["test"],
            config=InventoryConfig(shards=SHARDS),
        )
        self.shards = [out / f"{c}-{n}.parquet" for c in lists for n in range(SHARDS)]
        for shard, (cohort, listed) in zip(self.shards, [(c, p) for c in lists for p in lists[c]], strict=True):
            places = shard, beside(shard, "studies"), beside(shard, "findings")
            ingest(root, listed, encoding_file(out, 8), *places, config=IngestConfig(cohort=cohort))

    def index(self, **changes: Any) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        outputs: dict[str, Any] = {
            name: self.out / f"index-{name}.parquet" for name in ("slices", "studies", "findings")
        }
        inputs: dict[str, Any] = {**self.tables, "inventory_findings": self.findings, "shards": self.shards}
        shards = changes.get("shards", self.shards)
        inputs["shard_studies"] = [beside(s, "studies") for s in shards]
        inputs["shard_findings"] = [beside(s, "findings") for s in shards]
        index(**{**inputs, **changes}, **outputs)
        slices, studies, findings = (read_table(path) for path in outputs.values())
        return slices, studies, findings


def beside(shard: Path, what: str) -> Path:
    return shard.with_suffix(f".{what}.parquet")


def rewrite(shard: Path, change: Any) -> None:
    """Change a shard's table, its footer kept."""
    table = pq.read_table(shard)
    pq.write_table(change(table), shard)


@pytest.fixture
def built(tmp_path: Path) -> Built:
    root = write_raw_folder(tmp_path / "raw", TRAIN, boxes=[("s1", 2)], masks=["s3"], test=["t1", "t2"], real=True)
    (root / "test_images" / "t2" / "2.dcm").write_bytes(b"")
    for file in (root / "train_images" / "s4").iterdir():
        file.write_bytes(b"not an image")
    (root / "test_images" / "t1").rename(root / "t1")
    (root / "train_images" / "s5").mkdir()
    return Built(root, tmp_path / "out")


def test_every_slice_and_every_study_of_both_cohorts_is_gathered(built: Built) -> None:
    slices, studies, findings = built.index()
    assert slices.columns.tolist() == list(INDEX_COLUMNS)
    counts = slices.groupby(["cohort", "StudyInstanceUID"]).size().to_dict()
    assert counts == {("test", "t2"): 2, ("train", "s1"): 3, ("train", "s2"): 3, ("train", "s3"): 3}
    assert slices["shard"].tolist() == [shard_of(uid, SHARDS) for uid in slices["StudyInstanceUID"]]
    order = slices[["cohort", "StudyInstanceUID", "z_index"]].apply(tuple, axis=1).tolist()
    assert order == sorted(order)

    assert studies.columns.tolist() == list(STUDY_TYPES)
    studies = studies.set_index("StudyInstanceUID")
    assert studies.index.tolist() == ["t1", "t2", "s1", "s2", "s3", "s4", "s5"]
    assert studies["readable"].tolist() == [False, True, True, True, True, False, False]
    reasons = ["no-folder", "", "", "", "", "no-readable-slice", "empty-folder"]
    assert studies["reason"].tolist() == reasons
    assert studies["has_folder"].tolist() == [False, True, True, True, True, True, True]
    assert studies["in_csv"].tolist() == [True, True, True, True, True, True, False]
    assert studies.index[studies["boxed"]].tolist() == ["s1"]
    assert studies.index[studies["segmented"]].tolist() == ["s3"]
    assert studies["patient_overall"].tolist() == [-1, -1, 1, 0, 1, 0, -1]
    assert studies["C1"].tolist() == [-1, -1, 0, 0, 0, 0, -1] and studies["C7"]["s3"] == 1
    assert studies["patient_overall"].dtype == np.int8 and studies["thickness"].dtype == np.float32
    found = set(zip(findings["StudyInstanceUID"], findings["code"], strict=True))
    assert {("t1", "test-without-folder"), ("s5", "empty-folder"), ("t2", "zero-byte-file")} <= found
    assert ("s4", "no-readable-slice") in found


def test_the_index_reads_no_pixels(built: Built) -> None:
    slices, studies, _ = built.index()
    for shard in built.shards:
        rewrite(shard, lambda table: table.drop_columns(["pixels"]))
    again, studies_again, _ = built.index()
    pd.testing.assert_frame_equal(slices, again)
    pd.testing.assert_frame_equal(studies, studies_again)


def test_a_shard_of_another_view_is_named(built: Built) -> None:
    metadata = read_metadata(built.shards[1])
    text = str(metadata | {"pixels": 9}).replace("'", '"')
    rewrite(built.shards[1], lambda table: table.replace_schema_metadata({"cspine": text}))
    with pytest.raises(CspineError, match=r"train-1\.parquet.*pixels 9 instead of 8"):
        built.index()


def largest(built: Built) -> Path:
    return max(built.shards[:SHARDS], key=lambda s: pq.read_metadata(s).num_rows)


def test_a_shard_that_lost_a_row_is_named(built: Built) -> None:
    shard = largest(built)
    rewrite(shard, lambda table: table.slice(0, table.num_rows - 1))
    with pytest.raises(CspineError, match=rf"{shard.name}: study .* has 2 rows where 3 slices were read"):
        built.index()


def test_a_shard_out_of_order_is_named(built: Built) -> None:
    shard = largest(built)
    rewrite(shard, lambda table: table.sort_by([("StudyInstanceUID", "ascending"), ("z_index", "descending")]))
    with pytest.raises(CspineError, match=rf"{shard.name}: z_index of study"):
        built.index()


def test_shards_given_in_the_wrong_order_are_named(built: Built) -> None:
    shards = [built.shards[1], built.shards[0], *built.shards[SHARDS:]]
    with pytest.raises(CspineError, match="belongs to shard"):
        built.index(shards=shards)


def test_a_forgotten_shard_is_noticed(built: Built) -> None:
    with pytest.raises(CspineError, match=r"in no shard|belongs to shard"):
        built.index(shards=built.shards[1:])


# Boxes


def slices_of(*studies: str) -> pd.DataFrame:
    rows = [
        {
            "cohort": "train",
            "StudyInstanceUID": uid,
            "slice_number": n,
            "z_index": n,
            "rows": 100,
            "columns": 80,
        }
        for uid in studies
        for n in range(5)
    ]
    return pd.DataFrame([*rows, {**rows[0], "cohort": "test", "slice_number": 77}])


STUDIES = pd.DataFrame(
    {
        "StudyInstanceUID": ["s1", "s2", "s3", "s1"],
        "cohort": ["train", "train", "train", "test"],
        "patient_overall": [1, 0, 1, -1],
        "readable": [True, True, False, True],
    }
)


def boxes_of(*rows: tuple[Any, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["StudyInstanceUID", "x", "y", "width", "height", "slice_number"])


def test_sound_boxes_are_kept_as_they_are() -> None:
    boxes = boxes_of(("s1", 5.0, 6, 20, 30, 3), ("s1", 0, 0, 80, 100, 1))
    valid, found = check_boxes(boxes, slices_of("s1", "s2"), STUDIES)
    assert valid["slice_number"].tolist() == [1, 3] and found == []
    assert valid.iloc[1].tolist() == ["s1", 5.0, 6.0, 20.0, 30.0, 3]


@pytest.mark.parametrize(
    ("box", "code"),
    [
        (("s1", 1, 2, -3, 4, 1), "box-without-area"),
        (("s1", 1, 2, 3, 0, 1), "box-without-area"),
        (("s1", 90, 2, 3, 4, 1), "box-outside-image"),
        (("s1", -10, 2, 5, 4, 1), "box-outside-image"),
        (("s1", 1, 2, 3, 4, 9), "box-without-slice"),
        (("s1", 1, 2, 3, 4, 77), "box-without-slice"),
        (("s1", 1, float("nan"), 3, 4, 1), "box-not-a-number"),
        (("s1", "x", 2, 3, 4, 1), "box-not-a-number"),
        (("s2", 1, 2, 3, 4, 1), "box-in-unfractured-study"),
        (("s3", 1, 2, 3, 4, 1), "box-in-unreadable-study"),
        (("nobody", 1, 2, 3, 4, 1), "box-unknown-study"),
    ],
)
def test_a_wrong_box_is_left_out_and_told(box: tuple[Any, ...], code: str) -> None:
    valid, found = check_boxes(boxes_of(("s1", 5, 6, 20, 30, 3), box), slices_of("s1", "s2"), STUDIES)
    assert valid["slice_number"].tolist() == [3]
    assert [(f.code, f.StudyInstanceUID) for f in found] == [(code, box[0])]


def test_a_box_over_the_edge_is_cut_and_told() -> None:
    valid, found = check_boxes(boxes_of(("s1", 70, -5, 20, 30, 3)), slices_of("s1"), STUDIES)
    assert valid.iloc[0].tolist() == ["s1", 70, 0, 10, 25, 3]
    assert [f.code for f in found] == ["box-clipped"]


def test_a_box_inside_the_image_keeps_its_fractions_and_is_not_told() -> None:
    valid, found = check_boxes(boxes_of(("s1", 50.1, 30.3, 20.7, 9.9, 3)), slices_of("s1"), STUDIES)
    assert valid.iloc[0].tolist() == ["s1", 50.1, 30.3, 20.7, 9.9, 3] and found == []


def test_of_equal_boxes_one_is_kept() -> None:
    box = ("s1", 5, 6, 20, 30, 3)
    valid, found = check_boxes(boxes_of(box, box), slices_of("s1"), STUDIES)
    assert len(valid) == 1 and [f.code for f in found] == ["box-twice"]


def test_no_boxes_are_no_problem() -> None:
    valid, found = check_boxes(boxes_of(), slices_of("s1"), STUDIES)
    assert valid.empty and found == [] and valid["slice_number"].dtype == np.int32


def test_boxes_are_read_with_their_types(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("StudyInstanceUID,x,y,width,height,slice_number\n1.10,5.5,6,7,8,133\n1.2,wide,6,7,8,2.0\n")
    boxes = read_boxes(path)
    assert boxes["StudyInstanceUID"].tolist() == ["1.10", "1.2"]
    assert boxes["x"].iloc[0] == 5.5 and np.isnan(boxes["x"].iloc[1]) and boxes["slice_number"].tolist() == [133, 2]
    path.write_text("StudyInstanceUID,x\n")
    with pytest.raises(CspineError, match="no column y, width, height, slice_number"):
        read_boxes(path)


def test_every_reason_code_of_boxes_is_explained() -> None:
    text = Path(__file__).parents[1].joinpath("docs/findings.md").read_text(encoding="utf-8")
    assert [code for code in CONSEQUENCES if f"`{code}`" not in text] == []

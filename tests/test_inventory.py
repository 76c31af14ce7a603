"""The listing of the raw folder: snapshots, shards, subsets, and what does not agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cspine import raw_folder
from cspine.errors import CspineError
from cspine.hashing import file_digest, shard_of
from cspine.stages.inventory import CONSEQUENCES, InventoryConfig, inventory
from cspine.tables import read_table
from dicom_makers import write_csv, write_raw_folder

TRAIN = {"s1": "C2 C5", "s2": "", "s3": "C7", "s4": ""}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_raw_folder(tmp_path / "raw", TRAIN, boxes=[("s1", 1), ("s1", 2)], masks=["s3"], slices=12)


def run(root: Path, out: Path, shards: int = 2, manifest: Path | None = None, **config: Any) -> Path:
    tables = ("train", "boxes", "test", "sample_submission", "folders", "segmentations")
    paths = {name: out / f"{name}.csv" for name in tables}
    inventory(
        root,
        **paths,
        findings=out / "findings.parquet",
        train_shards=[out / f"train/shard-{n}.csv" for n in range(shards)],
        test_shards=[out / f"test/shard-{n}.csv" for n in range(shards)],
        manifest=manifest,
        config=InventoryConfig(shards=shards, **config),
    )
    return out


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype="str", keep_default_na=False)


def found(out: Path) -> set[tuple[str, str]]:
    findings = read_table(out / "findings.parquet")
    assert (findings["consequence"] != "").all()
    return set(zip(findings["code"], findings["StudyInstanceUID"], strict=True))


# The raw folder


def test_a_whole_folder_passes_and_every_missing_piece_is_named(root: Path) -> None:
    raw_folder.check_raw_folder(root)
    (root / "train_bounding_boxes.csv").unlink()
    (root / "sample_submission.csv").write_text("row_id\n")
    (root / "test_images").rename(root / "elsewhere")
    with pytest.raises(CspineError) as error:
        raw_folder.check_raw_folder(root)
    for piece in (
        "no folder test_images/",
        "no file train_bounding_boxes.csv",
        "sample_submission.csv has no column fractured",
    ):
        assert piece in str(error.value)
    with pytest.raises(CspineError, match=r"data\.root"):
        raw_folder.check_raw_folder(root / "nowhere")


def test_test_csv_and_segmentations_may_be_absent(tmp_path: Path) -> None:
    root = write_raw_folder(tmp_path / "raw", TRAIN)
    asked = table(root / "test.csv")
    (root / "test.csv").unlink()
    raw_folder.check_raw_folder(root)
    out = run(root, tmp_path / "out")
    assert table(out / "test.csv").equals(asked)
    assert table(out / "segmentations.csv").empty
    assert {("no-test-csv", ""), ("no-masks", "")} == found(out)


def test_the_raw_folder_is_read_without_any_heavy_import() -> None:
    code = "import sys, cspine.raw_folder; print(sorted({'pandas', 'numpy', 'pyarrow', 'pydicom'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_files_are_listed_by_number_and_three_of_a_study_are_probed(root: Path) -> None:
    files = [f for f in raw_folder.listing(root) if f.StudyInstanceUID == "s1"]
    assert [f.file for f in files] == [f"{n}.dcm" for n in range(1, 13)]
    assert [f.file for f in files if f.digest] == ["1.dcm", "7.dcm", "12.dcm"]
    assert {f.cohort for f in raw_folder.listing(root)} == {"train", "test"}


def test_a_probe_sees_the_middle_of_a_file(tmp_path: Path) -> None:
    content = bytearray(100_000)
    path = tmp_path / "file"
    path.write_bytes(content)
    before = raw_folder.probe(path, len(content))
    content[50_000] = 1
    path.write_bytes(content)
    assert raw_folder.probe(path, len(content)) != before
    assert raw_folder.probe(tmp_path / "gone", 10) == ""


@pytest.mark.parametrize("change", ["csv", "folder", "size", "probed content", "mask"])
def test_every_change_of_the_raw_folder_is_observed(root: Path, change: str) -> None:
    before, names_before = raw_folder.observe(root), raw_folder.observe_names(root)
    if change == "csv":
        with (root / "train.csv").open("a") as stream:
            stream.write("s5,0,0,0,0,0,0,0,0\n")
    elif change == "folder":
        (root / "train_images" / "s9").mkdir()
    elif change == "size":
        (root / "train_images" / "s1" / "5.dcm").write_bytes(b"longer than before")
    elif change == "probed content":
        (root / "train_images" / "s1" / "7.dcm").write_bytes(b"S1 7")
    else:
        (root / "segmentations" / "s3.nii").write_bytes(b"S3")
    assert raw_folder.observe(root) != before
    assert (raw_folder.observe_names(root) != names_before) == (change in ("csv", "folder"))


def test_observing_does_not_depend_on_where_the_folder_lies(root: Path, tmp_path: Path) -> None:
    digests = raw_folder.observe(root), raw_folder.observe_names(root)
    root.rename(tmp_path / "moved")
    assert (raw_folder.observe(tmp_path / "moved"), raw_folder.observe_names(tmp_path / "moved")) == digests


def test_a_manifest_gives_every_file_its_full_digest_but_is_not_believed_against_the_disk(root: Path) -> None:
    files = [p for p in root.rglob("*") if p.is_file()]
    rows = [{"path": p.relative_to(root).as_posix(), "size": p.stat().st_size, "digest": file_digest(p)} for p in files]
    manifest = root.parent / "manifest.csv"
    write_csv(manifest, ("path", "size", "digest"), rows)
    assert all(len(f.digest) == 64 for f in raw_folder.listing(root, manifest))
    written = root / "train_images" / "s1" / "2.dcm"
    digests = {f.file: f.digest for f in raw_folder.listing(root, manifest) if f.StudyInstanceUID == "s1"}
    assert digests["2.dcm"] == file_digest(written)
    written.write_bytes(b"of another size")
    changed = {f.file: f.digest for f in raw_folder.listing(root, manifest) if f.StudyInstanceUID == "s1"}
    assert changed.pop("2.dcm") not in ("", digests.pop("2.dcm")) and changed == digests


# The stage


def test_the_tables_are_snapshot_and_every_file_is_in_its_shard(root: Path, tmp_path: Path) -> None:
    out = run(root, tmp_path / "out", shards=3)
    for snapshot, raw in (
        ("train", "train"),
        ("boxes", "train_bounding_boxes"),
        ("sample_submission",) * 2,
        ("test",) * 2,
    ):
        assert table(out / f"{snapshot}.csv").equals(table(root / f"{raw}.csv")[list(table(out / f"{snapshot}.csv"))])
    for cohort, uids in (("train", list(TRAIN)), ("test", ["test-1"])):
        shards = [table(out / cohort / f"shard-{n}.csv") for n in range(3)]
        for uid in uids:
            rows = shards[shard_of(uid, 3)]
            assert rows[rows["StudyInstanceUID"] == uid]["file"].tolist() == [f"{n}.dcm" for n in range(1, 13)]
        assert sum(map(len, shards)) == 12 * len(uids)
    folders = table(out / "folders.csv")
    assert folders.columns.tolist() == ["cohort", "StudyInstanceUID", "files"] and len(folders) == 5
    masks = table(out / "segmentations.csv")
    assert masks["StudyInstanceUID"].tolist() == ["s3"] and masks["file"].tolist() == ["s3.nii"]
    assert found(out) == set()


def test_a_new_study_changes_one_shard_only(root: Path, tmp_path: Path) -> None:
    before = run(root, tmp_path / "before", shards=4)
    write_raw_folder(tmp_path / "one", {"s5": ""}, slices=2)
    (tmp_path / "one" / "train_images" / "s5").rename(root / "train_images" / "s5")
    after = run(root, tmp_path / "after", shards=4)
    changed = [
        n for n in range(4) if table(before / f"train/shard-{n}.csv").size != table(after / f"train/shard-{n}.csv").size
    ]
    assert changed == [shard_of("s5", 4)]
    for n in set(range(4)) - set(changed):
        assert (before / f"train/shard-{n}.csv").read_bytes() == (after / f"train/shard-{n}.csv").read_bytes()


def big_folder(folder: Path) -> Path:
    train = {f"s{n}": "C1" if n % 2 else "" for n in range(80)}
    boxes = [(f"s{n}", 1) for n in range(1, 40, 2)]
    return write_raw_folder(
        folder, train, boxes=boxes, masks=["s1", "s3", "s41"], slices=1, test=[f"t{n}" for n in range(5)]
    )


def test_a_smaller_subset_lies_within_a_larger_one_and_no_stratum_is_lost(tmp_path: Path) -> None:
    root = big_folder(tmp_path / "raw")
    kept: dict[float, set[str]] = {}
    for subset in (0.01, 0.1, 0.2, 0.5, 1.0):
        out = run(root, tmp_path / str(subset), subset=subset)
        kept[subset] = set(table(out / "train.csv")["StudyInstanceUID"])
        boxed, segmented = (set(table(out / f"{n}.csv")["StudyInstanceUID"]) for n in ("boxes", "segmentations"))
        assert boxed and segmented and boxed & segmented and segmented - boxed and boxed | segmented <= kept[subset]
        assert set(table(out / "test.csv")["StudyInstanceUID"]) == {f"t{n}" for n in range(5)}
        folders = table(out / "folders.csv")
        assert set(folders[folders["cohort"] == "train"]["StudyInstanceUID"]) == kept[subset]
        assert (folders["cohort"] == "test").sum() == 5
    assert kept[0.01] <= kept[0.1] < kept[0.2] < kept[0.5] < kept[1.0]
    assert [len(kept[s]) for s in (0.01, 0.1, 0.5, 1.0)] == [5, 10, 41, 80]


def test_another_seed_draws_another_subset(tmp_path: Path) -> None:
    root = big_folder(tmp_path / "raw")
    drawn = [table(run(root, tmp_path / str(s), subset=0.2, seed=s) / "train.csv") for s in (1, 1, 2)]
    assert drawn[0].equals(drawn[1]) and not drawn[0].equals(drawn[2])


def test_folders_and_tables_that_do_not_agree_are_reported(root: Path, tmp_path: Path) -> None:
    write_raw_folder(tmp_path / "more", {"strange": ""}, test=["unasked"], slices=1)
    (tmp_path / "more/train_images/strange").rename(root / "train_images/strange")
    (tmp_path / "more/test_images/unasked").rename(root / "test_images/unasked")
    (root / "test_images" / "s2").mkdir()
    (root / "train_images" / "s4").rename(root / "s4")
    (root / "segmentations" / "nobody.nii").write_bytes(b"mask")
    with (root / "train.csv").open("a") as stream:
        stream.write("s1,0,0,0,0,0,0,0,0\nempty,1,0,0,0,0,0,0,0\n")
    (root / "train_images" / "empty").mkdir()
    with (root / "train_bounding_boxes.csv").open("a") as stream:
        stream.write("nobody,1,2,3,4,5\n")
    with (root / "sample_submission.csv").open("a") as stream:
        stream.write("test-2_C1,0.5\ntest-1_C1,0.5\nsomething,0.5\n")
    out = run(root, tmp_path / "out")
    assert found(out) == {
        ("no-labels", "strange"),
        ("test-not-asked-for", "unasked"),
        ("test-not-asked-for", "s2"),
        ("study-in-both-cohorts", "s2"),
        ("empty-folder", "s2"),
        ("no-folder", "s4"),
        ("mask-of-unknown-study", "nobody"),
        ("boxes-of-unknown-study", "nobody"),
        ("duplicate-other-labels", "s1"),
        ("empty-folder", "empty"),
        ("overall-not-max", "empty"),
        ("row-not-in-test-csv", "test-2"),
        ("test-without-folder", "test-2"),
        ("duplicate-row-id", ""),
        ("unreadable-row-id", ""),
    }
    labels = table(out / "train.csv")
    assert labels["StudyInstanceUID"].tolist() == ["s1", "s2", "s3", "s4", "empty"]
    assert labels["patient_overall"].tolist() == ["1", "0", "1", "0", "1"]
    assert "nobody" not in set(table(out / "boxes.csv")["StudyInstanceUID"])
    assert len(table(out / "sample_submission.csv")) == 11
    asked = table(out / "test.csv").to_numpy().tolist()
    assert ["test-2_C1", "test-2", "C1"] in asked and "something" not in {row[0] for row in asked}


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("train.csv", "s9,1,0,0,0,0,2,0,0", r"train\.csv, line 6: column C5 is '2', expected 0, 1 or a blank"),
        ("train.csv", "s9,1,0,0", r"train\.csv, line 6: column C3 is '\(no cell\)', expected 0, 1 or a"),
        ("train_bounding_boxes.csv", "s1,1,2,wide,4,5", r"boxes\.csv, line 4: column width is 'wide'"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_file_column_and_line(
    root: Path, tmp_path: Path, file: str, line: str, message: str
) -> None:
    with (root / file).open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(CspineError, match=message):
        run(root, tmp_path / "out")


def test_a_subset_outside_0_to_1_is_refused() -> None:
    for subset in (0, -0.5, 1.5):
        with pytest.raises(CspineError, match=r"data\.subset"):
            InventoryConfig(subset=subset)


def test_every_reason_code_of_the_inventory_is_explained() -> None:
    text = Path(__file__).parents[1].joinpath("docs/findings.md").read_text(encoding="utf-8")
    assert [code for code in CONSEQUENCES if f"`{code}`" not in text] == []

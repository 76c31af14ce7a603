"""Other people's CSVs and folders become the competition's layout: nothing is lost, guessed or left half done."""

from __future__ import annotations

import csv
import json
import os
import re
import stat
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from cspine import raw_folder
from cspine.cli import main
from cspine.errors import CspineError
from cspine.importing.hashed_uids import hashed_uid
from cspine.importing.sources import WORDS
from cspine.phantom.study_files import make_study
from cspine.studies import LABELS, UID
from dicom_makers import write_raw_folder, write_study
from test_ingest import listing as list_files
from test_ingest import run as run_ingest
from test_masks import CONFIG, PLANS, run_stage

COLUMNS = ("accession", "any_fracture", *(f"fx_c{n}" for n in range(1, 8)))
MAPPED = ("--study", "accession", "--columns", "patient_overall=any_fracture", *(f"C{n}=fx_c{n}" for n in range(1, 8)))


def write_lines(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def foreign(workplace: Path) -> Path:
    """A folder with labels.csv and images/ as nobody at Kaggle would have them."""
    for name in ("a", "b", "c", "stray"):
        write_study(workplace / "images" / name / "series", [0, -1, -2])
    (workplace / "images" / "notes.txt").write_text("who knows")
    rows = [
        "a,yes,NO,True,,0,0,0,0",
        "b,0,na,,,,,,",
        "gone,0,0,0,0,0,0,0,0",
        ",1,1,0,0,0,0,0,0",
        "",
        "c,1.0,0,0,0,0,,,1",
    ]
    write_lines(workplace / "labels.csv", ",".join(COLUMNS), *rows, "b,0,na,,,,,,", "c,0,0,0,0,0,0,0,0")
    return workplace


def imported(*words: str) -> Path:
    assert main(["import", "labels.csv", "images", *MAPPED, *words]) == 0
    return Path("data/own")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def codes_of(out: Path) -> Counter[str]:
    return Counter(row["code"] for row in rows_of(out / "import_findings.csv"))


def test_labels_of_any_spelling_become_0_1_and_blank(foreign: Path) -> None:
    out = imported()
    raw_folder.check_raw_folder(out)
    first = rows_of(out / "train.csv")[0]
    assert list(first) == [UID, *LABELS]
    assert list(first.values()) == ["a", "1", "0", "1", "", "0", "0", "0", "0"]
    assert rows_of(out / "train_bounding_boxes.csv") == rows_of(out / "test.csv") == []
    assert not (out / "segmentations").exists()


def test_every_row_and_folder_is_imported_or_has_a_finding(foreign: Path) -> None:
    out = imported()
    assert [row[UID] for row in rows_of(out / "train.csv")] == ["a", "b", "c", "b", "c"]
    assert codes_of(out) == {
        "import-row-without-study": 1,
        "import-row-without-folder": 1,
        "import-folder-without-row": 1,
        "import-duplicate-row": 1,
        "import-duplicate-other-labels": 1,
        "import-other-file": 1,
    }
    assert sorted(p.name for p in (out / "train_images").iterdir()) == ["a", "b", "c", "stray"]
    record = json.loads((out / "import.json").read_text())
    assert record["columns"]["patient_overall"] == "any_fracture" and record["counts"]["rows"] == 5
    assert str(foreign) not in (out / "import.json").read_text()


def test_obvious_spellings_need_no_options(foreign: Path) -> None:
    write_lines(Path("plain.csv"), "study_instance_uid;Patient Overall;c1;c2;c3;c4;c5;c6;c7", "a;1;1;0;0;0;0;0;0")
    assert main(["import", "plain.csv", "images"]) == 0
    assert list(rows_of(Path("data/own/train.csv"))[0].values()) == ["a", "1", "1", *"000000"]


def test_a_column_that_cannot_be_told_is_answered_with_a_command_that_works(
    foreign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "labels.csv", "images"]) == 1
    printed = capsys.readouterr().err
    assert (
        "found no column for StudyInstanceUID, patient_overall, C1" in printed and "accession, any_fracture" in printed
    )
    command = re.findall(r"^ +python -m cspine (import .*)$", printed, re.MULTILINE)[0]
    assert main(command.split()) == 0
    assert json.loads(Path("data/own/import.json").read_text())["columns"] == dict(
        zip((UID, *LABELS), COLUMNS, strict=True)
    )


def test_a_label_without_a_column_is_unknown_of_every_study(foreign: Path) -> None:
    out = imported("--columns", "C7=")
    assert {row["C7"] for row in rows_of(out / "train.csv")} == {""}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--columns", "C1=fx_c9"), "has no column fx_c9 (for C1); did you mean fx_c"),
        (("--columns", "C1=fx_c2"), "column fx_c2 is there twice, or given for several names"),
        (("--columns", "C8=fx_c2"), "found 'C8=fx_c2', expected NAME=COLUMN"),
        (("--hash-key", "a.key"), "--hash-key: given without --hash-uids"),
        (("--hash-uids", "--hash-key", "data/own/a.key"), "expected a place outside"),
        (("--test", "images2"), "--test: found no folder images2"),
        (("--out", "images/own"), "lies in images, which is imported"),
        (("--out", "images"), "expected a folder that is not there, or an empty one"),
    ],
)
def test_a_wrong_option_is_answered_and_nothing_is_written(
    foreign: Path, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "labels.csv", "images", *MAPPED, *words]) == 1
    assert message in capsys.readouterr().err
    assert not Path("data").exists() and not Path("images/own").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,2,0,0,0,0,0,0,0", "line 10: column any_fracture is '2'; expected 0 or 1, true or false"),
        ("a,1,0,0,0,none,0,0,0", "line 10: column fx_c4 is 'none'"),
        ("a,1,0", "line 10: 3 cells, expected 9"),
    ],
)
def test_a_value_that_is_no_label_is_named_with_line_and_column(
    foreign: Path, line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("labels.csv").open("a") as stream:
        stream.write(line + "\n")
    assert main(["import", "labels.csv", "images", *MAPPED]) == 1
    assert message in capsys.readouterr().err
    assert set(WORDS.values()) == {"0", "1", ""}


def test_labels_of_no_folder_at_all_are_an_error_that_shows_both_names(
    foreign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lines(Path("labels.csv"), ",".join(COLUMNS), "x1,0,0,0,0,0,0,0,0")
    assert main(["import", "labels.csv", "images", *MAPPED]) == 1
    assert "the first row names x1, the first folder is a" in capsys.readouterr().err


def test_boxes_and_masks_come_with_their_study_or_have_a_finding(foreign: Path) -> None:
    boxes = ["a,1,2,3,4,2", "a,1,wide,3,4,2", "gone,1,2,3,4,2"]
    write_lines(Path("boxes.csv"), "accession,left,top,w,h,slice_number", *boxes)
    Path("masks").mkdir()
    for name in ("a.nii.gz", "stray.nii", "read.me"):
        (Path("masks") / name).write_bytes(b"mask")
    names = ("--box-columns", "x=left", "y=top", "width=w", "height=h")
    out = imported("--boxes", "boxes.csv", *names, "--masks", "masks")
    assert [list(row.values()) for row in rows_of(out / "train_bounding_boxes.csv")] == [["a", "1", "2", "3", "4", "2"]]
    assert [m.file for m in raw_folder.masks(out)] == ["a.nii.gz"]
    found = codes_of(out)
    assert found["import-box-unreadable"] == found["import-box-of-unknown-study"] == 1
    assert found["import-mask-of-unknown-study"] == 1 and found["import-other-file"] == 2


def test_test_studies_are_asked_for_with_every_label(foreign: Path) -> None:
    write_study(Path("new/t1"), [0, -1])
    out = imported("--test", "new")
    assert [row["row_id"] for row in rows_of(out / "sample_submission.csv")] == [f"t1_{label}" for label in LABELS]
    assert rows_of(out / "test.csv")[0] == {"row_id": "t1_patient_overall", UID: "t1", "prediction_type": LABELS[0]}


def test_a_test_study_whose_name_breaks_a_row_id_is_refused_unless_names_are_hashed(
    foreign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(Path("new/t_1"), [0, -1])
    assert main(["import", "labels.csv", "images", *MAPPED, "--test", "new"]) == 1
    assert "study t_1 has one in its name; use --hash-uids" in capsys.readouterr().err
    assert len(rows_of(imported("--test", "new", "--hash-uids") / "test.csv")) == len(LABELS)


# Hashed names


def test_a_hashed_name_is_a_valid_uid_that_only_the_key_gives() -> None:
    names = {hashed_uid(f"1.2.{n}", bytes(32)) for n in range(200)}
    assert len(names) == 200
    for name in names:
        assert re.fullmatch(r"2\.25\.(0|[1-9][0-9]*)", name) and len(name) <= 64  # DICOM PS3.5 B.2, and 9.1
    assert hashed_uid("1.2.3", bytes(32)) != hashed_uid("1.2.3", bytes(31) + b"\1")


def test_two_imports_with_one_key_agree_and_the_key_is_the_owners_and_outside(foreign: Path) -> None:
    out = imported("--hash-uids")
    key = Path("data/own.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    first = (out / "train.csv").read_text()
    imported("--hash-uids", "--out", "again", "--hash-key", str(key))
    assert Path("again/train.csv").read_text() == first
    imported("--hash-uids", "--out", "other")
    assert Path("other/train.csv").read_text() != first and Path("other.key").read_text() != key.read_text()


def test_no_file_of_a_hashed_copy_names_a_study(foreign: Path) -> None:
    write_lines(Path("boxes.csv"), "accession,x,y,width,height,slice_number", "gone,1,2,3,4,2", "a,1,2,3,4,1")
    for name in ("a", "b", "c", "stray"):
        Path("images", name).rename(Path("images", f"neck-of-{name}"))
    for path in (Path("labels.csv"), Path("boxes.csv")):
        head, *lines = path.read_text().splitlines()
        write_lines(path, head, *(f"neck-of-{line}" if line[:1] not in ("", ",") else line for line in lines))
    out = imported("--hash-uids", "--copy", "--boxes", "boxes.csv")
    files = [p for p in out.rglob("*") if p.is_file()]
    assert len(files) == 6 + 12 and not any(p.is_symlink() for p in out.rglob("*"))
    assert not [p for p in out.rglob("*") if "neck-of" in p.name]
    assert not [p for p in files if p.suffix != ".dcm" and "neck-of" in p.read_text()]
    assert len({row[UID] for row in rows_of(out / "train.csv")}) == 3


def test_what_is_no_key_is_refused(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(Path("a.key"), "secret")
    assert main(["import", "labels.csv", "images", *MAPPED, "--hash-uids", "--hash-key", "a.key"]) == 1
    assert "found no key; expected 64 hexadecimal digits" in capsys.readouterr().err


# Whole or not at all


def test_a_dry_run_writes_nothing_and_says_what_it_would(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imported("--dry-run", "--hash-uids")
    printed = capsys.readouterr().out
    assert "rows: 5" in printed and "import-duplicate-row" in printed and "any_fracture" in printed
    assert not Path("data").exists()


def test_a_folder_that_holds_something_is_left_alone(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = imported()
    before = sorted(out.rglob("*"))
    assert main(["import", "labels.csv", "images", *MAPPED]) == 1
    assert "found an earlier import; remove it first" in capsys.readouterr().err
    assert sorted(out.rglob("*")) == before


def test_an_import_that_was_killed_leaves_no_folder_and_the_same_command_makes_it(foreign: Path) -> None:
    command = [sys.executable, "-m", "cspine", "import", "labels.csv", "images", *MAPPED]
    killed = subprocess.run(command, env={**os.environ, "CSPINE_FAULT": "import-before-rename:1"}, check=False)
    assert killed.returncode == -9 and not Path("data/own").exists()
    Path("data/own").mkdir()  # an empty folder is as good as none
    imported()
    assert [p.name for p in Path("data").iterdir()] == ["own"]
    assert all(p.exists() for p in Path("images").rglob("*"))  # what it was linked to is untouched


def test_an_error_in_the_middle_leaves_nothing(foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(root: Path) -> None:
        raise CspineError(f"{root.name} is not complete")

    monkeypatch.setattr("cspine.importing.layout.check_raw_folder", broken)
    assert main(["import", "labels.csv", "images", *MAPPED]) == 1
    assert list(Path("data").iterdir()) == []


# Linked study folders


@pytest.fixture
def linked(tmp_path: Path) -> tuple[Path, Path]:
    """A folder in the competition's layout and one whose study folders and masks are links into it."""
    root = write_raw_folder(tmp_path / "raw", {"s1": "C2", "s2": ""}, boxes=[("s1", 1)], masks=["s1"], real=True)
    words = [str(root / "train.csv"), str(root / "train_images"), "--boxes", str(root / "train_bounding_boxes.csv")]
    words += ["--masks", str(root / "segmentations"), "--test", str(root / "test_images")]
    assert main(["import", *words, "--out", str(tmp_path / "own")]) == 0
    assert all(p.is_symlink() for p in (tmp_path / "own/train_images").iterdir())
    return root, tmp_path / "own"


def test_a_linked_folder_is_listed_and_read_like_the_one_it_leads_to(linked: tuple[Path, Path], tmp_path: Path) -> None:
    root, own = linked
    assert list(raw_folder.listing(own)) == list(raw_folder.listing(root))
    assert raw_folder.masks(own) == raw_folder.masks(root)
    assert raw_folder.observe_names(own) != ""
    files = list_files(root, tmp_path / "list.csv")
    plain, followed = run_ingest(root, tmp_path / "plain", files), run_ingest(own, tmp_path / "followed", files)
    assert (plain / "shard.parquet").read_bytes() == (followed / "shard.parquet").read_bytes()
    assert len(pd.read_parquet(followed / "shard.parquet")) == 6


def test_a_change_behind_a_link_is_observed(linked: tuple[Path, Path]) -> None:
    root, own = linked
    before = raw_folder.observe(own)
    (root / "train_images/s1/2.dcm").write_bytes(b"another")
    assert raw_folder.observe(own) != before


def test_a_linked_mask_is_laid_over_its_study_like_the_one_it_leads_to(workplace: Path) -> None:
    root = workplace / "raw"
    make_study(replace(PLANS[0], uid="1.2.1", segmented=True), CONFIG, root)
    write_lines(workplace / "labels.csv", ",".join((UID, *LABELS)), "1.2.1,0,0,0,0,0,0,0,0")
    words = ["import", "labels.csv", "raw/train_images", "--masks", "raw/segmentations", "--out", "own"]
    assert main(words) == 0
    tables = []
    for place in (root, workplace / "own"):
        (workplace / place.name / "out").mkdir()
        tables.append(run_stage(workplace / place.name / "out", place, ["1.2.1"]))
    assert len(tables[0]["presence"]) > 20
    for name in ("presence", "masks", "findings"):
        pd.testing.assert_frame_equal(tables[0][name], tables[1][name])

"""Nothing but a whole, unaltered result is an answer or an input; what is wrong with one is named and made again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cspine import store
from cspine.cli import main
from cspine.store import records
from cspine.tables import write_table
from sessions import FOLDS, Session, made, ran

STUDIES = Path("results/studies.parquet")


@pytest.fixture
def session(tmp_path: Path, studies: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Session:
    """assign_folds made once, from a results/studies.parquet that is itself a result of the store."""
    session = Session(tmp_path / "s", studies, monkeypatch)
    STUDIES.unlink()
    folder = Path("work/index/0123456789abcdef0123")
    folder.mkdir(parents=True)
    write_table(studies, folder / "studies.parquet")
    request = store.Request("index", "c", {}, {}, {"studies": [STUDIES]}, record={"at": ""})
    store.put_in_place(folder, request, store.commit(folder, request, {}))
    session.run()
    return session


def overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def becomes_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "x").write_text("x")


def lacking(*names: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        done = json.loads(path.read_text())
        for name in names:
            done["outputs"]["folds"][0].pop(name, None)
            done.pop(name, None)
        path.write_text(json.dumps(done))

    return change


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("folds.parquet", lambda path: overwrite(path, path.read_bytes()[:-10])),
        ("folds.parquet", lambda path: overwrite(path, b"")),
        ("folds.parquet", lambda path: overwrite(path, path.read_bytes()[:-1] + b"x")),
        ("folds.parquet", Path.unlink),
        ("folds.parquet", becomes_a_folder),
        ("done.json", lambda path: path.write_bytes(path.read_bytes()[:100])),
        ("done.json", lambda path: path.write_bytes(b"")),
        ("done.json", lambda path: path.write_bytes(b"\xff\xfe\x00")),
        ("done.json", lambda path: path.write_text("{}")),
        ("done.json", lambda path: path.write_text("[1]")),
        ("done.json", lacking("outputs")),
        ("done.json", lacking("digest")),
        ("done.json", lacking("inode")),
        ("done.json", becomes_a_folder),
    ],
    ids=[
        "truncated", "emptied", "altered", "missing", "a folder",
        "record truncated", "record emptied", "record no text", "record without keys", "record a list",
        "record without outputs", "record without digest", "record without inode", "record a folder",
    ],
)  # fmt: skip
def test_whatever_is_damaged_is_named_and_made_again_once(
    session: Session, file: str, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    whole, folder = FOLDS.read_bytes(), made(FOLDS)
    damage(folder / file)
    assert store.lookup(folder) is None
    assert session.run() == folder and ran(folder) == 2
    assert str(folder / file) in capsys.readouterr().err
    assert FOLDS.read_bytes() == whole and store.lookup(folder) is not None
    assert session.run() == folder and ran(folder) == 2


def test_nothing_is_made_from_an_input_that_was_altered_in_the_store(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(FOLDS)
    stored = STUDIES.resolve()
    overwrite(stored, stored.read_bytes()[:-1] + b"x")
    call = ["assign_folds", "--studies", str(STUDIES), "--folds", str(FOLDS), "--config", "{}"]
    assert main(call) == 1
    printed = capsys.readouterr().err
    assert f"input {STUDIES}: {stored} was altered since it was made; nothing is made from it" in printed
    assert [path.name for path in Path("work/assign_folds").iterdir()] == [folder.name]


def test_a_store_that_was_moved_is_read_once_and_then_known_again(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(STUDIES.resolve(), (1, 1))
    os.utime(FOLDS.resolve(), (1, 1))
    folder = session.run()
    assert ran(folder) == 1

    def no_digest(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(records, "file_digest", no_digest)
    assert session.run() == folder


def test_a_declared_place_taken_by_a_folder_is_an_error_that_names_it(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    FOLDS.unlink()
    FOLDS.mkdir()
    block = json.dumps({"count": 5, "select": 0.2, "seed": 7})
    call = ["assign_folds", "--studies", str(STUDIES), "--folds", str(FOLDS), "--config", block]
    assert main(call) == 1
    assert f"output {FOLDS}: found a folder; expected a free place" in capsys.readouterr().err


# -- outputs that are folders ------------------------------------------------------------------------------------------


@pytest.fixture
def tree(session: Session) -> Path:
    """A result whose output is a folder of files, as the phantom's is."""
    folder = Path("work/make_phantom/0123456789abcdef0123")
    (folder / "data/deep").mkdir(parents=True)
    (folder / "data/deep/1.dcm").write_text("one")
    (folder / "data/train.csv").write_text("table")
    request = store.Request("make_phantom", "c", {}, {}, {"data": [Path("data/phantom")]}, record={"at": ""})
    store.put_in_place(folder, request, store.commit(folder, request, {}))
    return folder


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: overwrite(data / "deep/1.dcm", b"two"),
        lambda data: (data / "deep/1.dcm").unlink(),
        lambda data: (data / "deep/2.dcm").write_text("more"),
    ],
    ids=["altered", "missing", "one more"],
)
def test_a_file_deep_in_a_folder_of_the_store_counts(tree: Path, damage: Callable[[Path], None]) -> None:
    assert store.lookup(tree) is not None
    damage(tree / "data")
    assert store.lookup(tree) is None
    store.discard_damaged(tree)
    assert not (tree / "data").exists() and store.read_done(tree) is None


def test_what_a_lost_record_leaves_can_be_written_over(tree: Path) -> None:
    (tree / store.DONE).unlink()
    request = store.Request("make_phantom", "c", {}, {}, {"data": [Path("data/phantom")]}, record={"at": ""})
    store.begin(tree, request, "")
    assert (tree / "data/deep/1.dcm").stat().st_mode & 0o200


def test_a_stage_does_not_write_through_a_link_that_a_lost_record_leaves(tree: Path, tmp_path: Path) -> None:
    (tree / "data").rename(tmp_path / "mounted")
    (tree / "data").symlink_to(tmp_path / "mounted")
    (tree / store.DONE).unlink()
    request = store.Request("make_phantom", "c", {}, {}, {"data": [Path("data/phantom")]}, record={"at": ""})
    store.begin(tree, request, "")
    assert not os.path.lexists(tree / "data") and (tmp_path / "mounted/train.csv").stat().st_mode & 0o222 == 0

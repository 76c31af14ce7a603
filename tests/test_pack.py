"""`cspine pack`: one archive without links, from which the next session goes on."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from cspine import store
from cspine.cli import main
from cspine.store import archives, locks, needs, roots
from sessions import FOLDS, Session, Start, made, mount, ran

ARCHIVE = Path("cspine-work.tar")
BEGUN = Path("work/train/0123456789abcdef0123")


@pytest.fixture
def session(start: Start) -> Session:
    """A session with a finished result, one that nothing needs any more, and a training that was cut off."""
    session = start("s1")
    session.run(seed=8)
    session.run()
    (BEGUN / "scratch").mkdir(parents=True)
    (BEGUN / "segments").mkdir()
    (BEGUN / "segments/0000.json").write_text("{}")
    for step in (2, 4, 6):
        with zipfile.ZipFile(BEGUN / f"scratch/step-{step:08d}.pt", "w") as checkpoint:
            checkpoint.writestr("content", str(step))
    torn = BEGUN / "scratch/step-00000006.pt"
    torn.write_bytes(torn.read_bytes()[:9])
    (BEGUN / "scratch/step-00000008.pt.tmp").write_bytes(b"half")
    (BEGUN / "scratch/batch.json").write_text("16")
    with locks.locked(BEGUN):
        store.write_json(BEGUN / store.REQUEST, {"stage": "train", "at": "fold=0", "inputs": {}})
    return session


def names(archive: Path = ARCHIVE) -> set[str]:
    with tarfile.open(archive) as stream:
        return set(stream.getnames())


def test_it_holds_what_results_show_and_the_newest_checkpoint_and_no_locks(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pack"]) == 0
    kept = made(FOLDS)
    result = {f"{kept}/{name}" for name in ("done.json", "folds.parquet", "log.txt")}
    begun = {f"{BEGUN}/{name}" for name in ("request.json", "segments/0000.json")}
    begun |= {f"{BEGUN}/scratch/{name}" for name in ("batch.json", "step-00000004.pt")}
    assert names() == {"work/needs.json"} | result | begun
    printed = capsys.readouterr().out
    assert "left out: assign_folds, 1 folder, " in printed and "nothing in results/ needs it" in printed
    assert [line.split()[:3] for line in printed.splitlines() if line.startswith(("assign_folds", "train"))] == [
        ["assign_folds", "1", "0"],
        ["train", "0", "1"],
    ]


def test_the_next_session_goes_on_from_the_archive_alone(session: Session, start: Start, tmp_path: Path) -> None:
    assert main(["pack", "--output", str(tmp_path / "moved.tar")]) == 0
    shutil.rmtree(session.folder)
    assert ran(start("s2").enter([tmp_path / "moved.tar"]).run()) == 0
    with tarfile.open(tmp_path / "moved.tar") as archive:  # or unpacked by hand
        if hasattr(tarfile, "data_filter"):  # from Python 3.11.4 on
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(tmp_path / "by hand")
    assert ran(start("s3").enter([tmp_path / "by hand"]).run()) == 0


def test_with_no_results_folder_every_finished_result_is_packed(session: Session) -> None:
    shutil.rmtree("results")
    assert main(["pack"]) == 0
    assert len([name for name in names() if name.endswith("done.json")]) == 2


def test_the_same_store_packs_to_the_same_bytes(session: Session) -> None:
    assert main(["pack"]) == 0
    first = ARCHIVE.read_bytes()
    os.utime(next(BEGUN.rglob("batch.json")), (1, 1))
    assert main(["pack"]) == 0
    assert ARCHIVE.read_bytes() == first


def test_a_dry_run_only_says_what_would_be_packed(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", "--dry-run"]) == 0
    assert not ARCHIVE.exists() and "cspine-work.tar would be written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        (["--leave-out", "train"], {"assign_folds"}),
        (["--leave-out", "ingest,train"], {"assign_folds"}),
        (["--only", "train"], {"train"}),
    ],
)
def test_stages_can_be_left_out(session: Session, options: list[str], stages: set[str]) -> None:
    assert main(["pack", *options]) == 0
    assert {name.split("/")[1] for name in names()} == stages | {"needs.json"}


def test_what_lies_in_an_earlier_sessions_folder_is_named_as_a_need_or_packed_on_request(
    session: Session, start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = mount(session.folder)
    second = start("s2").enter([first], copy_mb=0)
    folder = second.run()
    assert main(["pack", "--include-linked"]) == 0
    with tarfile.open(ARCHIVE) as archive:
        assert archive.getmember(f"{folder}/folds.parquet").isreg()
    begun = second.folder / BEGUN
    shutil.copytree(first / BEGUN, begun)
    assert main(["pack"]) == 0
    assert f"{folder}/done.json" not in names()
    assert "in an earlier session's folder: mount that too, or --include-linked" in capsys.readouterr().out
    third = start("s3").enter([second.folder / ARCHIVE, first])
    assert needs.unmet(roots.roots()) == [] and ran(third.run()) == 0
    first.rename(tmp_path / "away")
    start("s4").enter([second.folder / ARCHIVE])
    (line,) = needs.unmet(roots.roots())
    assert line.startswith(f"{second.folder / ARCHIVE} needs 1 file, ") and f"of {first}/work" in line


def test_a_damaged_result_is_left_out_and_named(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    victim = FOLDS.resolve()
    victim.chmod(0o644)
    victim.write_bytes(b"x")
    assert main(["pack"]) == 0
    assert f"{made(FOLDS) / victim.name} was altered since it was made" in capsys.readouterr().out
    assert not any(name.endswith("done.json") for name in names())


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_one_line_and_leaves_the_last_archive_whole(
    session: Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pack"]) == 0
    before = ARCHIVE.read_bytes()
    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    assert main(["pack"]) == 1
    printed = capsys.readouterr().err
    assert "no room for cspine-work.tar: it takes" in printed and "Traceback" not in printed
    assert ARCHIVE.read_bytes() == before and not list(Path().glob("*.tmp"))


def test_a_file_replaced_by_a_run_at_work_is_packed_as_it_is_then(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, newer = archives.write, BEGUN / "scratch/step-00000009.pt"

    def replaced(path: Path, members: list[archives.Member]) -> None:
        if not newer.exists():  # between planning and packing the training saves, and drops its oldest checkpoints
            (BEGUN / "scratch/step-00000004.pt").rename(newer)
        write(path, members)

    monkeypatch.setattr(archives, "write", replaced)
    assert main(["pack"]) == 0
    assert f"{BEGUN}/scratch/step-00000009.pt" in names()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--leave-out", "ingset"], "no stage 'ingset'; the stages are:"),
        (["--output", "work/a.tar"], "--output work/a.tar: lies in work/"),
        (["--output", "nowhere/a.tar"], "found no folder nowhere"),
        (["--only", "predict_slices"], "work/ holds nothing to pack"),
    ],
)
def test_a_wrong_call_is_one_line(
    session: Session, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pack", *options]) == 1
    printed = capsys.readouterr().err
    assert words in printed and "Traceback" not in printed


def test_needs_of_an_archive_are_plain(session: Session) -> None:
    assert main(["pack"]) == 0
    with tarfile.open(ARCHIVE) as archive:
        content = archive.extractfile("work/needs.json")
        assert content is not None and json.load(content) == {"needs": []}

"""Results and checkpoints of earlier sessions: found by key, verified once, copied or linked to, never written to."""

from __future__ import annotations

import errno
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from cspine import store
from cspine.cli import main
from cspine.errors import CspineError
from cspine.store import archives, elsewhere, needs, records, roots
from sessions import CONFIG, FOLDS, Session, Start, look, made, mount, ran


@pytest.fixture
def first(start: Start) -> Path:
    """The mounted output of a session that has finished assign_folds."""
    session = start("s1")
    session.run()
    return mount(session.folder)


def no_digest(path: Path) -> str:
    raise AssertionError(f"{path} was read again")


# -- results -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copy_mb", [64, 0])
def test_a_result_of_an_earlier_session_is_found_and_nothing_there_is_touched(
    start: Start, first: Path, copy_mb: float, capsys: pytest.CaptureFixture[str]
) -> None:
    before = look(first)
    folder = start("s2").enter([first], copy_mb).run()
    assert ran(folder) == 0 and f"assign_folds: found in {first}/work" in capsys.readouterr().err
    assert look(first) == before
    done, there = store.read_done(folder), store.read_done(first / folder)
    assert done is not None and there is not None
    assert done["from"] == str(first / "work") and done["costs"] == there["costs"]
    assert (folder / "log.txt").read_text().startswith((first / folder / "log.txt").read_text())
    file = folder / "folds.parquet"
    assert file.is_symlink() == (copy_mb == 0) and file.resolve().stat().st_mode & 0o222 == 0


def test_what_was_found_once_is_found_again_without_reading_it(
    start: Start, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = start("s2").enter([first], copy_mb=0)
    session.run()
    digest = store.content_digest(FOLDS)
    for module in (records, elsewhere):
        monkeypatch.setattr(module, "file_digest", no_digest)
    assert store.content_digest(FOLDS) == digest  # as the input of another stage
    assert store.lookup(made(FOLDS)) is not None
    assert [root.name for root in roots.roots() if root.done(made(FOLDS))] == [str(first / "work")]


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing", "no record"])
def test_a_damaged_result_is_named_and_the_next_place_is_asked(
    start: Start, first: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(first, bad)
    victim = next(bad.glob("work/*/*/" + ("done.json" if damage == "no record" else "folds.parquet")))
    victim.parent.chmod(0o755)
    whole = victim.read_bytes()
    victim.unlink()
    if damage != "missing":
        victim.write_bytes(whole[:-1] + (b"x" if damage == "altered" else b""))
    folder = start("s2").enter([bad, first]).run()
    assert ran(folder) == 0 and store.lookup(folder) is not None
    printed = capsys.readouterr().err
    assert str(victim) in printed and f"found in {first}/work" in printed
    assert ran(start("s3").enter([bad]).run()) == 1  # with no other place it is made


@pytest.mark.parametrize("copy_mb", [64, 0])
def test_a_search_that_is_cut_off_leaves_no_result_and_the_next_one_finds_it(
    start: Start, first: Path, copy_mb: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = start("s2").enter([first], copy_mb)

    def cut_off(*_: object) -> str:
        raise KeyboardInterrupt

    for place in ("cspine.store.elsewhere.file_digest", "cspine.store.finish"):
        with monkeypatch.context() as patch:
            patch.setattr(place, cut_off)
            with pytest.raises(KeyboardInterrupt):
                session.run()
        (folder,) = Path("work/assign_folds").iterdir()
        assert store.lookup(folder) is None and not list(folder.glob(".*.tmp"))
    assert ran(session.run()) == 0 and store.lookup(folder) is not None


def test_a_full_disk_here_is_no_fault_of_the_place(
    start: Start, first: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = start("s2").enter([first])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        block = json.dumps(CONFIG)
        assert main(["assign_folds", "--studies", "results/studies.parquet", "--folds", str(FOLDS), "--config", block])
    assert "looked for in the next place" not in capsys.readouterr().err
    assert not list(Path("work/assign_folds").glob("*/segments")) and ran(session.run()) == 0


def test_of_a_result_finished_in_two_sessions_the_first_place_counts(start: Start, first: Path) -> None:
    second = start("s2")
    second.run()
    folder = start("s3").enter([second.folder, first]).run()
    done = store.read_done(folder)
    assert done is not None and done["from"] == str(second.folder / "work")


def test_another_key_is_not_found(start: Start, first: Path) -> None:
    assert ran(start("s2").enter([first]).run(seed=8)) == 1


def test_a_result_of_a_finished_session_replaces_what_was_begun_here(start: Start, first: Path) -> None:
    session = start("s2")
    folder = next(path.relative_to(first) for path in first.glob("work/assign_folds/*"))
    (folder / "scratch").mkdir(parents=True)
    store.write_json(folder / store.REQUEST, {"stage": "assign_folds"})
    assert session.enter([first]).run() == folder
    assert not (folder / "scratch").exists() and store.read_request(folder) is None


@pytest.mark.parametrize("copy_mb", [64, 0])
def test_an_output_that_is_a_folder_is_copied_or_linked_to_as_a_whole(
    start: Start, tmp_path: Path, copy_mb: float
) -> None:
    folder = Path("work/make_phantom/0123456789abcdef0123")
    session = start("s1")
    (folder / "data/deep").mkdir(parents=True)
    (folder / "data/deep/1.dcm").write_text("one")
    request = store.Request("make_phantom", "c", {}, {}, {"data": [Path("data/phantom")]}, record={"at": ""})
    store.commit(folder, request, {})
    first = mount(session.folder)
    before = look(first)
    start("s2").enter([first], copy_mb)
    folder.mkdir(parents=True)
    done = elsewhere.fetch(folder)
    assert done is not None and (folder / "data").is_symlink() == (copy_mb == 0)
    store.put_in_place(folder, request, done)
    assert Path("data/phantom/deep/1.dcm").read_text() == "one" and store.lookup(folder) is not None
    store.remove(folder / "data")  # as for a user who may not write into read-only folders
    assert look(first) == before and store.lookup(folder) is None


# -- links, and chains of sessions -------------------------------------------------------------------------------------


def test_links_into_a_folder_that_is_no_longer_there_are_named_and_looked_for_again(
    start: Start, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = start("s2").enter([first], copy_mb=0)
    folder = session.run()
    first.rename(tmp_path / "mounted elsewhere")
    session.enter([tmp_path / "mounted elsewhere"], copy_mb=0).run()
    assert f"leads to {first / folder / 'folds.parquet'}, which is not there" in capsys.readouterr().err
    assert ran(folder) == 0 and FOLDS.resolve().is_relative_to(tmp_path / "mounted elsewhere")
    shutil.rmtree(tmp_path / "mounted elsewhere")
    session.enter().run()
    assert ran(folder) == 1 and FOLDS.resolve().is_relative_to(session.folder)


def chain(start: Start, first: Path, how: str, tmp_path: Path) -> Path:
    """The second session's mounted output, which only links to the first one's file; ``how`` a platform keeps links."""
    second = start("s2").enter([first], copy_mb=0)
    second.run()
    output = tmp_path / "output of s2"
    shutil.copytree(second.folder, output, symlinks=how != "followed")
    if how == "dropped":
        for path in [p for p in output.rglob("*") if p.is_symlink()]:
            path.unlink()
    return mount(output)


@pytest.mark.parametrize("how", ["kept", "dropped", "followed"])
@pytest.mark.parametrize("order", ["newest first", "oldest first"])
def test_the_third_session_of_a_chain_recomputes_nothing(
    start: Start, first: Path, tmp_path: Path, how: str, order: str
) -> None:
    second = chain(start, first, how, tmp_path)
    places = [second, first] if order == "newest first" else [first, second]
    before = look(first), look(second)
    folder = start("s3").enter(places, copy_mb=0).run()
    assert ran(folder) == 0 and (look(first), look(second)) == before
    holder = second if how == "followed" and order == "newest first" else first
    assert FOLDS.resolve() == (holder / folder / "folds.parquet")  # one link far, not by way of the second session
    assert [(need.root, need.stage, need.files) for need in needs.read()] == [(str(holder / "work"), "assign_folds", 1)]


def test_a_link_that_an_output_has_lost_is_no_news_unless_no_place_has_the_file(
    start: Start, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = chain(start, first, "dropped", tmp_path)
    capsys.readouterr()
    start("s3").enter([second, first]).run()
    assert "is missing" not in capsys.readouterr().err
    folder = start("s4").enter([second]).run()
    assert f"{second / folder}/folds.parquet is missing" in capsys.readouterr().err and ran(folder) == 1


def test_what_a_session_needs_is_known_when_its_links_are_gone(start: Start, first: Path) -> None:
    folder = start("s2").enter([first], copy_mb=0).run()
    (folder / "folds.parquet").unlink()
    assert [need.root for need in needs.read()] == [str(first / "work")]


def test_a_store_may_lie_behind_a_link(
    start: Start, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = start("s2")
    (tmp_path / "kept/work").mkdir(parents=True)
    Path("work").symlink_to(tmp_path / "kept/work")
    folder = session.enter([first], copy_mb=0).run()
    assert ran(folder) == 0 and (tmp_path / "kept" / folder / "folds.parquet").is_symlink()
    done = store.read_done(folder)
    assert done is not None
    done["outputs"]["folds"][0]["mtime_ns"] += 1  # the mount came back with other times
    store.write_json(folder / store.DONE, done)
    assert store.lookup(folder) is not None
    monkeypatch.setattr(records, "file_digest", no_digest)
    assert store.lookup(folder) is not None and store.content_digest(FOLDS)


def test_a_followed_link_stands_in_for_a_session_that_is_not_mounted(start: Start, first: Path, tmp_path: Path) -> None:
    second = chain(start, first, "followed", tmp_path)
    shutil.rmtree(first)
    session = start("s3").enter([second])
    assert needs.unmet(roots.roots()) == [] and ran(session.run()) == 0


@pytest.mark.parametrize("how", ["kept", "dropped"])
def test_a_place_that_needs_another_one_says_which_and_how_much(
    start: Start, first: Path, tmp_path: Path, how: str
) -> None:
    second = chain(start, first, how, tmp_path)
    session = start("s3")
    session.enter([second, first])
    assert needs.unmet(roots.roots()) == []
    first.rename(tmp_path / "away")
    session.enter([second])
    (line,) = needs.unmet(roots.roots())
    assert line.startswith(f"{second}/work needs 1 file, ") and f" of {first}/work: mount it" in line
    assert line.endswith("add it to resume_from, or assign_folds is made again")
    session.enter([second, tmp_path / "away"])
    assert needs.unmet(roots.roots()) == []


def test_a_result_made_here_since_is_no_need_any_more(start: Start, first: Path) -> None:
    session = start("s2").enter([first], copy_mb=0)
    folder = session.run()
    assert len(needs.read()) == 1
    shutil.rmtree(folder)
    session.enter().run()
    assert needs.read() == []


# -- checkpoints -------------------------------------------------------------------------------------------------------

FOLDER = Path("work/train/0123456789abcdef0123")


def begun(session: Session, *steps: int, host: str = "h") -> Path:
    """A training of that session that was cut off, with a checkpoint at each of ``steps``."""
    folder = session.folder / FOLDER
    (folder / "scratch").mkdir(parents=True)
    (folder / "segments").mkdir()
    for step in steps:
        with zipfile.ZipFile(folder / f"scratch/step-{step:08d}.pt", "w") as checkpoint:
            checkpoint.writestr("content", f"{session.folder.name} {step}")
    (folder / "scratch/batch.json").write_text(session.folder.name)
    (folder / "segments/0000.json").write_text(json.dumps({"host": host, "start": 1.0, "seconds": 2.0}))
    (folder / "log.txt").write_text(f"log of {session.folder.name}\n")
    store.write_json(folder / store.REQUEST, {"stage": "train"})
    return session.folder


def kept(folder: Path = FOLDER / "scratch") -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_furthest_of_several_unfinished_trainings_is_copied_whole(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [mount(begun(start(name), *steps)) for name, steps in (("a", (2, 4)), ("b", (6, 8)), ("c", (5,)))]
    before = [look(place) for place in places]
    start("d").enter(places)
    FOLDER.mkdir(parents=True)
    elsewhere.fetch_checkpoints(FOLDER)
    assert kept() == {"step-00000006.pt", "step-00000008.pt", "batch.json"}
    assert (FOLDER / "scratch/batch.json").read_text() == "b"
    assert (FOLDER / "log.txt").read_text() == "log of b\n" and ran(FOLDER) == 1
    assert f"train: what was begun in {places[1]}/work is copied" in capsys.readouterr().err
    assert [look(place) for place in places] == before


def test_what_is_further_here_stays_and_what_is_less_far_is_replaced(start: Start) -> None:
    there = begun(start("a"), 3, 5, host="a")
    here = start("b")
    begun(here, 7, host="b")
    here.enter([there])
    elsewhere.fetch_checkpoints(FOLDER)
    assert kept() == {"step-00000007.pt", "batch.json"}
    (FOLDER / "scratch/step-00000007.pt").rename(FOLDER / "scratch/step-00000004.pt")
    elsewhere.fetch_checkpoints(FOLDER)
    assert kept() == {"step-00000003.pt", "step-00000005.pt", "batch.json"}
    assert (FOLDER / "scratch/batch.json").read_text() == "a"  # the machines' batches are not mixed


def test_a_checkpoint_cut_short_is_named_and_the_one_before_it_is_taken(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    there = begun(start("a"), 3, 5)
    torn = there / FOLDER / "scratch/step-00000005.pt"
    torn.write_bytes(torn.read_bytes()[:20])
    start("b").enter([there])
    FOLDER.mkdir(parents=True)
    elsewhere.fetch_checkpoints(FOLDER)
    assert kept() == {"step-00000003.pt", "batch.json"}
    assert f"checkpoint {torn} is cut short" in capsys.readouterr().err


def test_a_place_that_cannot_be_read_is_named_and_the_next_one_is_taken(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = begun(start("a"), 9), begun(start("b"), 3)
    start("c").enter([bad, good])
    FOLDER.mkdir(parents=True)
    copyfile = shutil.copyfile

    def failing(source: Path, target: Path) -> object:
        if Path(source).is_relative_to(bad):
            raise OSError(errno.EIO, "Input/output error", str(source))
        return copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", failing)
    elsewhere.fetch_checkpoints(FOLDER)
    assert kept() == {"step-00000003.pt", "batch.json"} and not (FOLDER / "scratch.tmp").exists()
    assert f"what was begun in {bad}/work is left aside" in capsys.readouterr().err


def test_a_torn_checkpoint_elsewhere_does_not_replace_a_whole_one_here(start: Start) -> None:
    there = begun(start("a"), 3, 9)
    torn = there / FOLDER / "scratch/step-00000009.pt"
    torn.write_bytes(torn.read_bytes()[:20])
    here = start("b")
    begun(here, 5)
    here.enter([there])
    elsewhere.fetch_checkpoints(FOLDER)
    assert kept() == {"step-00000005.pt", "batch.json"} and kept(FOLDER) >= {"scratch"}
    assert not (FOLDER / "scratch.tmp").exists()


def test_a_copy_that_was_cut_off_is_made_again_from_the_start(start: Start) -> None:
    there = begun(start("a"), 3)
    start("b").enter([there])
    (FOLDER / "scratch.tmp").mkdir(parents=True)  # what a kill while copying leaves
    (FOLDER / "scratch.tmp/step-00000099.pt").write_bytes(b"half")
    elsewhere.fetch_checkpoints(FOLDER)
    assert kept() == {"step-00000003.pt", "batch.json"}


def test_costs_of_all_machines_add_up_and_each_segment_counts_once(start: Start) -> None:
    a = begun(start("a"), 3, host="a")
    b = start("b").enter([a])
    FOLDER.mkdir(parents=True)
    elsewhere.fetch_checkpoints(FOLDER)
    shutil.rmtree(FOLDER / "scratch")  # lost, and fetched again
    elsewhere.fetch_checkpoints(FOLDER)
    assert ran(FOLDER) == 1 and (FOLDER / "log.txt").read_text() == "log of a\n"
    store.write_json(FOLDER / store.REQUEST, {"stage": "train"})  # and goes on here
    (FOLDER / "segments/0001.json").write_text(json.dumps({"host": "b", "start": 2.0, "seconds": 1.0}))
    start("c").enter([b.folder, a])
    FOLDER.mkdir(parents=True)
    elsewhere.fetch_checkpoints(FOLDER)
    hosts = [json.loads(path.read_text())["host"] for path in sorted((FOLDER / "segments").iterdir())]
    assert hosts == ["a", "b"]


def test_of_stages_without_steps_the_one_with_most_parts_is_furthest(start: Start) -> None:
    places = []
    for name, count in (("a", 1), ("b", 3), ("c", 2)):
        scratch = start(name).folder / "work/predict_slices/0123456789abcdef0123/scratch"
        scratch.mkdir(parents=True)
        for part in range(count):
            (scratch / f"part-{part}.parquet").write_text(name)
        store.write_json(scratch.parent / store.REQUEST, {"stage": "predict_slices"})
        places.append(scratch.parents[3])
    start("d").enter(places)
    folder = Path("work/predict_slices/0123456789abcdef0123")
    folder.mkdir(parents=True)
    elsewhere.fetch_checkpoints(folder)
    assert kept(folder / "scratch") == {"part-0.parquet", "part-1.parquet", "part-2.parquet"}


# -- archives ----------------------------------------------------------------------------------------------------------


def packed(session: Path, archive: Path) -> Path:
    files = [path for path in sorted((session / "work").rglob("*")) if path.is_file() and path.name != "lock"]
    archives.write(archive, [(str(path.relative_to(session)), path) for path in files])
    return archive


@pytest.mark.parametrize("copy_mb", [64, 0])
def test_a_result_is_unpacked_from_an_archive_and_no_other(start: Start, tmp_path: Path, copy_mb: float) -> None:
    session = start("s1")
    wanted = session.run()
    session.run(seed=8)
    archive = packed(session.folder, tmp_path / "s1.tar")
    content = archive.read_bytes()
    folder = start("s2").enter([archive], copy_mb).run()
    assert folder == wanted and ran(folder) == 0 and not FOLDS.resolve().is_symlink()
    assert sorted(path.name for path in folder.iterdir()) == ["done.json", "folds.parquet", "lock", "log.txt"]
    assert len(list(Path("work/assign_folds").iterdir())) == 1 and archive.read_bytes() == content


def test_checkpoints_are_unpacked_from_an_archive(start: Start, tmp_path: Path) -> None:
    archive = packed(begun(start("a"), 3, 5), tmp_path / "a.tar")
    start("b").enter([archive])
    FOLDER.mkdir(parents=True)
    elsewhere.fetch_checkpoints(FOLDER)
    assert kept() == {"step-00000003.pt", "step-00000005.pt", "batch.json"} and ran(FOLDER) == 1
    assert not (FOLDER / "unpacked.tmp").exists()


def test_equal_content_packs_to_equal_bytes(start: Start, first: Path, tmp_path: Path) -> None:
    assert packed(first, tmp_path / "a.tar").read_bytes() == packed(first, tmp_path / "b.tar").read_bytes()


def member(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.linkname = "/etc/hostname" if kind == tarfile.SYMTYPE else ""
    return entry


@pytest.mark.parametrize(
    "entry",
    [
        member("/train/k/done.json"),
        member("work/train/k/../../../done.json"),
        member("home/done.json"),
        member("work/train/k/done.json", tarfile.SYMTYPE),
        member("work/train/k/fifo", tarfile.FIFOTYPE),
    ],
    ids=["absolute", "upwards", "beside", "link", "pipe"],
)
def test_an_archive_with_anything_but_plain_files_below_work_is_refused(
    workplace: Path, entry: tarfile.TarInfo
) -> None:
    with tarfile.open("evil.tar", "w:") as archive:
        archive.addfile(entry)
    with pytest.raises(CspineError, match="plain files below work/ only"):
        archives.read(workplace / "evil.tar", "work/train/k/done.json")


def test_an_archive_cut_short_is_an_error_that_names_it(start: Start, first: Path, tmp_path: Path) -> None:
    archive = packed(first, tmp_path / "s1.tar")
    archive.write_bytes(archive.read_bytes()[:-12000])
    with pytest.raises(CspineError, match=r"s1\.tar cannot be read as an archive of `cspine pack`"):
        archives.read(archive, "work/needs.json")
    with pytest.raises(CspineError, match=r"resume_from: .*s1\.tar: found a file that is no archive"):
        start("s2").enter([archive])


# -- the config key ----------------------------------------------------------------------------------------------------


def test_an_entry_is_a_work_folder_or_what_holds_it_or_an_archive(start: Start, first: Path, tmp_path: Path) -> None:
    archive = packed(first, tmp_path / "s1.tar")
    for given in ("s1", "s1/work", "s1/work/", "./s2/../s1", str(first)):
        assert roots.places_of(given, tmp_path) == [str(first / "work")], given
    assert roots.places_of(["s1.tar", "s1"], tmp_path) == [str(archive), str(first / "work")]


def test_an_experiments_earlier_session_is_found_below_the_same_entry(start: Start, first: Path) -> None:
    base = first.parent
    session = start("s2")
    own = session.folder / "experiments/evidence"
    shutil.copytree(first / "work", own / "work")
    assert roots.places_of("s2", base, Path("experiments/evidence")) == [str(own / "work")]
    assert roots.places_of("s1", base, Path("experiments/evidence")) == [str(first / "work")]
    # and the experiment of a project may look things up in the project's own store
    own.joinpath("work").rename(session.folder / "work")
    own.joinpath("work").mkdir()
    assert roots.places_of(".", session.folder, Path("experiments/evidence")) == [str(session.folder / "work")]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("s3", "resume_from: s3: found no {0}/s3; {0} holds s1, s2; expected the work/ folder"),
        ("s1/results", "resume_from: s1/results: found a folder without results: it holds folds.parquet, studies"),
        ("s1/results/studies.parquet", "found a file that is no archive of `cspine pack`"),
        ("outer", "Did you mean {0}/outer/s1/work?"),
        ("s2", "resume_from: s2: found the store that this run works in; leave it out"),
    ],
)
def test_a_wrong_entry_is_an_error_that_says_what_is_there(
    start: Start, first: Path, tmp_path: Path, given: str, words: str
) -> None:
    start("s2").run()
    if given == "outer":
        (tmp_path / "outer").mkdir()
        (tmp_path / "outer/s1").symlink_to(first)
    with pytest.raises(CspineError) as raised:
        roots.places_of(given, tmp_path, Path("s2"))
    assert words.format(tmp_path) in str(raised.value)

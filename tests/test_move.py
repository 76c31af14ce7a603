"""The work goes on in another place: a store that was moved, may only be read and has lost its times and .snakemake."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest

from chains import Chain, Command, in_one_process
from cspine import faults, runtime
from cspine.cli import main
from cspine.store import needs, roots
from rerun_rows import MICRO
from sessions import look, mount
from smoke_projects import ROOT, Project, smoke_project

pytestmark = pytest.mark.workflow

MODEL = "results/semi_supervised/fold-0/round-0/model.safetensors"


# -- the workflow itself, at smoke size --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moved:
    """A finished session as the next one finds it, and what a user has apart from it."""

    mounted: Path  # holds its work/ alone: read-only, in another place, every time another
    code: Path  # the checkout it ran in, with nothing that a run leaves
    submission: bytes
    model: bytes

    def checkout(self, folder: Path) -> Project:
        """A fresh checkout of the same code."""
        return Project(Path(shutil.copytree(self.code, folder)))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Moved:
    project = smoke_project(tmp_path_factory, "old")
    submission, model = project.read("results/submission.csv"), project.read(MODEL)
    mounted = tmp_path_factory.mktemp("mounted") / "last run"
    mounted.mkdir()
    (project.folder / "work").rename(mounted / "work")
    for name in (".snakemake", "data", "logs", "results"):
        shutil.rmtree(project.folder / name)
    return Moved(mount(mounted), project.folder, submission, model)


def beside(old: Moved, *more: str) -> list[str]:
    """``--config`` with the mounted folder in resume_from."""
    return ["submission", "--config", f"resume_from={old.mounted}", *(["set=" + " ".join(more)] if more else [])]


@pytest.fixture(scope="module")
def new(old: Moved, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str, bool]:
    """A fresh checkout, run with the mounted folder; what it printed, and whether nothing was touched there."""
    before = look(old.mounted)
    project = old.checkout(tmp_path_factory.mktemp("new") / "run")
    printed = project.run(*beside(old, "store.copy_mb=0.5"))
    return project, printed, look(old.mounted) == before


def test_nothing_is_made_again_and_nothing_there_is_touched(old: Moved, new: tuple[Project, str, bool]) -> None:
    project, printed, untouched = new
    assert project.executed({}) == set() and untouched
    assert project.read("results/submission.csv") == old.submission
    assert f"found in {old.mounted}/work, copied" in printed and f"found in {old.mounted}/work, left there" in printed
    assert "1 of 1 steps" in project.run(*beside(old, "store.copy_mb=0.5"))  # the second time only the score is shown
    assert (project.folder / "data/phantom/train.csv").is_file()  # its folder stayed in the mounted one


def test_what_must_be_mounted_next_is_written_down(old: Moved, new: tuple[Project, str, bool]) -> None:
    with chdir(new[0].folder):
        listed = needs.read()
    assert {need.root for need in listed} == {str(old.mounted / "work")}
    assert {"make_phantom", "train"} <= {need.stage for need in listed}


def test_a_session_whose_large_files_are_not_mounted_says_so_before_planning(
    old: Moved, new: tuple[Project, str, bool], tmp_path: Path
) -> None:
    second = Path(shutil.copytree(new[0].folder / "work", tmp_path / "second/work", symlinks=True)).parent
    third = old.checkout(tmp_path / "third")
    away = old.mounted.rename(old.mounted.with_name("away"))
    try:
        alone = third.run("-n", "submission", "--config", f"resume_from={second}")
        both = third.run("-n", "submission", "--config", f'resume_from=["{second}","{away}"]')
    finally:
        away.rename(old.mounted)
    needs_it = f"{second}/work needs "
    (line,) = [line for line in alone.splitlines() if line.startswith(needs_it)]
    assert f"of {old.mounted}/work: mount it and add it to resume_from, or make_phantom, train is made again" in line
    assert needs_it not in both


def test_one_changed_key_runs_exactly_its_chain(old: Moved, new: tuple[Project, str, bool]) -> None:
    project, before = new[0], look(old.mounted)
    project.forget()
    project.run(*beside(old, "store.copy_mb=0.5", "methods.semi_supervised.aggregate.clip=[0.3]"))
    assert project.executed({}) == {"aggregate_studies", "write_submission", "score"}
    assert look(old.mounted) == before


def test_a_place_that_is_not_there_stops_before_any_job(new: tuple[Project, str, bool]) -> None:
    project = new[0]
    printed = project.run("-n", "submission", "--config", "resume_from=presets/nowhere", ok=False)
    assert "resume_from: presets/nowhere: found no " in printed and "presets holds " in printed
    assert "Traceback" not in printed


def test_the_profile_for_kaggle_is_a_whole_one(old: Moved, new: tuple[Project, str, bool]) -> None:
    printed = new[0].run(*beside(old), "-n", "--workflow-profile", "profiles/kaggle")
    assert "Using workflow specific profile profiles/kaggle" in printed and "profiles/default" not in printed


def test_an_experiments_relative_paths_count_from_where_the_user_called(
    old: Moved, new: tuple[Project, str, bool]
) -> None:
    project = new[0]
    (project.folder / "mounted").symlink_to(old.mounted)
    command = ("-n", "evidence", "--configfile", "presets/evidence.yaml", "--config")
    project.run(*command, "resume_from=mounted")
    printed = project.run(*command, "resume_from=experiments/evidence", ok=False)
    assert "resume_from: experiments/evidence: found " in printed


@pytest.mark.slow
def test_a_training_killed_in_one_session_goes_on_in_the_next_and_ends_in_the_same_bytes(
    old: Moved, tmp_path: Path
) -> None:
    data = tmp_path / "data only"  # the earlier session's results up to the training
    shutil.copytree(old.mounted, data, symlinks=True)
    for stage in ("train", "predict_slices"):
        (data / "work").chmod(0o755)
        for path in (data / "work" / stage).rglob("*"):
            path.chmod(0o755)
        shutil.rmtree(data / "work" / stage)
    often = f"resume_from={data}", "set=runtime.checkpoint_steps=3"
    first = old.checkout(tmp_path / "first")
    first.run(MODEL, "--configfile", "presets/smoke.yaml", "--config", *often, ok=False, CSPINE_FAULT="train-step:8")
    assert first.executed({}) == {"train"}
    before = look(mount(first.folder))
    second = old.checkout(tmp_path / "second")
    places = f'resume_from=["{first.folder}","{data}"]'
    printed = second.run(MODEL, "--configfile", "presets/smoke.yaml", "--config", places)
    assert f"what was begun in {first.folder}/work is copied" in printed
    assert "train: goes on at epoch 1, step" in printed
    assert second.read(MODEL) == old.model and look(first.folder) == before
    done = json.loads(next(second.folder.glob("work/train/*/done.json")).read_text())
    assert done["costs"]["segments"] == 2  # of both machines


# -- several sessions, in one process ----------------------------------------------------------------------------------


def segments(command: Command) -> int:
    """How many times the command's stage ran in this folder: a hit leaves no segment."""
    return len(list(Path("work", command.stage).glob("*/segments/*.json")))


class Sessions:
    """Sessions that run the same chain in one folder each."""

    def __init__(self, base: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base, self.chain, self._patch = base, chain, monkeypatch

    def run(
        self, name: str, *resume_from: Path, folds: str = "[0]", copy_mb: float = 0, until: Command | None = None
    ) -> list[Command]:
        """Run the chain (``until`` a command) in the folder ``name``; returns the commands that executed."""
        folder = self.base / name
        folder.mkdir(exist_ok=True)
        places = roots.places_of([str(place) for place in resume_from], folder)
        self._patch.setenv(roots.VARIABLE, json.dumps(places))
        self._patch.setenv(roots.COPY_MB, str(copy_mb))
        settings = f"folds.run={folds}"
        config, executed = self.chain.config(settings), []
        commands = self.chain.commands(settings)  # said by Snakemake, in the chain's own folder
        with chdir(folder), in_one_process():
            for command in itertools.takewhile(lambda command: command != until, commands):
                before = segments(command)
                assert main(list(command.under(config))) == 0, command.words
                executed += [command] * (segments(command) > before)
        return executed

    def killed_in_training(self, name: str, *resume_from: Path, step: int) -> None:
        """Run the chain up to its first training, which dies at ``step``."""
        commands = self.chain.commands("folds.run=[0]")
        training = next(command for command in commands if command.stage == "train")
        self.run(name, *resume_from, until=training)
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT / "src"),
            runtime.VARIABLE: json.dumps({"checkpoint_steps": 1}), faults.VARIABLE: f"train-step:{step}",
        }  # fmt: skip
        died = subprocess.run(
            [sys.executable, "-m", "cspine", *training.under(self.chain.config("folds.run=[0]"))],
            cwd=self.base / name, env=environment, capture_output=True,
        )  # fmt: skip
        assert died.returncode == -signal.SIGKILL, died.stderr[-3000:]

    def end(self, name: str) -> Path:
        """The session's output, mounted."""
        return mount((self.base / name).rename(self.base / f"output of {name}"))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    yield Chain(tmp_path_factory.mktemp("chain"), MICRO, "submission")


@pytest.fixture
def sessions(tmp_path: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    return Sessions(tmp_path, chain, monkeypatch)


def test_three_sessions_in_a_chain_and_two_whose_folds_are_merged_train_nothing_twice(sessions: Sessions) -> None:
    made = sessions.run("first")
    first = sessions.end("first")
    submission = (first / "results/submission.csv").read_bytes()

    # the second trains another fold, and finds the data in the first; its large results stay there
    by_second = sessions.run("second", first, folds="[1]")
    assert {command.stage for command in made} - {command.stage for command in by_second} == {
        "make_phantom", "inventory", "plan_cache", "ingest", "list_shards", "index", "label_slices", "label_presence",
        "audit_studies", "assign_folds",
    }  # fmt: skip
    assert {command.at["fold"] for command in by_second if "fold" in command.at} == {"1"}
    second = sessions.end("second")

    # the third has both folds, from both; nothing but what averages them is made
    before = look(first), look(second)
    assert {command.stage for command in sessions.run("third", second, first, folds="[0, 1]")} == {
        "write_submission",
        "score",
    }
    third = sessions.end("third")

    # the fourth wants the first's fold again: by way of the third's links, then of nothing but copies
    assert sessions.run("fourth", third, second, first, copy_mb=64) == []
    assert (sessions.base / "fourth/results/submission.csv").read_bytes() == submission
    assert (look(first), look(second)) == before
    assert not [path for path in (sessions.base / "fourth/work").glob("*/*/*") if path.is_symlink()]


def test_a_training_killed_in_one_session_goes_on_in_the_next_from_its_checkpoint(
    sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions.run("whole")
    whole = (sessions.base / "whole" / MODEL).read_bytes()
    sessions.killed_in_training("first", step=2)
    first = sessions.end("first")
    before = look(first)
    executed = sessions.run("second", first)
    printed = capsys.readouterr().err
    assert f"what was begun in {first}/work is copied" in printed and "train: goes on at epoch 1, step 1" in printed
    assert (sessions.base / "second" / MODEL).read_bytes() == whole and look(first) == before
    assert executed[0].name == "train 0 0"
    done = json.loads((sessions.base / "second" / MODEL).resolve().parent.joinpath("done.json").read_text())
    assert done["costs"]["segments"] == 2  # of both machines

"""kill -9 at the worst moments, torn checkpoints, orphans and a second run: the same command ends in the same bytes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from cspine import runtime
from runs_alive import Run, holder, state, until
from smoke_projects import Project, smoke_project
from training_makers import Noise, config_of, trained

FOLD = "results/semi_supervised/fold-0"
RESULTS = ("results/submission.csv", f"{FOLD}/round-0/model.safetensors", f"{FOLD}/round-1/model.safetensors")
OFTEN = ("submission", "--config", "set=runtime.checkpoint_steps=3")
# in the order in which a training comes by them; each run goes on where the one before was killed
MOMENTS = {
    "train-step:5": "in a step",
    "checkpoint-half-written:2": "half of a checkpoint's bytes written",
    "checkpoint-before-rename:1": "before a rename",
    "output-protected:1": "between two outputs",
    "before-done:1": "all outputs there, the record not",
    "link-before-rename:2": "during linking, the first output in its place",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return smoke_project(tmp_path_factory, "kills")


def results(project: Project) -> dict[str, bytes]:
    return {path: project.read(path) for path in RESULTS}


def retrain(project: Project) -> None:
    """Have the models made again."""
    for stage in ("train", "predict_slices"):
        shutil.rmtree(project.folder / "work" / stage)


@pytest.mark.workflow
def test_killed_at_six_moments_the_same_command_ends_in_the_same_bytes(project: Project) -> None:
    wanted = results(project)
    retrain(project)
    for moment in MOMENTS:
        assert "a job failed, see above" in project.run(*OFTEN, ok=False, CSPINE_FAULT=moment), MOMENTS[moment]
    project.run(*OFTEN)
    assert results(project) == wanted
    left = [path for place in ("work", "results") for path in (project.folder / place).rglob("*.tmp")]
    assert left == []


def test_the_kills_came_at_their_moments(project: Project) -> None:
    logs = [path.read_text() for path in (project.folder / "work/train").glob("*/log.txt")]
    assert len(logs) == 2
    teacher = max(logs, key=len)
    assert len(re.findall("python -m cspine train", teacher)) == 6  # of the last kill the result was there already
    assert "goes on at epoch 1, step 3 (3 steps done)" in teacher


@pytest.fixture(scope="module")
def stopped(project: Project) -> Iterator[tuple[Run, int, Path]]:
    """A run whose training has stopped in its fifth step (SIGSTOP), the training's process id and its folder."""
    retrain(project)
    run = Run(project, *OFTEN, CSPINE_FAULT="train-step:5:SIGSTOP")
    work, found = project.folder / "work/train", list[tuple[Path, int]]()

    def has_stopped() -> bool:
        held = [(folder, holder(folder)) for folder in work.glob("*")]
        found[:] = [(folder, pid) for folder, pid in held if pid is not None and state(pid) == "T"]
        return bool(found) or run.process.poll() is not None

    until(has_stopped, "a training that has stopped")
    assert found, run.printed()[-6000:]
    yield run, found[0][1], found[0][0]
    for pid in (found[0][1], run.process.pid):
        if state(pid) == "T" or run.process.poll() is None:
            os.kill(pid, signal.SIGKILL)
    run.end()


def links(project: Project) -> list[str]:
    return sorted(f"{p} -> {p.readlink()}" for p in (project.folder / "results").rglob("*") if p.is_symlink())


@pytest.mark.workflow
def test_a_second_run_with_another_config_changes_nothing_and_a_dry_run_beside_is_fine(
    project: Project, stopped: tuple[Run, int, Path]
) -> None:
    before = links(project), project.segments()
    printed = project.run("submission", "--config", "set=labels.weight_box=3", ok=False)
    assert "another run is at work in this folder; nothing was changed" in printed
    assert "Traceback" not in printed and "will be" not in printed
    project.run("-n", "submission")
    assert (links(project), project.segments()) == before


@pytest.mark.workflow
def test_an_orphaned_training_is_waited_for_and_stops_by_itself(
    project: Project, stopped: tuple[Run, int, Path]
) -> None:
    run, trainer, folder = stopped
    run.kill_alone()
    assert state(trainer) == "T"  # the job has outlived its workflow
    following = Run(project, *OFTEN)
    following.until_printed(f"is in use by process {trainer} on")
    os.kill(trainer, signal.SIGCONT)
    assert following.end() == 0, following.printed()[-6000:]
    assert state(trainer) == ""
    assert "the workflow that started it is gone" in (folder / "log.txt").read_text()
    assert "train: goes on at epoch 1, step 5 (5 steps done)" in following.printed()  # the orphan saved what it had
    first, second = (json.loads(path.read_text()) for path in sorted((folder / "segments").glob("*.json")))
    rounding = 0.11  # a segment's start is recorded to a tenth of a second
    assert first["start"] + first["seconds"] <= second["start"] + rounding  # at no time two trainings in one folder


# -- torn checkpoints ----------------------------------------------------------------------------------------------

PLAIN = config_of()


@pytest.fixture
def cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a training that was cut off with two checkpoints."""
    monkeypatch.setenv(runtime.VARIABLE, '{"checkpoint_steps": 2, "device": "cpu"}')
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", Noise(22, dies_at=30), PLAIN)
    assert len(list((tmp_path / "cut").glob("*.pt"))) == 2
    return tmp_path / "cut"


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "garbage": lambda content: bytes(byte ^ 0x5A for byte in content),
}


@pytest.mark.parametrize("tear", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize("torn", [1, 2])
def test_torn_checkpoints_are_named_and_the_training_ends_in_the_same_weights(
    cut_off: Path, tear: Callable[[bytes], bytes], torn: int, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = sorted(cut_off.glob("*.pt"))
    for path in paths[-torn:]:
        path.write_bytes(tear(path.read_bytes()))
    weights = trained(cut_off, Noise(22), PLAIN)
    said = capsys.readouterr().err
    for path in paths[-torn:]:
        assert f"checkpoint {path.name} cannot be read" in said
    assert ("no checkpoint can be read; the training begins anew" in said) == (torn == 2)
    assert ("goes on at epoch" in said) == (torn == 1)
    whole = trained(cut_off.parent / "whole", Noise(22), PLAIN)
    assert all(torch.equal(weights[name], whole[name]) for name in whole)


def test_a_training_begun_anew_keeps_its_own_checkpoints_not_the_torn_ones(cut_off: Path) -> None:
    for path in cut_off.glob("*.pt"):
        path.write_bytes(b"")
    with pytest.raises(KeyboardInterrupt):
        trained(cut_off, Noise(22, dies_at=13), PLAIN)  # after its first checkpoint, of an earlier step than the torn
    assert all(path.stat().st_size for path in cut_off.glob("*.pt"))
    again = Noise(22)
    trained(cut_off, again, PLAIN)
    assert len(again.asked) == 2 * 22 - 2 * 4  # goes on after the two steps that are saved

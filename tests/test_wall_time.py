"""When Slurm will end the job: from its environment or its own word, and what is kept back of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cspine import budget, wall_time

Squeue = Callable[[str], Path]  # what it is to answer -> what it was asked

NOW = 1_000_000.0


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Squeue:
    """A job of Slurm whose squeue answers as it is told; nothing else is in the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(wall_time.JOB, "4711")
    monkeypatch.delenv(wall_time.END, raising=False)
    monkeypatch.setenv(budget.VARIABLE, "")
    monkeypatch.setattr(time, "time", lambda: NOW)

    def answers(script: str) -> Path:
        program = tmp_path / "squeue"
        program.write_text(f'#!/bin/sh\necho "$@ in $SLURM_TIME_FORMAT" > {tmp_path}/asked\n{script}\n')
        program.chmod(0o755)
        return tmp_path / "asked"

    return answers


def test_outside_of_a_job_nothing_is_asked_and_nothing_limited(squeue: Squeue, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = squeue("echo 1000600")
    monkeypatch.delenv(wall_time.JOB)
    wall_time.respect()
    assert budget.seconds_left() == float("inf") and not asked.exists()


def test_a_recent_slurm_says_the_end_in_the_environment(squeue: Squeue, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = squeue("echo 1")
    monkeypatch.setenv(wall_time.END, "1000600")
    wall_time.respect()
    assert budget.seconds_left() == 600 - 30 and not asked.exists()


@pytest.mark.parametrize(("left", "margin"), [(40, 5), (300, 15), (86400, 30)])
def test_an_older_one_is_asked_and_a_part_is_kept_back_as_of_a_budget(squeue: Squeue, left: int, margin: float) -> None:
    asked = squeue(f"echo {int(NOW) + left}")
    wall_time.respect()
    assert budget.seconds_left() == left - margin
    assert asked.read_text() == "--noheader --jobs 4711 --format %e in %s\n"


@pytest.mark.parametrize(("ours", "left"), [(100, 100), (3600, 570)])
def test_the_smaller_of_ours_and_the_jobs_counts(
    squeue: Squeue, monkeypatch: pytest.MonkeyPatch, ours: int, left: int
) -> None:
    squeue("echo 1000600")
    monkeypatch.setenv(budget.VARIABLE, str(NOW + ours))
    wall_time.respect()
    assert budget.seconds_left() == left


@pytest.mark.parametrize("answer", ["echo N/A", "echo Unknown", "echo NONE", "echo 0", "true"])
def test_a_job_without_an_end_has_no_limit(squeue: Squeue, answer: str) -> None:
    squeue(answer)
    wall_time.respect()
    assert os.environ[budget.VARIABLE] == ""


@pytest.mark.parametrize("answer", ["exit 1", "missing"])
def test_where_slurm_cannot_be_asked_it_is_said_and_the_job_goes_on(
    squeue: Squeue, answer: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if answer != "missing":
        squeue(answer)
    wall_time.respect()
    words = "what it cuts off goes on from its last checkpoint"
    assert budget.seconds_left() == float("inf") and words in capfd.readouterr().err

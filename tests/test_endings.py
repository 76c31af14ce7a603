"""What a run says that did not reach its target, and how it exits."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cspine import pausing
from cspine.cli import FAILURES
from cspine.endings import Ending, summary
from small_stores import finish, request

BUDGET = "the time budget is used up"
TEACHER = {"name": "train (fold 0)", "why": BUDGET, "done": 120, "total": 800, "unit": "steps", "rate": 4.0}
STUDENT = {"name": "train (fold 1)", "why": BUDGET, "done": 0, "total": 800, "unit": "steps", "rate": 0.0}


def workflow(*stages: str, failed: int) -> Any:
    """What Snakemake's workflow shows of the jobs that are not finished; the last is no stage."""
    rules = {stage: SimpleNamespace(shellcmd=f"python -m cspine {stage} --log log") for stage in stages}
    last = SimpleNamespace(shellcmd="cat results/score.txt")
    jobs = [SimpleNamespace(rule=rules[stage]) for stage in stages] + [SimpleNamespace(rule=last)]
    dag = SimpleNamespace(needrun_jobs=lambda: reversed(jobs))
    return SimpleNamespace(dag=dag, rules=[*rules.values(), last], scheduler=SimpleNamespace(failed=[None] * failed))


@pytest.fixture
def ending(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Ending:
    for name in (FAILURES, pausing.PAUSES, pausing.STOP):
        monkeypatch.setenv(name, "")  # to be put back
    monkeypatch.delenv("MAKELEVEL", raising=False)
    return Ending(Path(".snakemake"))


def left_behind(variable: str, text: str) -> None:
    Path(os.environ[variable]).write_text(text, encoding="utf-8")


def test_paused_jobs_end_the_run_with_status_75_and_what_is_left(
    ending: Ending, capsys: pytest.CaptureFixture[str]
) -> None:
    left_behind(pausing.PAUSES, json.dumps(TEACHER) + "\n")
    with pytest.raises(SystemExit) as caught:
        ending.tell(workflow("train", "train", "predict_slices", failed=1))
    assert caught.value.code == 75
    assert capsys.readouterr().err.strip().splitlines() == [
        "PAUSED: the time budget is used up",
        "  train (fold 0): 120 of 800 steps, about 3 min to go",
        "  still to do: 1 train (unknown), 1 predict_slices (unknown)",
        "Run the same command again: what is finished stays, what was begun goes on.",
    ]


def test_the_second_call_of_the_error_handler_says_nothing(ending: Ending, capsys: pytest.CaptureFixture[str]) -> None:
    left_behind(pausing.PAUSES, json.dumps(TEACHER) + "\n")
    with pytest.raises(SystemExit):
        ending.tell(workflow("train", failed=1))
    capsys.readouterr()
    ending.tell(workflow("train", failed=1))
    assert capsys.readouterr().err == ""


def test_a_failure_is_told_before_a_pause_and_leaves_the_status_alone(
    ending: Ending, capsys: pytest.CaptureFixture[str]
) -> None:
    left_behind(pausing.PAUSES, json.dumps(TEACHER) + "\n")
    left_behind(FAILURES, "predict_slices: error: no such model\n")
    ending.tell(workflow("train", "predict_slices", failed=2))
    printed = capsys.readouterr().err.strip().splitlines()
    assert printed[:2] == [
        "predict_slices: error: no such model",
        "paused: train (fold 0): 120 of 800 steps, about 3 min to go",
    ]
    assert printed[2].startswith("Mend it and run the same command again")


def test_a_job_that_died_without_a_word_is_a_failure(ending: Ending, capsys: pytest.CaptureFixture[str]) -> None:
    left_behind(pausing.PAUSES, json.dumps(TEACHER) + "\n")
    ending.tell(workflow("train", "predict_slices", failed=2))
    assert "a job failed, see above" in capsys.readouterr().err


def test_of_a_signal_to_the_whole_group_a_job_may_die_without_a_word(
    ending: Ending, capsys: pytest.CaptureFixture[str]
) -> None:
    left_behind(pausing.STOP, "SIGTERM")
    with pytest.raises(SystemExit) as caught:
        ending.tell(workflow("score", failed=1))
    assert caught.value.code == 75
    assert capsys.readouterr().err.strip().splitlines()[:2] == [
        "PAUSED: asked to stop (SIGTERM)",
        "  still to do: 1 score (unknown)",
    ]


def test_under_make_its_error_is_explained(
    ending: Ending, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAKELEVEL", "1")
    left_behind(pausing.STOP, "SIGINT")
    with pytest.raises(SystemExit):
        ending.tell(workflow("score", failed=0))
    assert capsys.readouterr().err.strip().endswith("(`make` calls this an error: its `Error 75` means paused.)")


def test_nothing_is_left_of_an_earlier_run_with_the_same_process_number(ending: Ending) -> None:
    for variable in (FAILURES, pausing.PAUSES, pausing.STOP):
        left_behind(variable, "old")
    Ending(Path(".snakemake"))
    assert not list(Path(".snakemake").iterdir())


def test_what_is_left_is_estimated_by_what_finished_results_took(workplace: Path) -> None:
    for number, seconds in enumerate([10.0, 100.0, 40.0]):
        finish(request("train", {"model": f"results/{number}.txt"}, config={"seed": number}), seconds=seconds)
    assert summary([TEACHER, STUDENT], ["train", "train", "train", "predict_slices", ""]) == [
        "  train (fold 0): 120 of 800 steps, about 3 min to go",
        "  still to do: 2 train (about 80 s), 1 predict_slices (unknown)",
    ]


def test_without_a_rate_the_rest_is_unknown() -> None:
    assert summary([TEACHER | {"rate": 0.0}], ["train"]) == ["  train (fold 0): 120 of 800 steps, rest unknown"]

"""A stage that is asked to stop: by whom, when it is interrupted, and what it leaves behind."""

from __future__ import annotations

import functools
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cspine import budget, pausing, progress, runtime, store
from cspine.cli import main
from cspine.stages.assign_folds import assign_folds
from cspine.tables import write_table

LONG = 60.0  # only so that a failure ends
RUN = ["assign_folds", "--studies", "results/studies.parquet", "--folds", "results/folds.parquet"]
RUN += ["--config", json.dumps({"count": 5, "select": 0.2, "seed": 7}), "--log", "logs/assign_folds.txt"]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks for a stop."""
    for name in (budget.VARIABLE, pausing.STOP, pausing.PAUSES, runtime.MAIN_PROCESS):
        monkeypatch.delenv(name, raising=False)


def of_a_dead_workflow() -> dict[str, str]:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    return {runtime.MAIN_PROCESS: f"{socket.gethostname()} {gone.stdout.strip()} 12345"}


def of_a_stopped_run() -> dict[str, str]:
    Path("stop").write_text("SIGTERM", encoding="utf-8")
    return {pausing.STOP: str(Path("stop").absolute())}


def of_a_past_deadline() -> dict[str, str]:
    return {budget.VARIABLE: "1"}


REASONS: dict[Callable[[], dict[str, str]], str] = {
    of_a_dead_workflow: "the workflow that started it is gone",
    of_a_stopped_run: "the run was asked to stop (SIGTERM)",
    of_a_past_deadline: "the time budget is used up",
}


def test_without_a_reason_nothing_stops(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime.announce_main_process()
    monkeypatch.setenv(pausing.STOP, "stop")  # the file is not there
    monkeypatch.setenv(budget.VARIABLE, "1e12")
    assert pausing.wanted() is None
    pausing.stop_if_wanted()


@pytest.mark.parametrize(("environment", "why"), REASONS.items())
def test_every_reason_is_told(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, environment: Callable[[], dict[str, str]], why: str
) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    assert pausing.wanted() == why
    assert pausing.asked() == (None if environment is of_a_past_deadline else why)


@pytest.mark.parametrize("number", pausing.SIGNALS)
def test_a_signal_ends_the_process_with_status_75(number: signal.Signals) -> None:
    with pytest.raises(SystemExit) as caught, pausing.answered():
        os.kill(os.getpid(), number)
    assert caught.value.code == 75 and isinstance(caught.value, pausing.Paused)
    assert caught.value.why == f"asked to stop ({number.name})"


def test_a_stage_that_polls_is_told_once_and_interrupted_by_the_second_signal() -> None:
    reached = []
    with pytest.raises(pausing.Paused), pausing.answered(), pausing.polled():
        os.kill(os.getpid(), signal.SIGTERM)
        reached.append(pausing.wanted())
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("not this")
    assert reached == ["asked to stop (SIGTERM)"]


def test_what_is_held_is_finished() -> None:
    with pausing.answered(), pausing.held():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert pausing.asked() == "asked to stop (SIGTERM)"


def test_signals_do_again_what_they_did_before() -> None:
    before = [signal.getsignal(number) for number in pausing.SIGNALS]
    with pausing.answered():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(number) for number in pausing.SIGNALS] == before and pausing.asked() is None


@pytest.mark.parametrize(("environment", "why"), REASONS.items())
def test_a_stage_that_waits_is_interrupted_whatever_it_waits_for(
    workplace: Path, environment: Callable[[], dict[str, str]], why: str
) -> None:
    found = environment()
    reader, writer = os.pipe()  # nobody writes
    threading.Timer(0.1, os.environ.update, [found]).start()
    try:
        with pytest.raises(pausing.Paused) as caught, pausing.watched():
            os.read(reader, 1)
    finally:
        for end in (reader, writer):
            os.close(end)
        for name in found:
            os.environ.pop(name, None)
    assert caught.value.why == why


def test_the_watch_leaves_a_stage_alone_that_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "LOOK_EVERY_SECONDS", 0.001)
    with pytest.raises(pausing.Paused), pausing.watched():
        with pausing.polled():
            monkeypatch.setenv(budget.VARIABLE, "1")
            looked = threading.Event()
            for _ in range(20):
                looked.wait(0.005)
            reached = pausing.wanted()
        threading.Event().wait(LONG)
    assert reached == "the time budget is used up"


def test_a_watch_that_interrupts_before_the_stage_has_begun_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "LOOK_EVERY_SECONDS", 0.0)
    monkeypatch.setenv(budget.VARIABLE, "1")
    before = threading.active_count()
    for _ in range(50):
        with pytest.raises(pausing.Paused), pausing.watched():
            threading.Event().wait(LONG)
        assert threading.active_count() == before


@pytest.fixture
def request_ready(workplace: Path, studies: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_table(studies, Path("results/studies.parquet"))
    monkeypatch.setenv(pausing.PAUSES, "pauses")
    return workplace


def test_a_job_is_not_begun_after_the_deadline_but_a_finished_result_is_still_found(
    request_ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(budget.VARIABLE, "1")
    with pytest.raises(pausing.Paused):
        main(RUN)
    assert not list(Path("work").rglob("log.txt")) and not Path("results/folds.parquet").exists()
    left = [json.loads(line) for line in Path("pauses").read_text().splitlines()]
    assert left == [{"name": "assign_folds", "why": "the time budget is used up"}]
    monkeypatch.delenv(budget.VARIABLE)
    assert main(RUN) == 0
    Path("results/folds.parquet").unlink()
    monkeypatch.setenv(budget.VARIABLE, "1")
    assert main(RUN) == 0 and Path("results/folds.parquet").exists()


def test_a_result_is_committed_whole_when_the_signal_comes_meanwhile(
    request_ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = store.commit

    def signalled(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return commit(*arguments)

    monkeypatch.setattr(store, "commit", signalled)
    assert main(RUN) == 0
    assert Path("results/folds.parquet").exists() and not Path("pauses").exists()


def test_an_interrupted_stage_says_so_in_its_logs_without_a_traceback(
    request_ready: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @functools.wraps(assign_folds)
    def interrupted(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    Path("logs").mkdir()
    with monkeypatch.context() as patched, pytest.raises(pausing.Paused):
        patched.setattr("cspine.stages.assign_folds.assign_folds", interrupted)
        main(RUN)
    (kept,) = Path("work/assign_folds").glob("*/log.txt")
    for text in (kept.read_text(), Path("logs/assign_folds.txt").read_text(), capsys.readouterr().err):
        assert text.splitlines()[-1] == "assign_folds: paused: asked to stop (SIGINT)" and "Traceback" not in text
    assert main(RUN) == 0


def test_how_far_a_stage_is_stays_beside_its_unfinished_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = tmp_path / "pauses"
    monkeypatch.setenv(pausing.PAUSES, str(pauses))
    now = itertools.chain([100.0], itertools.repeat(150.0))
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    with pytest.raises(pausing.Paused), progress.logged(folder=tmp_path):
        progress.report("train", 20, 120, "steps")
        progress.report("train", 40, 120, "steps")
        raise pausing.Paused("the time budget is used up")
    pausing.leave_word("train (fold 0)", tmp_path, "the time budget is used up", keeps=True)
    assert progress.standing(tmp_path) == progress.keep(tmp_path)
    left = json.loads(pauses.read_text())
    assert {k: left[k] for k in ("name", "done", "total", "unit", "rate")} == {
        "name": "train (fold 0)", "done": 40, "total": 120, "unit": "steps", "rate": 0.4,
    }  # fmt: skip
    assert left["why"] == "the time budget is used up"


def test_a_rate_that_is_not_known_yet_is_the_one_of_the_process_before(tmp_path: Path) -> None:
    before = {"task": "train", "done": 40, "total": 120, "unit": "steps", "rate": 0.4, "time": 0.0}
    (tmp_path / progress.STANDING).write_text(json.dumps(before), encoding="utf-8")
    with progress.logged():
        progress.report("train", 40, 120, "steps")
        kept = progress.keep(tmp_path)
    assert kept is not None and kept["rate"] == 0.4 and progress.standing(tmp_path) == kept

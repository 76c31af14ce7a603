"""`status --watch`: what is seen of a run, the lines it makes, and the loop on a terminal and off it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cspine import budget, gpu_memory, progress, runs, store, workflow
from cspine.cli import main
from cspine.gpu_memory import GpuMemory
from cspine.runs import RunJob, StageCount
from cspine.store import locks
from cspine.watching import loop
from cspine.watching.frames import frame
from cspine.watching.seen import AtWork, Seen, look
from screens import Terminal
from small_stores import begin, finish, request

GB = 10**9
STANDING = {"task": "train", "done": 30, "total": 40, "unit": "steps", "rate": 0.5, "time": 0.0, "note": "loss 0.41"}
SEEN = Seen(
    time=0.0,
    run="process 7 on here, since 2026-01-01 10:00",
    began=0.0,
    seconds_left=4800.0,
    stages=[StageCount("ingest", 4, 4, 1), StageCount("train", 6, 2, 2), StageCount("score", 1, 0, 0)],
    at_work=[AtWork("train (semi_supervised fold 0 round 0)", STANDING), AtWork("index", None)],
    work_bytes=1_200_000_000,
    max_gb=3.0,
    free_bytes=40 * GB,
    gpus=[GpuMemory(0, "NVIDIA H100", 3 * GB, 80 * GB, 97), GpuMemory(1, "NVIDIA H100", 0, 80 * GB)],
)


def but(**differences: Any) -> Seen:
    return Seen(**{**vars(SEEN), **differences})


class Part(SimpleNamespace):
    """A rule or a job of Snakemake."""

    __hash__ = object.__hash__  # type: ignore[assignment]


# -- what a run leaves -------------------------------------------------------------------------------------------------


def test_a_run_leaves_its_jobs_in_the_order_of_the_rules_and_its_deadline(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [Part(name=n, shellcmd=f"python -m cspine {n} --log log") for n in ("index", "train")]
    last = Part(name="submission", shellcmd="cat results/score.txt")
    jobs = [
        Part(rule=last, output=["printed"]),
        *(Part(rule=rules[1], output=[f"results/{fold}/model"]) for fold in (1, 0)),
        Part(rule=rules[0], output=["results/index"]),
    ]
    monkeypatch.setenv(budget.VARIABLE, f"{time.time() + 600:.1f}")
    dag = Part(jobs=jobs, needrun_jobs=lambda: (job for job in jobs[:2]))
    workflow_ = Part(dag=dag, rules=[*rules, last])
    runs.record(runs.jobs_of(workflow_))
    run = runs.recorded()
    assert run is not None and run.deadline is not None and 590 < run.deadline - run.began < 610
    assert [(job.stage, job.outputs[0], job.due) for job in run.jobs] == [
        ("index", "results/index", False),
        ("train", "results/0/model", False),
        ("train", "results/1/model", True),
    ]


def test_without_a_budget_a_run_has_no_deadline_and_a_torn_record_is_none(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(budget.VARIABLE, raising=False)
    assert runs.recorded() is None
    runs.record([RunJob("index", ("results/index",))])
    run = runs.recorded()
    assert run is not None and run.deadline is None
    runs.RUN.write_text('{"began": 1.0, "jobs": [{"stage"')
    assert runs.recorded() is None


def test_jobs_are_counted_as_in_place_found_made_or_still_due(workplace: Path) -> None:
    began = time.time()
    paths = {name: f"results/{name}.parquet" for name in ("there", "found", "made", "old", "missing")}
    for name in ("there", "old"):
        Path("results").mkdir(exist_ok=True)
        Path(paths[name]).write_text(name)
        os.utime(paths[name], (began - 900, began - 900))
    finish(request("train", {"model": paths["found"]}, {"n": 1}), age_days=1)  # linked now, made a day ago
    finish(request("train", {"model": paths["made"]}, {"n": 2}))
    jobs = [RunJob("train", (path,), name != "there") for name, path in paths.items()]
    (count,) = runs.counted(runs.RecordedRun(began, None, tuple(jobs)))
    assert count == StageCount("train", jobs=5, done=3, made=1)


# -- what is seen ------------------------------------------------------------------------------------------------------


def test_a_watcher_in_another_process_sees_the_run_its_time_and_the_job_at_work(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(request("index", {"studies": "results/studies"}))
    at = "method=semi_supervised,fold=0,round=0"
    held = begin(request("train", {"model": "results/model"}, {"family": "slice_cnn"}, {}, at), steps=30)
    begin(request("ingest", {"shard": "results/shard"}))  # cut off: nobody is at work on it
    monkeypatch.setenv(budget.VARIABLE, f"{time.time() + 600:.1f}")
    runs.record([RunJob("index", ("results/studies",), False), RunJob("train", ("results/model",))])
    monkeypatch.delenv(budget.VARIABLE)  # the watcher's own environment has no deadline
    with locks.run_alone(), locks.locked(held.folder):
        seen = look(0.0)
    assert seen.run is not None and f"process {os.getpid()}" in seen.run
    assert seen.seconds_left is not None and 590 < seen.seconds_left < 601
    assert [(job.name, job.standing and job.standing["done"]) for job in seen.at_work] == [
        ("train (semi_supervised fold 0 round 0)", 30)
    ]
    assert seen.stages == [StageCount("index", 1, 1, 0), StageCount("train", 1, 0, 0)]
    assert seen.work_bytes > 0 and seen.free_bytes


def test_without_a_run_there_is_no_time_left_to_show(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(budget.VARIABLE, f"{time.time() + 600:.1f}")
    runs.record([])
    seen = look(0.0)
    assert seen.run is None and seen.seconds_left is None and seen.began is not None


def test_looking_at_an_empty_folder_makes_nothing(workplace: Path) -> None:
    assert look(0.0).stages == [] and list(workplace.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("0, NVIDIA H100 80GB HBM3, 4, 81559, 0", GpuMemory(0, "NVIDIA H100 80GB HBM3", 4 * 2**20, 81559 * 2**20, 0)),
        ("1, Tesla T4, 512, 15360, [N/A]", GpuMemory(1, "Tesla T4", 512 * 2**20, 15360 * 2**20, None)),
        ("0, NVIDIA A100, [N/A], [N/A], [N/A]", None),
        ("No devices were found", None),
    ],
)
def test_what_nvidia_smi_says_of_a_gpu_is_read(line: str, found: GpuMemory | None) -> None:
    assert gpu_memory.parsed(line) == found


@pytest.mark.parametrize(
    "program", [None, "#!/bin/sh\nexit 9\n", "#!/bin/sh\nsleep 60\n", "#!/bin/sh\necho '0, T4, 1, 2, 3'\n"]
)
def test_a_machine_without_a_gpu_or_with_a_broken_driver_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if program else str(tmp_path))
    monkeypatch.setattr(gpu_memory, "ANSWER_SECONDS", 0.5)
    if program:
        (tmp_path / "nvidia-smi").write_text(program)
        (tmp_path / "nvidia-smi").chmod(0o755)
    found = [GpuMemory(0, "T4", 2**20, 2**21, 3)] if program and "echo" in program else []
    assert gpu_memory.gpu_memory() == found


# -- the lines ---------------------------------------------------------------------------------------------------------


def test_a_frame_shows_the_run_the_jobs_the_stages_the_disk_and_the_gpus() -> None:
    lines = frame(SEEN, columns=110)
    clock = time.strftime("%H:%M:%S", time.localtime(0.0))
    assert lines == [
        f"{clock}  a run is at work (process 7 on here, since 2026-01-01 10:00)",
        "80 min left of its time budget",
        "",
        "at work:",
        "  train (semi_supervised fold 0 round 0)",
        f"    {'━' * 22}{'─' * 8}  75% 30/40 steps, 30.0 steps/min, 20 s to go, loss 0.41",
        "  index",
        "",
        "stage                         done  jobs  made now  found",
        "ingest  ━━━━━━━━━━━━━━━━━━━━     4     4         1      3",
        "train   ━━━━━━──────────────     2     6         2",
        "score   ────────────────────     0     1",
        "total   ━━━━━━━━━━──────────     6    11         3      3",
        "",
        "work/ holds 1.2 GB of store.max_gb (3 GB); 40.0 GB free on its disk",
        "GPU 0 (NVIDIA H100): 3.0 GB of 80.0 GB in use, busy 97 %",
        "GPU 1 (NVIDIA H100): 0 B of 80.0 GB in use",
    ]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (but(run=None, seconds_left=None, time=600.0), "no run is at work; the last one began 10 min ago"),
        (but(run=None, seconds_left=None, began=None), "no run is at work"),
        (but(seconds_left=None), "it has no time budget"),
        (but(seconds_left=-3.0), "its time budget is used up: it is saving"),
    ],
)
def test_the_head_says_whether_a_run_is_at_work_and_how_long_it_has(seen: Seen, words: str) -> None:
    assert "\n".join(frame(seen)).partition("\n\n")[0].endswith(words)


def test_without_a_gpu_or_jobs_nothing_is_said_of_them() -> None:
    lines = frame(but(gpus=[], at_work=[], stages=[], max_gb=0.0))
    assert lines[2:] == ["", "work/ holds 1.2 GB; 40.0 GB free on its disk"]


@pytest.mark.parametrize("columns", [1, 20, 60])
def test_a_frame_fits_the_width(columns: int) -> None:
    assert max(map(len, frame(SEEN, columns))) <= columns


def test_in_a_low_terminal_the_table_keeps_its_head_and_its_total() -> None:
    many = [StageCount(f"stage {n}", 1, 0, 0) for n in range(30)]
    lines = frame(but(stages=many), rows=24)
    assert len(lines) == 24 and "… 21 more stages" in lines
    assert any(line.startswith("stage 8") for line in lines) and any(line.startswith("total") for line in lines)


def test_no_line_has_a_control_character_and_bars_are_of_what_the_terminal_has() -> None:
    text = "".join(frame(SEEN, encoding="latin-1"))
    assert text.isprintable() and "━" not in text and "######" in text


# -- the loop ----------------------------------------------------------------------------------------------------------


def looks(*seen: Seen) -> Any:
    """A look that sees these one after the other, and then Ctrl-C."""
    left = iter(seen)

    def look() -> Seen:
        found = next(left, None)
        if found is None:
            raise KeyboardInterrupt
        return found

    return look


def test_off_a_terminal_frames_follow_each_other_until_no_run_is_at_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []

    def wait(_: threading.Event, seconds: float) -> bool:
        waited.append(seconds)
        return False

    monkeypatch.setattr(threading.Event, "wait", wait)
    loop.watch(looks(SEEN, but(run=None), SEEN), 7.0)
    printed = capsys.readouterr().out
    assert waited == [7.0] and printed.count("work/ holds") == 2 and "\n\n" in printed
    assert all(character.isprintable() or character == "\n" for character in printed)


def test_ctrl_c_ends_the_watch_without_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    loop.watch(looks(), 1.0)
    assert capsys.readouterr() == ("", "")


SOURCE = str(Path(workflow.__file__).parents[1])
WATCH = """
from cspine.cli import main
raise SystemExit(main(["status", "--watch", "0.05"]))
"""


@pytest.fixture
def terminal(workplace: Path) -> Iterator[Terminal]:
    """`status --watch` on a terminal, while a training has done 30 of 40 steps."""
    held = begin(request("train", {"model": "results/model"}, {"family": "slice_cnn"}), steps=30)
    with locks.run_alone(), locks.locked(held.folder):
        runs.record([RunJob("train", ("results/model",))])
        found = Terminal(WATCH, workplace, environment={"PYTHONPATH": SOURCE, "NO_COLOR": "1"})
        found.read_until("30/40 steps")
        (held.folder / progress.STANDING).write_text(json.dumps({**STANDING, "done": 31}))
        yield found
    found.process.kill()


def test_on_a_terminal_the_view_is_drawn_over_again_and_ctrl_c_ends_it_with_0(terminal: Terminal) -> None:
    terminal.read_until("31/40 steps")
    terminal.type("\x03")
    assert terminal.end() == 0
    assert terminal.written.rstrip().endswith("\x1b[?25h")  # the cursor is back
    assert "\x1b[1A" in terminal.written  # drawn in place
    assert not any(code in terminal.written for code in ("\x1b[3", "\x1b[1m", "Traceback"))


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_an_interval_that_is_none_is_refused(workplace: Path, seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", f"--watch={seconds}"]) == 1
    assert "--watch: found" in capsys.readouterr().err


def test_watch_takes_a_number_or_none(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[float] = []
    monkeypatch.setattr(loop, "watch", lambda look, seconds: found.append(seconds))
    for words in (["--watch"], ["--watch", "5"], ["--watch", "--config", "set=store.max_gb=3"]):
        assert main(["status", *words]) == 0
    assert found == [2.0, 5.0, 2.0]


def test_the_record_of_a_run_is_beside_its_lock_and_no_result(workplace: Path) -> None:
    assert runs.RUN.parent == locks.RUN_LOCK.parent and store.WORK not in runs.RUN.parents

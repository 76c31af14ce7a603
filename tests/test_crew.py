"""Jobs shared out to processes: answered in order, whoever dies, and left at once when nobody wants the rest."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cspine.crew import Task, shared_out
from cspine.errors import CspineError
from cspine.runtime import start_time

LONG = 600.0  # only so that a failure ends
PATIENCE = 5.0  # seconds that a job may take: far more than the others need, and what the test waits
LARGE = 5_000_000  # bytes: far more than a pipe holds


def square(job: int, given: int) -> int:
    return job * job + given


def large(job: bytes, given: None) -> bytes:
    return job


def die(job: int, folder: Path) -> int:
    """Odd jobs kill their process: 1 whenever it is tried, the others the first time."""
    marker = folder / str(job)
    if job % 2 and (job == 1 or not marker.exists()):
        marker.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    return job


def fail(job: int, given: None) -> int:
    raise OSError(28, "No space left on device", f"file-{job}")


def fail_strangely(job: int, given: None) -> int:
    class LocalError(Exception):
        pass

    raise LocalError("nobody else knows this class")


def linger(job: Path, given: None) -> None:
    job.write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(LONG)


def linger_or_answer(job: Path, given: None) -> str:
    """A job called endless waits for ever, and notes that it was begun."""
    if job.name == "endless":
        with job.open("a", encoding="utf-8") as stream:
            stream.write("begun")
        time.sleep(LONG)
    return job.name


def send_half(job: Path, given: None) -> bytes:
    """An answer in the middle of which the process is killed from outside."""
    job.write_text(str(os.getpid()), encoding="utf-8")
    return bytes(LARGE)


def lost(job: Any) -> str:
    return f"lost {job}"


def until_written(path: Path) -> int:
    end = time.monotonic() + LONG
    while not (path.exists() and path.read_text(encoding="utf-8")):
        assert time.monotonic() < end, "it did not start"
        threading.Event().wait(0.02)
    return int(path.read_text(encoding="utf-8"))


def test_answers_come_in_the_order_of_the_jobs() -> None:
    with shared_out(range(10), Task(square, 1), 3) as answers:
        assert list(answers) == [n * n + 1 for n in range(10)]


def test_without_jobs_there_is_no_answer_and_no_process() -> None:
    with shared_out([], Task(square, 1), 2) as answers:
        assert list(answers) == []


def test_jobs_and_answers_larger_than_a_pipe_do_not_wait_for_each_other() -> None:
    jobs = [bytes([n]) * LARGE for n in range(4)]
    with shared_out(jobs, Task(large, None), 1) as answers:
        assert list(answers) == jobs


def test_a_job_that_kills_its_process_twice_is_lost_and_no_other(tmp_path: Path) -> None:
    with shared_out(range(4), Task(die, tmp_path, lost), 2) as answers:
        assert list(answers) == [0, "lost 1", 2, 3]


def test_where_no_job_may_be_lost_the_one_that_kills_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(CspineError, match="process of 1 was killed, twice"),
        shared_out([1], Task(die, tmp_path), 1) as all_of_them,
    ):
        list(all_of_them)


def test_what_a_job_raises_is_raised_here_and_says_where() -> None:
    with pytest.raises(OSError, match="file-0") as caught, shared_out([0], Task(fail, None), 1) as answers:
        next(answers)
    assert caught.value.errno == 28 and "test_crew.py" in caught.value.__notes__[0]
    with (
        pytest.raises(RuntimeError, match="LocalError: nobody else"),
        shared_out([0], Task(fail_strangely, None), 1) as a,
    ):
        next(a)


def test_left_by_an_exception_it_does_not_wait_for_its_work(tmp_path: Path) -> None:
    job = tmp_path / "worker"
    with pytest.raises(KeyboardInterrupt), shared_out([job], Task(linger, None), 1):
        worker = until_written(job)
        raise KeyboardInterrupt
    assert start_time(worker) == ""


def test_left_in_the_middle_of_an_answer_it_does_not_wait_for_the_rest(tmp_path: Path) -> None:
    jobs = [tmp_path / "first", tmp_path / "second"]
    with shared_out(jobs, Task(send_half, None), 2) as answers:
        assert len(next(answers)) == LARGE
        worker = until_written(jobs[1])  # its answer is larger than the pipe: it waits for us
    assert start_time(worker) == ""


def test_a_process_killed_in_the_middle_of_an_answer_costs_another_try(tmp_path: Path) -> None:
    job = tmp_path / "worker"
    with shared_out([job], Task(send_half, None), 1) as answers:
        os.kill(until_written(job), signal.SIGKILL)
        assert len(next(answers)) == LARGE


def test_a_job_that_does_not_end_is_given_up_alone_and_at_once(tmp_path: Path) -> None:
    jobs = [tmp_path / "0", tmp_path / "endless", tmp_path / "2", tmp_path / "3"]
    task = Task(linger_or_answer, None, lambda job: f"{job.name} is lost", None, seconds=PATIENCE)
    with shared_out(jobs, task, 1) as answers:
        assert list(answers) == ["0", "endless is lost", "2", "3"]
    assert (tmp_path / "endless").read_text(encoding="utf-8") == "begun"  # once: it is not tried again

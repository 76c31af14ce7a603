"""Jobs shared out to worker processes, answered in order; a worker that dies costs the job it was at.

The standard library's pool does not do: it loses every job under way when one worker dies, does not say whose fault it
was, and never returns when a worker is killed in the middle of an answer (its parent holds the other end open itself).
Here each worker has a pipe of its own, so the one that breaks names the job.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from cspine.errors import CspineError
from cspine.pools import CONTEXT, Worker

AT_HAND = 2  # jobs that a worker has: the one it does, and the next, so that it never waits for one
TRIES = 2  # a job whose worker dies is given to another once: it may have been killed from outside
_END = object()
Job = TypeVar("Job")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Task(Generic[Job, Answer]):
    """What is done with every job.

    Attributes:
        work: in a worker process: a job and ``given`` -> an answer. A function of a module.
        given: what all jobs share.
        lost: the answer that stands for a job that killed its process; None raises a CspineError instead.
        prepare: called once by every worker before its first job. A function of a module.
        seconds: after which a job is given up: its worker is killed, and it is lost. None = never.
    """

    work: Callable[[Job, Any], Answer]
    given: Any
    lost: Callable[[Job], Answer] | None = None
    prepare: Callable[[], None] | None = None
    seconds: float | None = None


@contextlib.contextmanager
def shared_out(jobs: Sequence[Job], task: Task[Job, Answer], workers: int) -> Iterator[Iterator[Answer]]:
    """The answer to every job, in order, by ``workers`` processes (at least 1); they start when this is entered.

    At most AT_HAND jobs per worker are begun and not yet taken, so memory does not grow with the jobs. What ``work``
    raises is raised here. Left early, the processes are ended at once.
    """
    answers = _answers(jobs, task, max(1, min(workers, len(jobs))))
    next(answers, None)
    try:
        yield (answer for answer in answers if answer is not None)
    finally:
        answers.close()


@dataclass
class _Hand:
    """A worker process and the numbers of the jobs it has been given, the one it does first."""

    process: Worker
    pipe: Connection
    jobs: deque[int] = field(default_factory=deque)
    ready: bool = False  # it has started: its death is a job's doing
    since: float = 0.0  # when it began what it does

    @classmethod
    def of(cls, task: Task[Any, Any]) -> _Hand:
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=_serve, args=(theirs, task.work, task.given, task.prepare), daemon=True)
        try:
            process.start()
        finally:
            theirs.close()  # the worker's death must be the end of the pipe
        return cls(process, ours)

    def give(self, number: int, job: Any) -> None:
        if not self.jobs:
            self.since = time.monotonic()
        self.jobs.append(number)
        with contextlib.suppress(OSError):  # it has died, which reading from it tells
            self.pipe.send(job)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _answers(jobs: Sequence[Job], task: Task[Job, Answer], workers: int) -> Generator[Answer | None]:
    """A None once the workers have been started and have their first jobs, then the answers."""
    crew = _Crew(jobs, task)
    try:
        for _ in range(workers if jobs else 0):
            crew.hands.append(_Hand.of(task))
        crew.hand_out(0)
        yield None
        for number in range(len(jobs)):
            crew.hand_out(number)
            while number not in crew.known:
                crew.listen()
                crew.hand_out(number)
            yield crew.known.pop(number)
    finally:
        for hand in crew.hands:
            hand.stop()


class _Crew(Generic[Job, Answer]):
    """The workers, the jobs that wait for one, and the answers that wait to be taken."""

    def __init__(self, jobs: Sequence[Job], task: Task[Job, Answer]) -> None:
        self.jobs, self.task = jobs, task
        self.waiting = deque(range(len(jobs)))
        self.deaths = [0] * len(jobs)
        self.known: dict[int, Answer] = {}
        self.hands: list[_Hand] = []

    def hand_out(self, next_one: int) -> None:
        """Give the workers jobs, but none far beyond the next one that will be taken."""
        end = next_one + AT_HAND * len(self.hands)
        for hand in self.hands:
            while self.waiting and len(hand.jobs) < AT_HAND and self.waiting[0] < end:
                number = self.waiting.popleft()
                hand.give(number, self.jobs[number])

    def listen(self) -> None:
        """Wait for news of any worker: an answer, or its death."""
        news = connection.wait([hand.pipe for hand in self.hands], self._patience())
        for place, hand in enumerate(self.hands):
            if hand.pipe in news:
                alive, overdue = _heard(hand, self.known), False
            else:
                overdue = self._overdue(hand)
                alive = not overdue
            if not alive:
                self.hands[place] = _replaced(hand, self.task)
                self._take_back(hand.jobs, TRIES if overdue else 1)

    def _patience(self) -> float | None:
        """Seconds until the next job is overdue."""
        if self.task.seconds is None:
            return None
        ends = [hand.since + self.task.seconds for hand in self.hands if hand.ready and hand.jobs]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _overdue(self, hand: _Hand) -> bool:
        limit = self.task.seconds
        return limit is not None and hand.ready and bool(hand.jobs) and time.monotonic() - hand.since >= limit

    def _take_back(self, numbers: deque[int], deaths: int) -> None:
        """The jobs of a dead worker; it was at the first. One that did not end in time is not tried again."""
        self.waiting.extendleft(reversed(numbers))
        if not numbers:
            return
        self.deaths[numbers[0]] += deaths
        if self.deaths[numbers[0]] >= TRIES:
            self.known[self.waiting.popleft()] = _lost(self.jobs[numbers[0]], self.task)


def _heard(hand: _Hand, known: dict[int, Any]) -> bool:
    """Take one message of a worker; False if it is dead. What its work has raised is raised."""
    try:
        answer, error = hand.pipe.recv()
    except (EOFError, OSError):
        return False
    if error is not None:
        raise error
    if hand.ready:
        known[hand.jobs.popleft()] = answer
    hand.ready, hand.since = True, time.monotonic()  # it goes on with what it has at hand
    return True


def _replaced(dead: _Hand, task: Task[Any, Any]) -> _Hand:
    dead.stop()
    if not dead.ready:
        raise CspineError(
            f"a worker process did not start (it ended with {dead.process.exitcode}); call this from the command line "
            "or from a script whose main part stands under `if __name__ == '__main__':`, and see that memory suffices"
        )
    return _Hand.of(task)


def _lost(job: Job, task: Task[Job, Answer]) -> Answer:
    if task.lost is None:
        raise CspineError(f"the worker process of {job} was killed, twice; is memory short?")
    return task.lost(job)


def _serve(pipe: Connection, work: Callable[[Any, Any], Any], given: Any, prepare: Callable[[], None] | None) -> None:
    """Do jobs until the pipe ends.

    A thread takes them from the pipe: a parent that hands one over never waits for an answer that waits for the parent.
    """
    taken: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_take, args=(pipe, taken), daemon=True).start()
    if prepare is not None:
        prepare()
    pipe.send((None, None))  # it is up
    while (job := taken.get()) is not _END:
        message: tuple[Any, Exception | None]
        try:
            message = work(job, given), None
        except Exception as error:
            message = None, _that_travels(error)
        pipe.send(message)


def _take(pipe: Connection, taken: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            taken.put(pipe.recv())
    except (EOFError, OSError):
        taken.put(_END)


def _that_travels(error: Exception) -> Exception:
    """The exception, where it was raised told in a note; its text alone where it cannot go to another process."""
    error.add_note("in a worker process:\n" + "".join(traceback.format_tb(error.__traceback__)))
    try:
        pickle.loads(pickle.dumps(error))  # between our own processes
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")

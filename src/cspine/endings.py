"""How a run ends that does not reach its target: what failed, or what paused, how far it is and what is left.

The workflow's main process makes an ``Ending`` before its first job. Jobs leave their last words in its files; a signal
to the run becomes the file that asks them all to stop.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any

from cspine import pausing, progress, store
from cspine.amounts import duration
from cspine.cli import FAILURES
from cspine.runs import stage_of

GO_ON = "what is finished stays, what was begun goes on."


class Ending:
    """The end of one run of the workflow.

    Args:
        folder: where the files lie in which the run's jobs and its end hear of each other.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.failures, self.pauses, self.stop = (
            folder.absolute() / f"{name}-{os.getpid()}" for name in ("failures", "pauses", "stop")
        )
        self._clear()  # left by a dead process of the same number
        os.environ.update(
            {FAILURES: str(self.failures), pausing.PAUSES: str(self.pauses), pausing.STOP: str(self.stop)}
        )
        self._told = False

    def listen(self) -> None:
        """From now on SIGTERM and SIGINT pause the run: no job starts any more, and those that run stop in time.

        To be called when Snakemake has set up its own handlers: SIGTERM's is what keeps it from starting jobs. It takes
        a lock that the interrupted code may hold, so a thread calls it. A second Ctrl-C does what it always did.
        """
        graceful, interrupt = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        heard: SimpleQueue[int] = SimpleQueue()

        def hear(number: int, _: FrameType | None) -> None:
            heard.put(number)
            if number == signal.SIGINT:
                signal.signal(signal.SIGINT, interrupt)

        def obey() -> None:
            while True:
                number = heard.get()
                self.stop.write_text(signal.Signals(number).name, encoding="utf-8")
                if callable(graceful):
                    graceful(number, None)

        threading.Thread(target=obey, daemon=True).start()
        for number in pausing.SIGNALS:
            signal.signal(number, hear)

    def tell(self, workflow: Any) -> None:
        """After a run that did not reach its target: say why, and exit with status 75 if nothing is wrong.

        Snakemake calls its error handler again when that exits; the second call does nothing.
        """
        if self._told:
            return
        self._told = True
        failed, paused, stopped = _read(self.failures), _paused(self.pauses), _read(self.stop)
        self._clear()
        # A job that died without a word (out of memory, say) is a failure; of a signal to the whole group any may die.
        speechless = len(workflow.scheduler.failed) > len(paused) and not stopped
        if failed or speechless or not (paused or stopped):
            words = [failed.rstrip() or "a job failed, see above", *(f"paused: {_standing(job)}" for job in paused)]
            _print([*words, f"Mend it and run the same command again: {GO_ON}"])
            return
        why = f"asked to stop ({stopped})" if stopped else paused[0]["why"]
        rules = sorted((job.rule for job in workflow.dag.needrun_jobs()), key=list(workflow.rules).index)
        left = [stage_of(rule.shellcmd or "") for rule in rules]
        _print([f"PAUSED: {why}", *summary(paused, left), f"Run the same command again: {GO_ON}", *_for_make()])
        sys.exit(pausing.PAUSED)

    def _clear(self) -> None:
        for path in (self.failures, self.pauses, self.stop):
            path.unlink(missing_ok=True)


def summary(paused: list[dict[str, Any]], left: Iterable[str]) -> list[str]:
    """How far paused jobs are, and what else there is to do, with the time each may take.

    Args:
        paused: what jobs left behind (``pausing.leave_word``).
        left: the stage of every job that is not finished, the paused ones among them.
    """
    begun = [job for job in paused if job.get("done")]
    todo = Counter(stage for stage in left if stage) - Counter(job["name"].split()[0] for job in begun)
    lines = [f"  {_standing(job)}" for job in begun]
    if todo:
        estimates = (f"{number} {stage} ({_estimate(stage, number)})" for stage, number in todo.items())
        lines.append(f"  still to do: {', '.join(estimates)}")
    return lines


def _standing(job: dict[str, Any]) -> str:
    if not job.get("done"):
        return job["name"]
    left = progress.seconds_to_go(job)
    rest = f"about {duration(left)} to go" if left is not None else "rest unknown"
    return f"{job['name']}: {job['done']} of {job['total']} {job['unit']}, {rest}"


def _estimate(stage: str, number: int) -> str:
    """What so many jobs of a stage take, one after the other, by what finished ones of it took."""
    records = (store.read_done(path.parent) for path in sorted((store.WORK / stage).glob(f"*/{store.DONE}")))
    seconds = [record["costs"]["seconds"] for record in records if record and "costs" in record]
    return f"about {duration(number * statistics.median(seconds))}" if seconds else "unknown"


def _for_make() -> list[str]:
    return ["(`make` calls this an error: its `Error 75` means paused.)"] if "MAKELEVEL" in os.environ else []


def _print(lines: Iterable[str]) -> None:
    print("\n" + "\n".join(lines) + "\n", file=sys.stderr, flush=True)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _paused(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _read(path).splitlines()]

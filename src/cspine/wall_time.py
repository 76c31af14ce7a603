"""When the scheduler of a cluster will end the job that this process is in: Slurm's wall time.

Only the workflow's own processes ask, once each, and hand the answer on as a deadline (``cspine.budget``).
"""

from __future__ import annotations

import os
import subprocess

from cspine import budget
from cspine.progress import say

JOB, END = "SLURM_JOB_ID", "SLURM_JOB_END_TIME"
ANSWER_SECONDS = 30.0


def respect() -> None:
    """Inside a job of Slurm, let everything be saved before it is ended; elsewhere this does nothing."""
    if JOB in os.environ and (end := end_of_job()) is not None:
        budget.limit(end)


def end_of_job() -> float | None:
    """When this job of Slurm will be ended, in seconds since 1970; None without a limit, or where nobody can tell.

    Recent versions say it in the environment, of batch jobs; steps and older versions have to ask.
    """
    return _seconds(os.environ.get(END, "")) or _seconds(_asked())


def _asked() -> str:
    # in the person's own time format it would be a date without a zone
    environment = {**os.environ, "SLURM_TIME_FORMAT": "%s"}
    call = ["squeue", "--noheader", "--jobs", os.environ[JOB], "--format", "%e"]
    try:
        done = subprocess.run(
            call, env=environment, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        say(f"Slurm does not say when this job ends ({error}): what it cuts off goes on from its last checkpoint")
        return ""
    return done.stdout.strip()


def _seconds(text: str) -> float | None:
    """Slurm's answer as a number; None for an end that is not set (N/A, Unknown, NONE)."""
    return float(text) if text.isdecimal() and int(text) > 0 else None

"""Jobs that would run on another machine: those whose result is in the store already are answered here instead.

To Snakemake a job is a job: it would queue each for minutes or hours, to find in a second that nothing is to be done.
Known only when a job's inputs are there, because a stage before it may yet write what it wrote before.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cspine import lists, planning, store
from cspine.cli import request_of
from cspine.errors import CspineError
from cspine.store import elsewhere, records
from cspine.store.roots import COPY_MB

MEGABYTE = 10**6


def answer_hits_here(workflow: Any) -> None:
    """From now on Snakemake runs what the store can answer on this machine, as it does with ``localrules``.

    To be called in the main process, before its first job. It asks each job whether it is local when it is ready.
    """
    from snakemake.jobs import Job

    by_rule = Job.is_local.fget
    answers: dict[Any, bool] = {}  # the answer has to stay: by it Snakemake finds the executor of a finished job

    def is_local(job: Any) -> bool:
        if job not in answers and job in workflow.dag.ready_jobs:
            answers[job] = True  # its command names its resources, and those ask this again
            answers[job] = is_answered(job.shellcmd or "")
        return by_rule(job) or answers.get(job, False)

    Job.is_local = property(is_local)


def is_answered(command: str) -> bool:
    """Whether a rule's shell command has nothing to do but put in place what the store has.

    Not of a stage that looks into the raw folder for its key, nor where a large result lies in an earlier session's
    folder: what takes minutes to look up is done by a machine that is there for it.
    """
    job = next(iter(planning.commands_in(command)), None)
    if job is None or job.signature.observe:
        return False
    try:
        request = request_of(job.signature, lists.expanded(job.signature, job.values), job.options)
        folder = store.WORK / job.stage / request.key()
    except CspineError:
        return False  # an input that is damaged or gone: the job says it better
    return store.lookup(folder) is not None or _is_small_elsewhere(folder)


def _is_small_elsewhere(folder: Path) -> bool:
    limit = float(os.environ.get(COPY_MB, "64")) * MEGABYTE
    found = next((done for root in elsewhere.roots() if (done := root.done(folder))), None)
    return found is not None and sum(output["size"] for output in records.outputs_of(found)) <= limit

"""What a run would do: each planned job marked as in place, hit, resume, run, or unknown until its inputs exist.

Snakemake names the jobs: a dry run prints the exact command line of each, as if nothing were there. Whether a job has
anything to do is then asked of the store, as the job itself would ask. Nothing is changed and no lock is taken.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cspine import lists, progress, store
from cspine.cli import RUNNER_OPTIONS, request_of, split
from cspine.errors import CspineError
from cspine.present import CommandLine
from cspine.signature import Signature, signature_of
from cspine.store import adoption, elsewhere, locks
from cspine.store.contents import Contents
from cspine.store.holdings import held

IN_PLACE, HIT, RESUME, RUN, UNKNOWN = "in place", "hit", "resume", "run", "unknown"
COMMAND = re.compile(r"^(?:Shell command: |\s*)(python -m cspine \w+ --.*)$", re.MULTILINE)
MOST_LINES = 8  # of an error of Snakemake
Inputs = dict[str, list[Path]]


@dataclass(frozen=True)
class Job:
    """One ``python -m cspine <stage> …`` of a run."""

    words: tuple[str, ...]  # from the stage on, with files instead of lists
    lists: tuple[Path, ...] = ()  # that stand in the command itself

    @property
    def stage(self) -> str:
        return self.words[0]

    @property
    def at(self) -> str:
        return self.options.get("at", "")

    @cached_property
    def signature(self) -> Signature:
        return signature_of(self.stage)

    @cached_property
    def _given(self) -> dict[str, list[str]]:
        return split(self.signature, list(self.words[1:]))

    @property
    def options(self) -> dict[str, str]:
        return {name: given[0] for name, given in self._given.items() if name in RUNNER_OPTIONS}

    @property
    def values(self) -> dict[str, list[str]]:
        return {name: given for name, given in self._given.items() if name not in RUNNER_OPTIONS}

    @cached_property
    def inputs(self) -> Inputs:
        """What it reads, by parameter."""
        return self._of_kinds("InPath")

    @cached_property
    def outputs(self) -> Inputs:
        """What it makes, by parameter."""
        return self._of_kinds("OutPath", "OutCopy")

    def _of_kinds(self, *kinds: str) -> Inputs:
        return {p.name: [Path(v) for v in self.values.get(p.name, ())] for p in self.signature.of_kind(*kinds)}


@dataclass(frozen=True)
class Mark:
    """What a run would do about one job."""

    job: Job
    kind: str
    folder: Path | None = None  # where it lies or would lie, here or in an earlier session's work/
    done: dict[str, Any] | None = None  # the record of a hit
    share: float = 0.0  # of an unfinished result, how much is done; 0 where nobody knows
    note: str = ""


@dataclass(frozen=True)
class Content:
    """What a job will read: its digest, and a file that has it already, unless that is in an archive."""

    digest: str
    file: Path | None


def jobs_of(line: CommandLine, cores: int = 1) -> list[Job]:
    """Every job that the targets of ``line`` stand on, whether its outputs are there or not.

    Args:
        line: the run's.
        cores: that it will be given, which caps the workers of a job.

    Raises:
        CspineError: Snakemake cannot plan; the message is its own.
    """
    call = [sys.executable, "-m", "snakemake", "--snakefile", str((line.base / "Snakefile").resolve())]
    # by default Snakemake asks for the inputs' sizes, and fails where a link leads to nothing
    call += ["--default-resources", "mem_mb=1", "disk_mb=1"]
    call += ["--quiet", "host", "--dry-run", "--printshellcmds", "--forceall", "--cores", str(cores), *line.words()]
    done = subprocess.run(call, cwd=line.start, capture_output=True, text=True)
    if done.returncode:
        raise CspineError("Snakemake cannot plan this:\n  " + "\n  ".join(complaint(done.stdout + done.stderr)))
    return _with_files(commands_in(done.stdout))


def commands_in(printed: str) -> list[Job]:
    """The commands of stages in what Snakemake printed, or in a rule's shell command, each once; lists as they are."""
    return [Job(tuple(shlex.split(found)[3:])) for found in dict.fromkeys(COMMAND.findall(printed))]


def inputs_by_output(jobs: Iterable[Job]) -> dict[Path, Inputs]:
    """What each output would be made from: the wiring of a plan."""
    return {path: job.inputs for job in jobs for path in _all(job.outputs)}


def _with_files(jobs: list[Job]) -> list[Job]:
    """The jobs with the files that are named by the lists they are given, whether these are there or not."""
    makers = {str(path): job for job in jobs for path in _all(job.outputs) if path.suffix == lists.SUFFIX}
    files = {path: [str(file) for file in _all(job.inputs)] for path, job in makers.items()}

    def with_files(job: Job) -> Job:
        named = [str(path) for path in _all(job.inputs) if str(path) in files]
        if not named:
            return job
        return Job(tuple(w for word in job.words for w in files.get(word, [word])), tuple(map(Path, named)))

    return [with_files(job) for job in jobs]


def complaint(printed: str) -> list[str]:
    """The error in what Snakemake printed, without what it says about every plan."""
    lines = [line for line in printed.splitlines() if line.strip() and not line.startswith("Using workflow specific")]
    first = next((i for i, line in enumerate(lines) if re.search(r"Exception|Error|error:", line)), 0)
    return lines[first:][:MOST_LINES]


class Marks:
    """The marks of a plan's jobs.

    Args:
        jobs: all that the targets stand on.
        stale: outputs that a run would take away before planning.
    """

    def __init__(self, jobs: list[Job], stale: Iterable[Path]) -> None:
        self.jobs, self._stale = jobs, set(stale)
        self._maker = {path: job for job in jobs for paths in job.outputs.values() for path in paths}
        self._known: dict[Job, Mark] = {}
        self._contents = Contents()

    def needed(self) -> list[Mark]:
        """The marks of all jobs that a run would have: what nothing makes use of any more is left out.

        Snakemake does not make a missing intermediate file when all that is made from it is there.
        """
        users: dict[Job, list[Job]] = {job: [] for job in self.jobs}
        for job in self.jobs:
            for maker in {self._maker[path] for path in (*_all(job.inputs), *job.lists) if path in self._maker}:
                users[maker].append(job)
        wanted: dict[Job, bool] = {}

        def is_wanted(job: Job) -> bool:
            if job not in wanted:
                makes = [user for user in users[job] if self.of(user).kind != IN_PLACE]
                wanted[job] = not users[job] or any([is_wanted(user) for user in makes])
            return wanted[job]

        return [self.of(job) for job in self.jobs if is_wanted(job) or self.of(job).kind == IN_PLACE]

    def of(self, job: Job) -> Mark:
        """The mark of one job."""
        if job not in self._known:
            self._known[job] = self._mark(job)
        return self._known[job]

    def _mark(self, job: Job) -> Mark:
        if all(path.exists() and path not in self._stale for path in _all(job.outputs)):
            return Mark(job, IN_PLACE)
        known: dict[str, list[Content]] = {}
        for name, paths in job.inputs.items():
            found = [self._content(path) for path in paths]
            known[name] = [content for content in found if content]
            if len(known[name]) < len(paths):
                return Mark(job, UNKNOWN)
        return _looked_up(job, known)

    def _content(self, path: Path) -> Content | None:
        """What will be at ``path``; None while nobody knows."""
        maker = self._maker.get(path)
        mark = self.of(maker) if maker else None
        if maker is None or mark is None or mark.kind == IN_PLACE:
            digest = self._contents.at(path)
            return Content(digest, path) if digest is not None else None
        if mark.done is None or mark.folder is None:
            return None
        parameter, position = next((n, ps.index(path)) for n, ps in maker.outputs.items() if path in ps)
        output = mark.done["outputs"][parameter][position]
        file = mark.folder / output["file"]
        return Content(output["digest"], file if file.exists() else None)


def _looked_up(job: Job, known: dict[str, list[Content]]) -> Mark:
    """The mark of a job whose inputs are all known: what its lookup will find."""
    here = {
        name: [str(c.file or path) for c, path in zip(known[name], job.inputs[name], strict=True)] for name in known
    }
    if job.signature.observe and any(content.file is None for listed in known.values() for content in listed):
        return Mark(job, UNKNOWN)  # the raw folder is read by a list that is in an archive
    values = {**job.values, **{name: files for name, files in here.items() if name in job.values}}
    request = request_of(job.signature, values, job.options)
    digests = {name: [content.digest for content in known[name]] for name in sorted(request.inputs)}
    key = store.key_of(request.stage, request.code, request.config, digests, request.observed, request.versions)
    folder = store.WORK / job.stage / key
    if done := store.lookup(folder):
        return Mark(job, HIT, folder, done)
    for root in elsewhere.roots():
        if done := root.done(folder):
            return Mark(job, HIT, Path(root.name, job.stage, key), done, note=f"in {root.name}")
    return _unfinished(job, folder) or _missed(job, request, folder)


def _unfinished(job: Job, folder: Path) -> Mark | None:
    if held(folder).begun:
        return Mark(job, RESUME, folder, share=_share(folder), note=_worked_on(folder))
    for root in elsewhere.roots():
        if any(name.startswith(f"{store.SCRATCH}/") for name in root.names(folder)):
            there = Path(root.name, job.stage, folder.name)
            return Mark(job, RESUME, there, share=_share(there), note=f"from {root.name}")
    return None


def _missed(job: Job, request: store.Request, folder: Path) -> Mark:
    others = adoption.worth_adopting(request, folder)
    note = f"made by other code, see `python -m cspine adopt {job.stage}`" if others else ""
    return Mark(job, RUN, folder, note=_worked_on(folder) or note)


def _worked_on(folder: Path) -> str:
    who = locks.holder(folder)
    return f"being worked on by {who}" if who else ""


def _share(folder: Path) -> float:
    standing = progress.standing(folder)
    return standing["done"] / standing["total"] if standing and standing["total"] else 0.0


def _all(paths: Inputs) -> list[Path]:
    return [path for listed in paths.values() for path in listed]

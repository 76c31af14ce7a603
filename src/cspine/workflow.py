"""What the Snakefile does in Python: the checked config, each rule's block and code, and the words at start and end.

Nothing here knows a stage by name; paths and rules are the workflow's, blocks are ``cspine.blocks``'.
"""

from __future__ import annotations

import functools
import gc
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from cspine import blocks, budget, gpus, project_files, queueing, runs, runtime, terminal, tracking, wall_time
from cspine.config import complete_config, read_yaml
from cspine.endings import Ending
from cspine.fingerprint import fingerprint, remember
from cspine.hashing import canonical_json
from cspine.layers import Config, is_phantom
from cspine.present import SCHEMA, found, record_run, shown
from cspine.store import keeping, key_versions, locks, needs, receipts, roots
from cspine.store.wiring import wiring_of

RESULTS = Path("results")
SNAKEMAKE_LOGGER = "snakemake.logging"  # its handler writes to the terminal
HERE = ("local", "dryrun", "touch")  #: executors whose jobs run on this machine
# fmt: off
LOOKS_ONLY = (
    "dryrun", "lint", "list_rules", "list_target_rules", "print_compilation", "dag", "rulegraph", "filegraph", "d3dag",
    "summary", "detailed_summary", "archive", "containerize", "report", "generate_unit_tests", "unlock", "touch",
    "cleanup_metadata", "cleanup_shadow", "list_conda_envs", "list_changes", "list_input_changes",
    "list_params_changes", "delete_all_output", "delete_temp_output",
)
# fmt: on


class Plan:
    """The config of this run and what the rules ask of it."""

    def __init__(self, workflow: Any, raw: Config) -> None:
        base = self._base = Path(workflow.basedir)
        sources = {shown(str(name), base): read_yaml(found(name, base)) for name in reversed(workflow.configfiles)}
        self.config = complete_config(raw, read_yaml(base / SCHEMA), sources)
        self.is_phantom = is_phantom(self.config)
        self._elsewhere = _executor(sys.argv[1:]) not in HERE
        self.gpu = gpu_of_a_job(self.config["runtime"]["device"], self._elsewhere)
        self._set_environment(base)
        #: processes of a training or a prediction, a device each
        self.devices = devices_of_a_job(self.config["runtime"]["devices"])
        #: of the run; a cluster's command has none of its own
        self.cores = workflow.resource_settings.cores or os.cpu_count() or 1
        self._name_earlier_sessions(Path(workflow.workdir_init), workflow.is_main_process)
        self._ending: Ending | None = None
        self._looks = _only_looks(sys.argv[1:])
        if workflow.is_main_process:
            # The plan of a large run is millions of objects that all live until the end; the collector would walk them
            # again and again, a sixth of the time that planning takes. Jobs are processes of their own.
            gc.disable()
            if not self._looks:
                self._lock = _locked()
                _write_whole_lines()
                self._ending = Ending(Path(".snakemake"))
                budget.begin(self.config["time_budget"])
                record_run(workflow, targets_of(sys.argv[1:]))
            runtime.announce_main_process()
        if not self._looks:
            wall_time.respect()

    def method(self, name: str, round: int = 0) -> Config:
        """The method's block as it is in ``round``."""
        return blocks.method_of(self.config, name, round)

    def block_json(self, stage: str, **at: str) -> str:
        """The one config block of a rule: one text for one value, so that order and 5 against 5.0 trigger nothing."""
        return canonical_json(blocks.block(self.config, stage, **at))

    def code(self, stage: str, **at: str) -> str:
        """The fingerprint of the code behind a rule."""
        return fingerprint(stage, blocks.block(self.config, stage, **at).get("family"))

    def project_files(self) -> list[str]:
        """Every file of the project, as seen from the working directory: what its wheel is made of."""
        return [os.path.relpath(path) for path in project_files.of_checkout(self._base).values()]

    def wheel_name(self) -> str:
        """The name of the project's wheel."""
        return project_files.wheel_name(self._base / "pyproject.toml")

    def project_file(self, name: str) -> str:
        """A file of the project, as seen from the working directory: an experiment works in a folder of its own."""
        return os.path.relpath(self._base / name)

    @staticmethod
    def listed(value: Any) -> list[str]:
        """One or many paths as a list of texts."""
        return [value] if isinstance(value, str) else [str(v) for v in value]

    def forget_stale_outputs(self, workflow: Any) -> None:
        """Before planning, when all rules are read: take away what does not match the present, or only say so."""
        if not workflow.is_main_process:
            return
        root = Path(self.config["data"]["root"])
        block = functools.partial(blocks.block, self.config)
        stale = receipts.stale_outputs(RESULTS, block, root, wiring_of(workflow))
        if not self._looks:
            receipts.unlink(stale)
            receipts.sweep(RESULTS)
        large = None if self._looks else keeping.warning(self.config["store"]["max_gb"], block)
        for line in [*receipts.summary(stale, dry=self._looks), *([large] if large else [])]:
            print(line, file=sys.stderr)

    def begin(self, workflow: Any) -> None:
        """Before the first job; jobs that Snakemake runs in a process of its own (Slurm) leave signals to the job."""
        gc.freeze()
        gc.enable()
        if self._ending:
            self._ending.listen()
            remember()
            runs.record(runs.jobs_of(workflow))
            if self._elsewhere:
                queueing.answer_hits_here(workflow)

    def end(self, workflow: Any) -> None:
        """After a run that did not reach its target."""
        if self._ending:
            self._ending.tell(workflow)

    def _set_environment(self, base: Path) -> None:
        # Jobs inherit it. PATH: `.venv/bin/snakemake` must find its own python also where no venv was activated.
        environment = os.environ
        environment["PYTHONPATH"] = os.pathsep.join(_first(str(base / "src"), environment.get("PYTHONPATH", "")))
        environment["PATH"] = os.pathsep.join(_first(str(Path(sys.executable).parent), environment.get("PATH", "")))
        environment[runtime.VARIABLE] = json.dumps(self.config["runtime"])
        environment[tracking.VARIABLE] = json.dumps(self.config["tracking"])
        key_versions.announce(self.config["store"]["key_versions"])

    def _name_earlier_sessions(self, start: Path, tell: bool) -> None:
        """Name them to the jobs; relative paths count from where the user called (``start``)."""
        inside = Path(os.path.relpath(Path.cwd(), start))
        os.environ[roots.VARIABLE] = json.dumps(roots.places_of(self.config["resume_from"], start, inside))
        os.environ[roots.COPY_MB] = str(self.config["store"]["copy_mb"])
        for line in needs.unmet(roots.roots()) if tell else []:
            print(line, file=sys.stderr)


def gpu_of_a_job(device: str, elsewhere: bool) -> int:
    """How much of the resource ``gpu`` a job with a network takes: nothing where all of them compute on this CPU.

    There, as many run side by side as cores and memory allow.

    Args:
        device: ``runtime.device``.
        elsewhere: jobs run on other machines (Slurm), whose GPUs cannot be seen from here.
    """
    on_cpu = device == "cpu" or (device == "auto" and shutil.which("nvidia-smi") is None)
    return 0 if on_cpu and not elsewhere else 1


def devices_of_a_job(wanted: int | str) -> int:
    """How many devices a training takes (``runtime.devices``); ``auto``: all GPUs to be seen from here, or one."""
    return max(1, len(gpus.choice())) if wanted == "auto" else int(wanted)


def targets_of(argv: list[str]) -> set[str]:
    """The targets this call of Snakemake asks for; none when the process was not started as ``snakemake``."""
    arguments = _arguments(argv)
    return set(arguments.targets or ()) if arguments else set()


def _executor(argv: list[str]) -> str:
    """Who runs the jobs, by Snakemake's name for it; "local" when this is no call of Snakemake."""
    return str(getattr(_arguments(argv), "executor", None) or "local")


def _locked() -> TextIO | None:
    """One run at a time in one folder, from before the first output is taken away; whoever only looks needs no lock.

    The kernel lets go of it when the process dies, however it dies.
    """
    try:
        return locks.run_alone()
    except BlockingIOError:
        print("another run is at work in this folder; nothing was changed", file=sys.stderr)
        sys.exit(3)
    except OSError as error:
        print(f"this file system cannot lock files ({error}): take care that no two runs share it", file=sys.stderr)
        return None


def _write_whole_lines() -> None:
    """Let this process, and what Snakemake logs, write over the bar that a job may have drawn in the terminal."""
    before = sys.stderr
    sys.stderr = terminal.whole(before)
    for handler in logging.getLogger(SNAKEMAKE_LOGGER).handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is before:
            handler.setStream(sys.stderr)


def _only_looks(argv: list[str]) -> bool:
    """Whether this call of Snakemake only reports (dry run, lint, drawings): then nothing may be unlinked."""
    arguments = _arguments(argv)
    return arguments is None or any(getattr(arguments, name, None) for name in LOOKS_ONLY)


def _arguments(argv: list[str]) -> Any:
    """Snakemake's own reading of its command line: the Snakefile is read before Snakemake tells it."""
    return _parsed(tuple(argv))


@functools.cache
def _parsed(argv: tuple[str, ...]) -> Any:
    from snakemake.cli import parse_args  # a quarter of a second: it asks all of Snakemake's plugins

    try:
        return parse_args(list(argv))[1]
    except (Exception, SystemExit):
        return None


def _first(entry: str, path: str) -> Iterable[str]:
    return [entry, *(p for p in path.split(os.pathsep) if p and p != entry)]

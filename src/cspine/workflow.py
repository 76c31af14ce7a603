"""What the Snakefile does in Python: the checked config, each rule's block and code, and the words at start and end.

Nothing here knows a stage by name; paths and rules are the workflow's, blocks are ``cspine.blocks``'.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from cspine import blocks, receipts, runtime, tracking
from cspine.cli import FAILURES
from cspine.config import complete_config, read_yaml
from cspine.fingerprint import fingerprint
from cspine.hashing import canonical_json
from cspine.layers import Config, is_phantom

RESULTS = Path("results")
SCHEMA = Path("workflow/schemas/config.schema.yaml")
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
        base = Path(workflow.basedir)
        sources = {_shown(name, base): read_yaml(_found(name, base)) for name in reversed(workflow.configfiles)}
        self.config = complete_config(raw, read_yaml(base / SCHEMA), sources)
        self.is_phantom = is_phantom(self.config)
        self._set_environment(base)
        self._told = False
        if workflow.is_main_process:
            looks = _only_looks(sys.argv[1:])
            self._lock = None if looks else _locked()
            runtime.announce_main_process()
            self._forget_stale_outputs(looks)

    def method(self, name: str, round: int = 0) -> Config:
        """The method's block as it is in ``round``."""
        return blocks.method_of(self.config, name, round)

    def block_json(self, stage: str, **at: str) -> str:
        """The one config block of a rule: one text for one value, so that order and 5 against 5.0 trigger nothing."""
        return canonical_json(blocks.block(self.config, stage, **at))

    def code(self, stage: str, **at: str) -> str:
        """The fingerprint of the code behind a rule."""
        return fingerprint(stage, blocks.block(self.config, stage, **at).get("family"))

    @staticmethod
    def listed(value: Any) -> list[str]:
        """One or many paths as a list of texts."""
        return [value] if isinstance(value, str) else [str(v) for v in value]

    def explain(self, log: str) -> None:
        """After a run with errors. Called twice when a handler exits, hence the guard."""
        if self._told:
            return
        self._told = True
        failures = Path(os.environ[FAILURES])
        words = failures.read_text(encoding="utf-8") if failures.exists() else "a job failed, see above\n"
        failures.unlink(missing_ok=True)
        rest = "Mend it and run the same command again: what is finished stays, what was begun goes on."
        print(f"\n{words}{rest}\n", file=sys.stderr, flush=True)

    def _set_environment(self, base: Path) -> None:
        # Jobs inherit it. PATH: `.venv/bin/snakemake` must find its own python also where no venv was activated.
        environment = os.environ
        environment["PYTHONPATH"] = os.pathsep.join(_first(str(base / "src"), environment.get("PYTHONPATH", "")))
        environment["PATH"] = os.pathsep.join(_first(str(Path(sys.executable).parent), environment.get("PATH", "")))
        environment.setdefault(FAILURES, str(Path(".snakemake", f"failures-{os.getpid()}.txt").absolute()))
        environment[runtime.VARIABLE] = json.dumps(self.config["runtime"])
        environment[tracking.VARIABLE] = json.dumps(self.config["tracking"])

    def _forget_stale_outputs(self, looks: bool) -> None:
        root = Path(self.config["data"]["root"])
        stale = receipts.stale_outputs(RESULTS, lambda stage, **at: blocks.block(self.config, stage, **at), root)
        if not looks:
            receipts.unlink(stale)
        for line in receipts.summary(stale, dry=looks):
            print(line, file=sys.stderr)


def targets_of(argv: list[str]) -> set[str]:
    """The targets this call of Snakemake asks for; none when the process was not started as ``snakemake``."""
    arguments = _arguments(argv)
    return set(arguments.targets or ()) if arguments else set()


def _locked() -> TextIO:
    """One run at a time in one folder, from before the first output is taken away; whoever only looks needs no lock.

    The kernel lets go of it when the process dies, however it dies.
    """
    Path(".snakemake").mkdir(exist_ok=True)
    lock = Path(".snakemake/run.lock").open("w", encoding="utf-8")  # noqa: SIM115 - held until the end
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another run is at work in this folder; nothing was changed", file=sys.stderr)
        sys.exit(3)
    except OSError as error:
        print(f"this file system cannot lock files ({error}): take care that no two runs share it", file=sys.stderr)
    return lock


def _only_looks(argv: list[str]) -> bool:
    """Whether this call of Snakemake only reports (dry run, lint, drawings): then nothing may be unlinked."""
    arguments = _arguments(argv)
    return arguments is None or any(getattr(arguments, name, None) for name in LOOKS_ONLY)


def _arguments(argv: list[str]) -> Any:
    """Snakemake's own reading of its command line: the Snakefile is read before Snakemake tells it."""
    from snakemake.cli import parse_args

    try:
        return parse_args(argv)[1]
    except (Exception, SystemExit):
        return None


def _first(entry: str, path: str) -> Iterable[str]:
    return [entry, *(p for p in path.split(os.pathsep) if p and p != entry)]


def _found(name: str, base: Path) -> Path:
    """The config file ``name``; an experiment has left the folder that the Snakefile's own names start from."""
    return Path(name) if Path(name).exists() else base / name


def _shown(name: str, base: Path) -> str:
    path = Path(name).resolve()
    return str(path.relative_to(base.resolve())) if path.is_relative_to(base.resolve()) else name

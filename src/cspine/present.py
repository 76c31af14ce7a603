"""The present a command compares with: the config as it is now, read from the files and settings of the last run.

The workflow's main process leaves in work/last_run.json which files and settings its command line named. Only their
names are kept: a value edited in config.yaml since then counts.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cspine import blocks
from cspine.config import complete_config, read_yaml
from cspine.errors import CspineError
from cspine.hashing import canonical_json
from cspine.layers import Config, merged
from cspine.progress import say
from cspine.store import key_versions, roots
from cspine.store.records import WORK, write_json

SCHEMA = Path("workflow/schemas/config.schema.yaml")
LAST_RUN = WORK / "last_run.json"
DEFAULT = "config.yaml"
DEFAULT_TARGETS = ("submission",)


@dataclass(frozen=True)
class CommandLine:
    """What a call of Snakemake says about the config and the targets."""

    base: Path  # folder of the Snakefile
    start: Path  # folder in which Snakemake was called; an experiment leaves it
    own: tuple[str, ...]  # config files that the Snakefile names
    configfile: tuple[str, ...]  # files given by --configfile, in order
    config: Config  # settings given by --config
    targets: tuple[str, ...]
    whence: str  # where this is known from, in words
    given: tuple[str, ...] = ()  # the line itself, when a person typed it

    def words(self) -> list[str]:
        """The same as arguments of Snakemake."""
        if self.given:
            return [*self.given, *(() if self.targets else ("--", *DEFAULT_TARGETS))]
        files = ["--configfile", *(str(found(name, self.base).resolve()) for name in self.configfile)]
        settings = [
            "--config",
            *(f"{k}={v if isinstance(v, str) else canonical_json(v)}" for k, v in self.config.items()),
        ]
        options = (files if self.configfile else []) + (settings if self.config else [])
        return [*options, "--", *(self.targets or DEFAULT_TARGETS)]

    def sources(self) -> str:
        """What the config is made of, in words."""
        settings = [f"{k}={v}" for k, v in self.config.items()]
        return ", ".join([*self.own, *self.configfile, *settings]) + f" ({self.whence})"


@dataclass(frozen=True)
class Present:
    """The config as it is now, and what it was read from."""

    config: Config
    line: CommandLine

    def __str__(self) -> str:
        return f"compared with {self.line.sources()}"

    def block(self, stage: str, **at: str) -> Config:
        """The present config block of a stage; see ``cspine.blocks``."""
        return blocks.block(self.config, stage, **at)

    @property
    def root(self) -> Path:
        """The present raw folder."""
        return Path(self.config["data"]["root"])

    def announce(self) -> None:
        """Have lookups in this process count and look where those of a run would; what is not mounted is left out.

        Raises:
            CspineError: a library of store.key_versions is not installed.
        """
        key_versions.announce(self.config["store"]["key_versions"])
        start = self.line.start.resolve()
        inside = Path(os.path.relpath(Path.cwd(), start))
        try:
            places = roots.places_of(self.config["resume_from"], start, inside)
        except CspineError as error:
            say(str(error))
            places = []
        os.environ[roots.VARIABLE] = json.dumps(places)


def present(configfile: Iterable[str] | None = None, config: Iterable[str] | None = None) -> Present:
    """The present config by the files and settings given, else by those of the last run, else config.yaml's.

    Args:
        configfile: as Snakemake's --configfile.
        config: as Snakemake's --config, e.g. ``set=folds.count=5``; without ``configfile`` on the last run's files.

    Raises:
        CspineError: a file cannot be read, or the config is wrong.
    """
    line = _last_run()
    if configfile or config:
        files = tuple(configfile) if configfile else line.configfile
        whence = "as given" if configfile or not files else "files as in the last run, settings as given"
        line = CommandLine(line.base, Path(), line.own, files, settings(config), line.targets, whence)
    return Present(read_config(line), line)


def present_by(words: Iterable[str]) -> Present:
    """The present config by arguments of Snakemake: targets and options; without any as ``present``.

    Raises:
        CspineError: a file cannot be read, or the config is wrong.
    """
    given = tuple(words)
    if not given:
        return present()
    from snakemake.cli import parse_args

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):  # it names the profile it has read
            arguments, last = parse_args(list(given))[1], _last_run()
    except SystemExit:
        raise CspineError(said.getvalue().strip()) from None
    files, targets = tuple(map(str, arguments.configfile or ())), tuple(arguments.targets or ())
    line = CommandLine(
        last.base, Path(), last.own, files, settings(arguments.config), targets, "as given", given
    )  # fmt: skip
    return Present(read_config(line), line)


def read_config(line: CommandLine) -> Config:
    """The checked config of a command line, from its files as they are now."""
    sources = {name: read_yaml(found(name, line.base)) for name in (*line.own, *line.configfile)}
    raw: Config = {}
    for content in [*sources.values(), line.config]:
        raw = merged(raw, content)
    return complete_config(raw, read_yaml(line.base / SCHEMA), sources)


def settings(config: Iterable[str] | None) -> Config:
    """``--config`` as Snakemake reads it."""
    if not config:
        return {}
    from snakemake.cli import parse_config

    try:
        return dict(parse_config(list(config)))
    except ValueError as error:
        raise CspineError(f"--config: {error}") from None


def record_run(workflow: Any, targets: Iterable[str]) -> None:
    """Leave in work/last_run.json what this run's config is made of."""
    base, given = Path(workflow.basedir), workflow.config_settings
    files = [str(path) for path in given.configfiles]
    WORK.mkdir(exist_ok=True)
    record = {
        "time": round(time.time(), 1),
        "base": os.path.relpath(base),
        "start": os.path.relpath(getattr(workflow, "workdir_init", None) or base),
        "own": [shown(str(name), base) for name in workflow.configfiles if str(name) not in files],
        "configfile": [shown(name, base) for name in files],
        "config": dict(given.config),
        "targets": sorted(targets),
    }
    write_json(LAST_RUN, record)


def found(name: str, base: Path) -> Path:
    """The config file ``name``; an experiment has left the folder that the Snakefile's own names start from."""
    return Path(name) if Path(name).exists() else base / name


def shown(name: str, base: Path) -> str:
    """``name`` as seen from the folder of the Snakefile, when it lies in it."""
    path = (base / name).resolve()
    return str(path.relative_to(base.resolve())) if path.is_relative_to(base.resolve()) else name


def _last_run() -> CommandLine:
    try:
        last = json.loads(LAST_RUN.read_text(encoding="utf-8"))
        base, start = Path(last["base"]), Path(last["start"])
        own, files, targets = (tuple(last[name]) for name in ("own", "configfile", "targets"))
        if (base / SCHEMA).is_file():
            return CommandLine(base, start, own, files, dict(last["config"]), targets, "as the last run")
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass
    here = [place for place in (Path(), Path(__file__).parents[2]) if (place / SCHEMA).is_file()]
    if not here:
        raise CspineError(f"no {SCHEMA} here; ask in the folder of the Snakefile")
    return CommandLine(here[0], Path(), (DEFAULT,), (), {}, (), "no run is recorded here")

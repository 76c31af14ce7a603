"""A target's whole chain in one process: Snakemake says the commands once, the real stages run in the real store.

The workflow through processes costs a minute a run, and what runs again when a key changes is asked a hundred times.
"""

from __future__ import annotations

import copy
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cspine import lists, study_pool
from cspine.blocks import block
from cspine.cli import RUNNER_OPTIONS, main, request_of, split
from cspine.config import complete_config, read_yaml
from cspine.crew import Task
from cspine.hashing import canonical_json
from cspine.layers import Config, merged
from cspine.signature import signature_of
from cspine.store import key_versions, receipts
from smoke_projects import ROOT, checkout

SCHEMA = read_yaml(ROOT / "workflow/schemas/config.schema.yaml")


@dataclass(frozen=True)
class Command:
    """One ``python -m cspine <stage> …`` of a chain, as the workflow would run it."""

    words: tuple[str, ...]

    @property
    def stage(self) -> str:
        return self.words[0]

    @cached_property
    def at(self) -> dict[str, str]:
        given = self.words[self.words.index("--at") + 1] if "--at" in self.words else ""
        return dict(pair.split("=") for pair in given.split(",") if pair)

    @property
    def name(self) -> str:
        """The stage, then cohort and shard or fold and round and part: what tells it apart from others of its stage.

        Localizers share their training sets, which whoever comes first builds.
        """
        told: tuple[str, ...] = ("cohort", "shard", "fold", "inner", "round", "part", "member")
        if self.stage != "build_localizer_set":
            told = ("localizer", *told)
        return " ".join([self.stage, *(self.at[name] for name in told if name in self.at)])

    def inputs(self) -> dict[str, list[Path]]:
        """What the command reads, by parameter."""
        return {p.name: self._given(p.name) for p in signature_of(self.stage).of_kind("InPath")}

    def paths(self, *kinds: str) -> set[Path]:
        """What the command reads (InPath) or writes (OutPath, OutCopy)."""
        return {path for p in signature_of(self.stage).of_kind(*kinds) for path in self._given(p.name)}

    def key(self) -> str:
        """Its address in the store at this moment."""
        signature = signature_of(self.stage)
        values = lists.expanded(signature, split(signature, list(self.words[1:])))
        options = {name: values.pop(name)[0] for name in RUNNER_OPTIONS if name in values}
        return request_of(signature, values, options).key()

    def _given(self, parameter: str) -> list[Path]:
        values = split(signature_of(self.stage), list(self.words[1:]))
        return [Path(path) for path in values.get(parameter, ())]

    def under(self, config: Config) -> tuple[str, ...]:
        """The command with the block that its rule would give it under ``config``, for one process."""
        words = list(self.words)
        if "--config" in words:
            words[words.index("--config") + 1] = canonical_json(block(config, self.stage, **self.at))
        if "--workers" in words:
            words[words.index("--workers") + 1] = "1"
        return tuple(words)


class Chain:
    """A checkout in which a target's commands run in this process; to be used with its folder as the current one."""

    def __init__(self, folder: Path, preset: str, target: str, like: Chain | None = None) -> None:
        """With ``like``, what another chain's first run has made is in the store: a phantom need not be made again."""
        self.project, self.target = checkout(folder), target
        if like:
            for result in like._kept:
                shutil.copytree(like.project.folder / result, folder / result, symlinks=True)
        (self.project.folder / "presets/micro.yaml").write_text(preset, encoding="utf-8")
        self.base = read_yaml(ROOT / "config.yaml")
        for name in (f"{target}.yaml", "micro.yaml"):
            if (self.project.folder / "presets" / name).exists():
                self.base = merged(self.base, read_yaml(self.project.folder / "presets" / name))
        self._plans: dict[str, list[Command]] = {}
        self._kept: set[Path] = set()

    def config(self, settings: str) -> Config:
        """The checked config with ``settings`` (``a.b=1 c.d=2``) over the preset."""
        return complete_config(copy.deepcopy(self.base) | {"set": settings}, SCHEMA)

    def commands(self, settings: str = "") -> list[Command]:
        """What a dry run of Snakemake under ``settings`` would run, in an order in which it can be run."""
        if settings not in self._plans:
            given = ["--config", f"set={settings}"] if settings else []
            words = ("-n", "-p", "--forceall", "--quiet", "progress", "--configfile", "presets/micro.yaml", *given)
            printed = self.project.run(self.target, *words)
            lines = re.findall(r"python -m cspine (\w+ --.*--log .*)$", printed, re.MULTILINE)
            self._plans[settings] = [Command(tuple(shlex.split(line))) for line in lines]
        return self._plans[settings]

    def run(self, settings: str = "", shape: str = "") -> list[Command]:
        """Run every command of ``shape`` with its block under ``settings``; those that executed, not the store hits."""
        config, ran = self.config(settings), []
        key_versions.announce(config["store"]["key_versions"])
        for command in self.commands(shape):
            before = _segments(command.stage)
            with in_one_process():
                assert main(list(command.under(config))) == 0, command.words
            if _segments(command.stage) != before:
                ran.append(command)
        return ran

    def stale(self, settings: str = "", shape: str = "") -> list[receipts.Stale]:
        """What the workflow would take away before planning under ``settings``, with .snakemake lost."""
        config = self.config(settings)
        key_versions.announce(config["store"]["key_versions"])
        inputs = {path: c.inputs() for c in self.commands(shape) for path in c.paths("OutPath", "OutCopy")}
        files = {path: own["shards"] for path, own in inputs.items() if path.suffix == lists.SUFFIX}
        wired = {
            path: {name: [file for given in paths for file in files.get(given, [given])] for name, paths in own.items()}
            for path, own in inputs.items()
        }
        return receipts.stale_outputs(Path("results"), partial(block, config), Path(config["data"]["root"]), wired.get)

    def planned(self, settings: str = "", shape: str = "") -> set[str]:
        """The names of the commands that Snakemake without its records would run after the stale outputs are gone."""
        gone, names = {output.path for output in self.stale(settings, shape)}, set()
        for command in self.commands(shape):
            made = {path for path in command.paths("OutPath", "OutCopy") if path.is_relative_to("results")}
            missing = {path for path in made | command.paths("InPath") if not path.exists()}
            if missing or gone & (made | command.paths("InPath")):
                gone |= made
                names.add(command.name)
        return names

    def remember(self) -> None:
        """What the store holds now is what ``forget`` goes back to."""
        self._kept = set(Path("work").glob("*/*"))

    def forget(self) -> None:
        """Take every younger result out of the store, so that nothing is found that another test has made."""
        for folder in set(Path("work").glob("*/*")) - self._kept:
            for path in [folder, *folder.rglob("*")]:
                path.chmod(0o755) if path.is_dir() and not path.is_symlink() else None
            shutil.rmtree(folder)
        for path in Path("results").rglob("*"):
            if path.is_symlink() and not path.exists():
                path.unlink()


@contextmanager
def at_work(chain: Chain) -> Iterator[Chain]:
    """The chain run once, its folder the current one."""
    with chdir(chain.project.folder):
        chain.run()
        chain.remember()
        yield chain


@contextmanager
def in_one_process() -> Iterator[None]:
    """Studies are read here and not by workers: a new interpreter for each is most of what a small stage costs."""

    @contextmanager
    def one_by_one(jobs: Sequence[Any], task: Task[Any, Any], workers: int) -> Iterator[Iterator[Any]]:
        yield (task.work(job, task.given) for job in jobs)

    with patch.object(study_pool, "shared_out", one_by_one):
        yield


def _segments(stage: str) -> Counter[str]:
    """How many times a stage ran in each folder of the store: a hit leaves no segment."""
    return Counter(str(path.parent) for path in Path("work", stage).glob("*/segments/*.json"))

"""``python -m cspine <stage> --input path … --output path … --config '{…}'``: look the result up, or make it.

The command line of a stage is its signature. Standard library only until the lookup has missed. What a person asks of a
run (``python -m cspine why results/submission.csv``) is a command: a file of that name in cspine/commands/, with a
function ``main`` whose parameters are the command's options.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import traceback
from itertools import pairwise
from pathlib import Path
from typing import Any

from cspine import lists, pausing, store, terminal
from cspine.errors import CspineError
from cspine.fingerprint import fingerprint
from cspine.jobs import Job
from cspine.progress import say
from cspine.runtime import WORKERS
from cspine.signature import Signature, known_stages, signature_of
from cspine.store import key_versions, locks

FAILURES = "CSPINE_FAILURES"  # a file in which jobs leave their last words for the end of the run
RUNNER_OPTIONS = ("config", "at", "log", "workers")
COMMANDS = Path(__file__).parent / "commands"
USAGE = """usage: python -m cspine <command> [options]
       python -m cspine <stage> --<parameter> <path> … --config '<json>' [--log FILE] [--workers N]
       python -m cspine <command or stage> --help
commands: {commands}
stages: {stages}"""


def main(argv: list[str] | None = None) -> int:
    """Run one stage; returns the exit status. Errors for the person are one line, bugs keep their traceback."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE.format(commands=", ".join(known_commands()), stages=", ".join(known_stages())))
        return 0 if arguments else 2
    with terminal.whole_lines():
        return _answered(arguments)


def _answered(arguments: list[str]) -> int:
    try:
        if arguments[0] in known_commands():
            return run_command(arguments[0], arguments[1:])
        if "--help" in arguments:
            from cspine.running import print_help

            return print_help(arguments[0])
        with pausing.answered():
            return run_stage(arguments[0], arguments[1:])
    except CspineError as error:
        return _failed(arguments, f"error: {error}")
    except Exception as error:
        from cspine import full_disk

        if full_disk.is_full(error):
            return _failed(arguments, full_disk.words(error))
        return _failed(arguments, traceback.format_exc() + "error: this is a bug in cspine, see the lines above")


def known_commands() -> list[str]:
    """The names of all commands: their files' names; an underscore keeps a word of Python apart (import_.py)."""
    return sorted(p.stem.removesuffix("_") for p in COMMANDS.glob("*.py") if p.stem != "__init__")


def run_command(name: str, arguments: list[str]) -> int:
    """Call a command's ``main`` with the options of the command line; returns its exit status."""
    import importlib
    import keyword

    from cspine.options import called

    module = f"cspine.commands.{name}{'_' if keyword.iskeyword(name) else ''}"
    return called(importlib.import_module(module).main, name, arguments)


def run_stage(stage: str, arguments: list[str]) -> int:
    """Key first, then lookup; on a miss find or make the result; in any case put the outputs in place."""
    signature = signature_of(stage)
    values = lists.expanded(signature, split(signature, arguments))
    options = {name: values.pop(name)[0] for name in RUNNER_OPTIONS if name in values}
    if "workers" in options:
        os.environ[WORKERS] = options["workers"]
    request = request_of(signature, values, options)
    job = Job(
        signature=signature,
        request=request,
        folder=store.WORK / stage / request.key(),
        values=values,
        name=f"{stage} ({options['at'].replace('=', ' ')})" if options.get("at") else stage,
        command=shlex.join(["python", "-m", "cspine", stage, *arguments]),
        log=Path(options["log"]) if "log" in options else None,
    )
    done = store.lookup(job.folder)
    if os.environ.get("RANK", "0") != "0":
        return _followed(job, done)
    if done is None:
        done = _missed(job)
    else:
        say(f"{job.name}: found in the store")
        if job.log:
            job.log.parent.mkdir(parents=True, exist_ok=True)
            job.log.write_text(f"{job.name}: found in {job.folder}\n", encoding="utf-8")
    store.put_in_place(job.folder, request, done)
    return 0


def _missed(job: Job) -> dict[str, Any]:
    """Alone in the folder: look again, ask the folders of earlier sessions, run; a stop is answered by a pause."""
    try:
        with pausing.watched():
            pausing.stop_if_wanted()
            with locks.locked(job.folder):
                return store.lookup(job.folder) or _fetched(job) or _executed(job)
    except pausing.Paused as pause:
        pausing.leave_word(job.name, job.folder, pause.why, keeps=bool(job.signature.of_kind("Scratch")), log=job.log)
        raise


def _followed(job: Job, done: dict[str, Any] | None) -> int:
    """Started by torchrun beside others: what the first of them does with the store, this one leaves to it."""
    if done is None and job.signature.shares_devices:
        from cspine.running import follow

        follow(job)
    return 0


def _fetched(job: Job) -> dict[str, Any] | None:
    """The result from an earlier session's folder, or None and at least its checkpoints; what is damaged here goes."""
    from cspine.store import elsewhere

    store.discard_damaged(job.folder)
    done = elsewhere.fetch(job.folder, job.name)
    if done is None:
        elsewhere.fetch_checkpoints(job.folder, job.name)
    return done


def _executed(job: Job) -> dict[str, Any]:
    from cspine.running import execute
    from cspine.store.adoption import hint

    if other := hint(job.request, job.folder):
        say(f"{job.name}: {other}")
    say(f"{job.name}: starts")
    return execute(job)


def split(signature: Signature, arguments: list[str]) -> dict[str, list[str]]:
    """``--name value value --other value`` -> values by parameter name; unknown and missing names are errors."""
    values: dict[str, list[str]] = {}
    current: list[str] | None = None
    for word in arguments:
        if word.startswith("--"):
            current = values.setdefault(word[2:].replace("-", "_"), [])
        elif current is None:
            raise CspineError(f"{signature.stage}: {word!r} stands before any --option")
        else:
            current.append(word)
    known = {p.name: p for p in signature.parameters if p.kind != "Scratch"}
    for name, given in values.items():
        if name not in known and name not in RUNNER_OPTIONS:
            raise CspineError(f"{signature.stage}: no parameter --{name}; it has {', '.join('--' + n for n in known)}")
        many = name in known and known[name].many
        if not many and len(given) != 1:
            raise CspineError(f"{signature.stage}: --{name} takes one value, {len(given)} given")
    missing = [n for n, p in known.items() if n not in values and not p.optional]
    if missing:
        raise CspineError(f"{signature.stage}: missing {', '.join('--' + n for n in missing)}")
    return values


def request_of(signature: Signature, values: dict[str, list[str]], options: dict[str, str]) -> store.Request:
    """The request for these values: what the key is made of, and what else done.json keeps."""
    config = json.loads(options["config"]) if "config" in options else None
    paths = {name: [Path(v) for v in given] for name, given in values.items()}
    folders = [paths[p.name][0] for p in signature.of_kind("RawFolder") if p.name in paths]
    record: dict[str, Any] = {"at": options.get("at", "")}
    observed = ""
    if signature.observe and folders:
        manifest = paths.get("manifest", [None])[0]
        observed = call(signature.observe, folders[0], manifest)
        if signature.glance:
            record["glance"] = {"function": signature.glance, "value": call(signature.glance, folders[0])}
    family = (config or {}).get("family")
    return store.Request(
        stage=signature.stage,
        code=fingerprint(signature.stage, family),
        config=config,
        inputs={p.name: paths[p.name] for p in signature.of_kind("InPath") if p.name in paths},
        outputs={p.name: paths[p.name] for p in signature.of_kind("OutPath", "OutCopy") if p.name in paths},
        copies=frozenset(p.name for p in signature.of_kind("OutCopy")),
        observed=observed,
        versions=key_versions.versions_of(signature.stage, family),
        record=record,
    )


def call(place: str, *arguments: object) -> str:
    """Call a light function named as ``module:function`` (a stage's OBSERVE or GLANCE)."""
    import importlib

    module, _, function = place.partition(":")
    return str(getattr(importlib.import_module(module), function)(*arguments))


def _failed(arguments: list[str], message: str) -> int:
    log = dict(pairwise(arguments)).get("--log")
    text = f"{arguments[0]}: {message}" + (f"\n{arguments[0]}: log: {log}" if log else "")
    print(text, file=sys.stderr)
    for place, line in ((log, message), (os.environ.get(FAILURES), text)):
        if place:
            with contextlib.suppress(OSError):  # a full disk has been said above
                Path(place).parent.mkdir(parents=True, exist_ok=True)
                with Path(place).open("a", encoding="utf-8") as stream:
                    stream.write(line + "\n")
    return 1

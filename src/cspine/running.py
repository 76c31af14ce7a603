"""Running a stage whose result is not in the store: typed arguments, log, costs, then the commit."""

from __future__ import annotations

import contextlib
import copy
import faulthandler
import importlib
import importlib.metadata
import inspect
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO, get_type_hints

from jsonargparse import ArgumentParser

from cspine import full_disk, pausing, peers, progress, store
from cspine.errors import CspineError
from cspine.fingerprint import module_digests
from cspine.gpu_pool import gpus_for
from cspine.jobs import Job
from cspine.runtime import runtime
from cspine.signature import signature_of
from cspine.store.costs import Meter

RECORDED_VERSIONS = ("numpy", "pandas", "pyarrow", "pydicom", "imagecodecs", "opencv-python-headless")
PATHS = ("Path", "Copy", "Folder")  # endings of the kinds of parameters that the command line gives
RECORDED_FOR_TORCH = ("torch", "timm", "monai", "torchio", "albumentations", "safetensors")


def execute(job: Job) -> dict[str, Any]:
    """Run the stage inside its locked folder and commit the result; returns what done.json holds."""
    # libgomp's threads spin while they wait: on a machine with other work a training step took 25 times as long
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    folder, request = job.folder, job.request
    with (
        (folder / "log.txt").open("a", encoding="utf-8") as kept,
        _rule_log(job.log) as shown,
        progress.logged(kept, shown, folder=folder),
        _places(job) as places,
        Meter(folder) as meter,
    ):
        progress.log_only(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {job.command}")
        request.record["modules"] = module_digests(request.stage, (request.config or {}).get("family"))
        if adopted := (store.read_request(folder) or {}).get("adopted"):
            request.record["adopted"] = adopted
        store.begin(folder, request, job.command)
        _call(job, kept, places)
        total = meter.total()
        record = {
            "costs": {**total, "segments": len(meter.segments())},
            "versions": _versions(),
            "device": progress.noted().get("device", "cpu"),
        }
        with pausing.held():
            done = store.commit(folder, request, record)
            (folder / progress.STANDING).unlink(missing_ok=True)
        progress.say(f"{request.stage}: done in {total['seconds']:.1f} s, {total['peak_mb']:.0f} MB")
    return done


def follow(job: Job) -> None:
    """Call the stage's function as one of the processes that torchrun has started, and not the first of them."""
    progress.hush()
    job.folder.mkdir(parents=True, exist_ok=True)
    function_of(job.signature.stage)(**typed_arguments(job))


def _places(job: Job) -> contextlib.AbstractContextManager[list[dict[str, str]]]:
    """Where the stage computes: a place for each process that does it."""
    if not job.signature.uses_gpu:
        return contextlib.nullcontext([{}])
    return gpus_for(job.request.stage, runtime().devices if job.signature.shares_devices else 1)


def _call(job: Job, kept: TextIO, places: Sequence[peers.Environment]) -> None:
    """Call the stage's function, here and in a process for each other place.

    What it raises is also in ``kept``, the log that outlives the rule's.
    """
    faulthandler.enable(kept)
    try:
        stage, arguments = job.signature.stage, typed_arguments(job)
        function = function_of(stage)
        progress.timed(progress.BEGINS)
        with peers.beside(f"cspine.stages.{stage}:{stage}", arguments, places):
            function(**arguments)
    except CspineError as error:
        print(f"error: {error}", file=kept)  # the command line says it to the person and to the rule's log
        raise
    except pausing.Paused:  # the command line says it
        raise
    except BaseException as error:
        if full_disk.is_full(error):
            store.drop_halves(job.folder, job.request)
            full_disk.name(error, job.folder)
        else:
            traceback.print_exc(file=kept)
        raise
    finally:
        faulthandler.disable()


def function_of(stage: str) -> Callable[..., None]:
    """The stage's function; this is where pandas or torch gets imported."""
    return getattr(importlib.import_module(f"cspine.stages.{stage}"), stage)


def typed_arguments(job: Job) -> dict[str, Any]:
    """Inputs as they are, outputs at their places inside the store, the config as the stage's dataclass."""
    request, folder, values = job.request, job.folder, job.values
    arguments: dict[str, Any] = {}
    for parameter in job.signature.parameters:
        name = parameter.name
        if parameter.kind == "Scratch":
            arguments[name] = folder / "scratch"
            arguments[name].mkdir(exist_ok=True)
        elif parameter.kind == "config":
            arguments[name] = typed_config(request.stage, request.config)
        elif name in values:
            paths = [Path(v) for v in values[name]]
            if name in request.outputs:
                many = len(paths) > 1
                paths = [folder / store.stored_name(name, p, i if many else None) for i, p in enumerate(paths)]
                for path in paths:
                    path.unlink(missing_ok=True) if path.is_file() else None
            arguments[name] = paths if parameter.many else paths[0]
    return arguments


def typed_config(stage: str, block: dict[str, Any] | None) -> Any:
    """The stage's config block as its dataclass, every leaf checked against its type."""
    function = function_of(stage)
    kind = get_type_hints(function)["config"]
    parser = ArgumentParser(exit_on_error=False, prog=stage)
    parser.add_class_arguments(kind, "config")
    try:
        # of a copy: the parser puts objects of its own into lists, and the block goes into done.json
        return parser.instantiate(parser.parse_object({"config": copy.deepcopy(block or {})})).config
    except Exception as error:
        raise CspineError(f"{stage}: --config does not fit {kind.__name__}: {error}") from error


def print_help(stage: str) -> int:
    """How to call the stage, its docstring, and its config's fields with their comments."""
    signature, function = signature_of(stage), function_of(stage)
    words = [f"--{p.name} {'PATH …' if p.many else 'PATH'}" for p in signature.parameters if p.kind.endswith(PATHS)]
    print(f"python -m cspine {stage} {' '.join(words)} [--config JSON] [--log FILE] [--workers N]\n")
    print(inspect.getdoc(function))
    kind = get_type_hints(function).get("config")
    if kind is not None:
        fields = inspect.getsource(kind).split("\n    def ")[0]
        print(f"\n--config takes these fields as JSON:\n\n{fields}")
    return 0


def _rule_log(log: Path | None) -> TextIO:
    place = log or Path(os.devnull)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place.open("w", encoding="utf-8")


def _versions() -> dict[str, str]:
    names = RECORDED_VERSIONS + (RECORDED_FOR_TORCH if "torch" in sys.modules else ())
    found = {
        name: importlib.metadata.version(name) for name in names if name.split("-")[0] in sys.modules or "-" in name
    }
    return {"python": platform.python_version(), "machine": platform.machine(), **found}

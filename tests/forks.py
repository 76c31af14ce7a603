"""Programs that begin with their libraries imported: forks of a process that has them, so every test need not wait.

``snakemake`` takes 2.4 s less that way, ``cspine`` with a network 6 s, and there are hundreds of such calls. What runs
is a process all the same: it has a folder, an environment, limits and an end of its own, and leaves nothing behind for
the next one. Its code is this repository's, so a checkout with edited code has to be run without.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

ENOUGH_SECONDS = 900  # only so that a hang ends; a slow machine is no failure
LIBRARIES = {
    "snakemake": ["snakemake.cli", "cspine.workflow", "cspine.bundles.unfit"],
    "cspine": ["cspine.running", "cspine.stages.train", "cspine.commands.predict", "cspine.methods.slice_cnn"],
}


def run(
    program: str, words: list[str], folder: Path, environment: dict[str, str], bytes_of_a_file: int | None = None
) -> subprocess.CompletedProcess[str]:
    """``python -m program words …`` in ``folder``, with no file larger than so many bytes."""
    server = _server(program)
    with tempfile.TemporaryDirectory() as place:
        printed = [f"{place}/stdout", f"{place}/stderr"]
        asked = {"words": words, "folder": str(folder), "environment": environment, "printed": printed}
        print(json.dumps(asked | {"bytes": bytes_of_a_file}), file=server.stdin, flush=True)
        assert server.stdout and select.select([server.stdout], [], [], ENOUGH_SECONDS)[0], f"{program}: no end"
        status = int(server.stdout.readline())
        texts = [Path(path).read_text(encoding="utf-8", errors="replace") for path in printed]
    return subprocess.CompletedProcess([program, *words], status, *texts)


@cache
def _server(program: str) -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, __file__, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(_end, server)
    return server


def _end(server: subprocess.Popen[str]) -> None:
    """It goes when nobody can ask it any more; so it would after a kill of this process."""
    assert server.stdin and server.stdout
    server.stdin.close()
    server.wait()
    server.stdout.close()


def _serve(program: str) -> None:
    sys.path.pop(0)  # the tests' own folder
    for name in LIBRARIES[program]:
        importlib.import_module(name)
    main = _snakemake() if program == "snakemake" else importlib.import_module("cspine.cli").main
    gc.collect()
    gc.freeze()  # a later collection would copy all of it into every fork: three times what a plan takes
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(program, main, json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _snakemake() -> Callable[[], Any]:
    """Its main function, with all plugins known and all modules' fingerprints read."""
    from snakemake.cli import get_argument_parser, main

    from cspine.fingerprint import fingerprint
    from cspine.signature import known_stages

    get_argument_parser()
    for stage in known_stages():
        fingerprint(stage)
    return main


def _become(program: str, main: Callable[[], Any], asked: dict[str, Any]) -> NoReturn:
    """What a new process of the program would be; ends with its status."""
    for number, path in enumerate(["/dev/null", *asked["printed"]]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    if asked["bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["bytes"], resource.RLIM_INFINITY))
    if program == "snakemake":
        _have_read(Path(asked["folder"], "src/cspine"))
    sys.argv = [program, *asked["words"]]
    sys.exit(main())


def _have_read(package: Path) -> None:
    """Let the fingerprints be those of a copy of the code: its jobs are told of its files what is known of these."""
    from cspine import fingerprint

    for module, (path, facts) in fingerprint._known.items():
        fingerprint._known[module] = (package / path.relative_to(fingerprint.PACKAGE), facts)
    fingerprint.PACKAGE = package


if __name__ == "__main__":
    _serve(sys.argv[1])

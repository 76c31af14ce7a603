"""Dry runs by a Snakemake that is imported once: two seconds less for each of the hundred plans that the tests ask for.

A process of its own reads a question a line and answers each from a fork of itself, so that no plan leaves anything
behind for the next. It has imported this repository's code and must not be asked of a checkout with edited code.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import IO, Any


def planned(folder: Path, words: list[str], environment: dict[str, str]) -> str:
    """What ``snakemake`` with these words, a dry run among them, prints in ``folder``; it has to end well."""
    assert "-n" in words
    questions, answers = _server()
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as printed:
        asked = {"folder": str(folder), "words": words, "environment": environment, "printed": printed.name}
        print(json.dumps(asked), file=questions, flush=True)
        status, text = answers.readline().strip(), printed.read()
    assert status == "0", text[-6000:]
    return text


@cache
def _server() -> tuple[IO[str], IO[str]]:
    """The pipes to and from the process; it ends with the pipe to it, so with this process."""
    server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin and server.stdout
    server.returncode = 0  # nobody waits for it
    return server.stdin, server.stdout


def _serve() -> None:
    from snakemake.cli import get_argument_parser

    import cspine.workflow  # noqa: F401
    from cspine.fingerprint import fingerprint
    from cspine.signature import known_stages

    get_argument_parser()  # asks all plugins
    for stage in known_stages():
        fingerprint(stage)  # reads all modules
    gc.freeze()  # a collection would copy all of it into each fork, which takes three times as long as the plan
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _answer(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _answer(asked: dict[str, Any]) -> None:
    """The one question, and the end of this process."""
    from snakemake.cli import main

    with open(asked["printed"], "w") as stream:  # noqa: PTH123
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = ["snakemake", *asked["words"]]
    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    _serve()

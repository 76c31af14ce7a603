"""Calling a function in a process of its own, because it may take the process with it.

The strict JPEG decoder (gdcm) aborts on some damaged frames. Called like this, such a frame costs one answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from cspine.errors import CspineError
from cspine.pools import CONTEXT


class DiedError(Exception):
    """The process died of the call, or did not answer in time."""


class Apart:
    """``function`` (a top-level one), called in a helper process: started when first needed, and again if it dies.

    An exception of the function is raised here; the process's death or silence is a DiedError.
    """

    def __init__(self, function: Callable[..., Any], seconds: float = 60.0) -> None:
        self.function, self.seconds = function, seconds
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._owner = 0

    def __call__(self, *arguments: Any) -> Any:
        """The function's answer."""
        connection = self._started()
        try:
            connection.send(arguments)
            if not connection.poll(self.seconds):
                raise DiedError(f"no answer in {self.seconds:g} seconds")
            answer, error = connection.recv()
        except (EOFError, OSError) as lost:
            self.stop()
            raise DiedError("its process died") from lost
        except DiedError:
            self.stop()
            raise
        if error is not None:
            raise error
        return answer

    def stop(self) -> None:
        """End the helper process; the next call starts another."""
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.join()
        self._process = self._connection = None

    def _started(self) -> Connection:
        if self._connection is not None and self._owner == os.getpid():
            return self._connection
        ours, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=_serve, args=(theirs, self.function), daemon=True)
        self._process.start()
        theirs.close()
        try:
            ours.recv()  # it is up; what happens after this is the function's doing
        except EOFError as error:
            self.stop()
            raise CspineError(
                "a helper process for damaged slices cannot be started; call this from a script whose main part stands"
                " under `if __name__ == '__main__':`, or from the command line"
            ) from error
        self._owner, self._connection = os.getpid(), ours
        return ours


def _serve(connection: Connection, function: Callable[..., Any]) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders written in C complain there, without naming the file
    connection.send("up")
    while True:
        try:
            arguments = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer, error = function(*arguments), None
        except Exception as raised:
            answer, error = None, RuntimeError(f"{type(raised).__name__}: {raised}")
        connection.send((answer, error))

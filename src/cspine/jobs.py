"""One call of a stage, from its command line to its result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cspine.signature import Signature
from cspine.store import Request


@dataclass(frozen=True)
class Job:
    """What the runner knows of a call before it imports the stage."""

    signature: Signature
    request: Request
    folder: Path  # work/{stage}/{key}
    values: dict[str, list[str]]  # paths by parameter, as the command line gives them
    name: str  # in the person's words: the stage and where it runs
    command: str  # to be pasted into a terminal
    log: Path | None  # the rule's

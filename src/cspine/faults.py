"""Places where a test can kill the process: ``CSPINE_FAULT=train-step:7`` dies by SIGKILL at the seventh step.

``train-step:7:SIGSTOP`` sends itself another signal there; at ``train-step:7:deadline`` the time budget is used up.
With ``CSPINE_FAULT_TRACE`` every pass through such a place is noted in the file it names. Without the variables this
costs two looks into a dict. Nothing here can change a result.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

from cspine import budget

VARIABLE = "CSPINE_FAULT"
TRACE = "CSPINE_FAULT_TRACE"
_passed: Counter[str] = Counter()


def fault_point(name: str) -> None:
    """Die here, as kill -9 would have it, when this is the pass through ``name`` that the variable asks for."""
    wanted, trace = os.environ.get(VARIABLE), os.environ.get(TRACE)
    if trace is not None:
        with open(trace, "a", encoding="utf-8") as stream:  # noqa: PTH123 - pathlib's costs more, and this is every step
            stream.write(name + "\n")
    if wanted is None:
        return
    _passed[name] += 1
    place, number, what = [*wanted.split(":"), "", ""][:3]
    if (place, number) != (name, str(_passed[name])):
        return
    if what == "deadline":
        os.environ[budget.VARIABLE] = "0"
    else:
        os.kill(os.getpid(), signal.Signals[what or "SIGKILL"])

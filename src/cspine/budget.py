"""The time budget: when everything must be saved and the command must have ended.

The workflow's main process turns ``time_budget`` into a deadline in the environment, where stages find it; where a
cluster's scheduler gives a job less, its own process brings it forward. It is in no key and in no rule's params: how
long a session lasts cannot change a result.
"""

from __future__ import annotations

import os
import re
import time

from cspine.errors import CspineError

VARIABLE = "CSPINE_DEADLINE"  # seconds since 1970, so that it means the same to every process, also on another node
UNITS = {"h": 3600, "m": 60, "s": 1}
TIME = re.compile(r"(?=\d)" + "".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in UNITS))
#: of the budget is kept back, within these seconds: to write the last state, end the job and then Snakemake
MARGIN_SHARE, LEAST_MARGIN, MOST_MARGIN = 0.05, 5.0, 30.0


def seconds_of(text: str) -> float | None:
    """``11h30m`` | ``90m`` | ``1.5h`` | ``45s`` in seconds; None for ``none``.

    Raises:
        CspineError: the text is no such time.
    """
    if text == "none":
        return None
    found = TIME.fullmatch(text)
    if not found:
        raise CspineError(f"time_budget: found {text!r}; expected a time such as 11h30m, 90m or 45s, or none")
    return sum(float(number or 0) * unit for number, unit in zip(found.groups(), UNITS.values(), strict=True))


def begin(text: str) -> None:
    """Start the clock of a budget: ``seconds_left`` counts down, in this process and in those it starts.

    The budget counts from the start of this process. A deadline that is already in the environment (a session's, a
    scheduler's) stays when it is earlier.
    """
    seconds = seconds_of(text)
    if seconds is not None:
        started = time.time() - time.process_time()  # reading the workflow is work, with hardly any waiting
        _end_by(started + seconds - _margin(seconds))


def limit(end: float) -> None:
    """Have this process and those it starts be done before ``end`` (seconds since 1970), when others end them.

    A part of what is left is kept back, as of a budget; a deadline that is earlier stays.
    """
    _end_by(end - _margin(end - time.time()))


def seconds_left() -> float:
    """Seconds until the deadline, negative after it; infinite without one.

    Raises:
        CspineError: the variable holds no time.
    """
    return _deadline() - time.time()


def _margin(seconds: float) -> float:
    return min(max(MARGIN_SHARE * seconds, LEAST_MARGIN), MOST_MARGIN)


def _end_by(deadline: float) -> None:
    os.environ[VARIABLE] = f"{min(deadline, _deadline()):.1f}"


def _deadline() -> float:
    text = os.environ.get(VARIABLE) or "inf"
    try:
        return float(text)
    except ValueError:
        raise CspineError(f"{VARIABLE} is {text!r}; expected seconds since 1970, as `date +%s` prints them") from None

"""What ``forecast.copies`` has measured, laid over what the rehearsal took: stages of tables split by two sizes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cspine.forecast.copies import COPIES, MEASURED
from cspine.forecast.spending import BETWEEN_RUNS, DRAWS, Amount, Spending
from cspine.hashing import seed_of

LEAST_SECONDS = 0.05  # a call is measured this well: what starts and is read beside it
LEAST_MB = 5.0  # likewise


@dataclass(frozen=True)
class Slope:
    """What the rehearsal's rows once more add to a stage of tables."""

    seconds: float
    cpu: float
    mb: float


def slopes_of(folder: Path) -> dict[str, Slope]:
    """By stage; only of those whose call went well both times."""
    path = folder / MEASURED
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    calls = {(line["stage"], line["copies"]): line for line in map(json.loads, lines)}
    return {
        stage: _slope(calls[stage, 1], calls[stage, COPIES])
        for stage, copies in calls
        if copies == 1 and (stage, COPIES) in calls
    }


def with_slopes(spent: Sequence[Spending], slopes: dict[str, Slope]) -> list[Spending]:
    """The spendings, those of stages of tables split as the copies have it."""
    return [_split(one, slopes[one.work.stage]) if one.work.stage in slopes else one for one in spent]


def _slope(once: dict[str, Any], many: dict[str, Any]) -> Slope:
    more = COPIES - 1
    seconds, cpu = (max(0.0, many[name] - once[name]) / more for name in ("seconds", "cpu_seconds"))
    grown = (many["peak_mb"] - many["before_mb"]) - (once["peak_mb"] - once["before_mb"])
    return Slope(seconds, cpu, max(0.0, grown) / more)


def _split(one: Spending, slope: Slope) -> Spending:
    draws = np.random.default_rng(seed_of("copies", one.work.stage, one.work.at))
    whole = one.fixed + one.pieces
    noise = np.abs(draws.normal(0, LEAST_SECONDS / (COPIES - 1), DRAWS))
    luck = np.exp(draws.normal(0, BETWEEN_RUNS, DRAWS))
    pieces = Amount(slope.seconds * luck + noise, slope.cpu * luck + noise)
    fixed = Amount(np.maximum(0, whole.seconds - pieces.seconds), np.maximum(0, whole.cpu - pieces.cpu))
    return replace(one, fixed=fixed, pieces=pieces, grows_mb=slope.mb + LEAST_MB / (COPIES - 1))

"""What is chosen for the pseudo-labels on boxed studies of ``select``: thresholds, and how far the model is believed.

Boxed studies of ``select`` were not taught, and where their fractures are is known: what labels them well labels the
unboxed ones well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cspine.calibration import EDGE, Line, logit
from cspine.metric import Floats
from cspine.pseudo.config import PseudoConfig
from cspine.pseudo.runs import in_one_run, log_lengths
from cspine.studies import VERTEBRAE

LEAST_STUDIES = 5  #: with fewer boxed select studies nothing is chosen
GRID = tuple(np.round(np.arange(0.05, 0.96, 0.05), 2).tolist())  #: thresholds that are tried
POOLED_STUDIES = 4.0  #: ASSUME: what all vertebrae together count in one vertebra's threshold, in studies
LINE_STRENGTH = 1.0  #: of the pull of the line towards "believe the model", in slices of log loss
LONGEST_FACTOR = 3  # a run is at most so many times as long as the longest that was seen
DEFAULT_LENGTHS = (3, 5, 7, 9, 12)  # slices of a run where no box tells; ASSUME


@dataclass(frozen=True)
class Cells:
    """One vertebra of one study that is known to be fractured.

    Attributes:
        study: its name.
        vertebra: 0 = C1.
        value: (slices,) what the model, or model and localizer, say.
        fractured: (slices,) what the boxes say: 0..1, NaN = unknown.
    """

    study: str
    vertebra: int
    value: Floats
    fractured: Floats


@dataclass(frozen=True)
class Choices:
    """How the model's probabilities are read in one fold and round."""

    thresholds: tuple[float, ...] = (0.5,) * len(VERTEBRAE)
    line: Line = field(default_factory=Line)  # slope below 1: neighbouring slices repeat each other
    log_lengths: Floats = field(default_factory=lambda: log_lengths(list(DEFAULT_LENGTHS), 3 * max(DEFAULT_LENGTHS)))
    studies: int = 0  # boxed select studies they were made on
    fallback: str = ""  # why nothing was chosen; "" where something was, or nothing was to be


def choose(cells: Sequence[Cells], lengths: Sequence[int], config: PseudoConfig) -> Choices:
    """The choices that ``config`` asks for.

    Args:
        cells: of boxed select studies.
        lengths: slices of each run of boxes in the fold's train and select studies.
        config: see PseudoConfig.
    """
    fixed = 0.5 if config.threshold == "select" else float(config.threshold)
    given = Choices(thresholds=(fixed,) * len(VERTEBRAE))
    if not config.needs_choices:
        return given
    studies = len({cell.study for cell in cells})
    prior = log_lengths(list(lengths), LONGEST_FACTOR * max(lengths)) if lengths else given.log_lengths
    if studies < LEAST_STUDIES:
        why = f"{studies} boxed select studies, {LEAST_STUDIES} are needed"
        return Choices(given.thresholds, Line(), prior, studies, why)
    line, values = Line(), [cell.value for cell in cells]
    if config.along_z == "run":
        line = fit_line(cells, prior)
        values = [in_one_run(logit(line(value)), prior) for value in values]
    thresholds = given.thresholds
    if config.threshold == "select":
        thresholds = best_thresholds(cells, values)
    return Choices(thresholds, line, prior, studies)


def fit_line(cells: Sequence[Cells], prior: Floats) -> Line:
    """Slope and intercept of the model's logit with which ``in_one_run`` has the least log loss against the boxes."""
    from scipy.optimize import minimize

    def loss(line: Floats) -> float:
        slope, intercept = line
        total = 0.0
        for cell in cells:
            known = ~np.isnan(cell.fractured)
            p = np.clip(in_one_run(slope * logit(cell.value) + intercept, prior), EDGE, 1 - EDGE)[known]
            y = cell.fractured[known]
            total -= float((y * np.log(p) + (1 - y) * np.log1p(-p)).sum())
        return total + LINE_STRENGTH / 2 * float((slope - 1) ** 2 + (intercept / 4) ** 2)

    found = minimize(loss, np.array([0.7, 0.0]), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-4})
    return Line(max(float(found.x[0]), 0.05), float(found.x[1]))


def best_thresholds(cells: Sequence[Cells], values: Sequence[Floats]) -> tuple[float, ...]:
    """For each vertebra the threshold of GRID with the best F1 against the boxes; all together lend each one weight.

    Few select studies have any one vertebra fractured, so the counts of all of them, scaled to POOLED_STUDIES, are
    added to a vertebra's own. The one nearest 0.5 among equals.
    """
    grid = sorted(GRID, key=lambda t: (abs(t - 0.5), t))
    counts = np.array(
        [[_hits(cell.fractured, value >= t) for t in grid] for cell, value in zip(cells, values, strict=True)]
    )
    vertebra = np.array([cell.vertebra for cell in cells])
    pooled = counts.sum(axis=0) * POOLED_STUDIES / len(cells)
    best = []
    for number in range(len(VERTEBRAE)):
        true_positive, called, positive = (counts[vertebra == number].sum(axis=0) + pooled).T
        best.append(grid[int(np.argmax(np.round(2 * true_positive / np.maximum(called + positive, 1e-9), 9)))])
    return tuple(best)


def _hits(fractured: Floats, called: NDArray[np.bool_]) -> tuple[float, float, float]:
    """True positives, called ones, positives; what is unknown counts nowhere, a soft label by its probability."""
    known = ~np.isnan(fractured)
    y, c = fractured[known], called[known]
    return float((y * c).sum()), float(c.sum()), float(y.sum())

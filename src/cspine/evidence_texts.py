"""What is weighed against what, and the tables of it for the person, as Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cspine.bootstrap import Estimate, Measured
from cspine.errors import CspineError
from cspine.evidence import CALLED, DECISIONS, MEASURES, Taught, TestSet, gap_closed
from cspine.scores import LEAST_STUDIES

HEADINGS = {
    "loss": "weighted log loss (lower is better)",
    "patient_auc": "patient AUC",
    "vertebra_auc": "study AUC per vertebra",
    "slice_auc": "slice AUC, vertebra in view",
    "slice_auc_all": "slice AUC, all slices",
}
CONSTANT = "best constant"
Arms = dict[str, dict[str, Measured]]


@dataclass(frozen=True)
class EvidenceConfig:
    """What is weighed."""

    folds_run: list[int]  # of every arm
    steps: int  # optimiser steps of every arm's training
    arms: list[list[str]]  # [name, what it is], in the order of the files (keys of a block come sorted)
    compare: list[list[str]]  # [arm, the arm it is compared with]; "constant" is an arm, too
    way: list[str] = field(default_factory=list)  # [from, to]: how much of the way every arm goes; none = not asked
    bootstrap: int = 1000  # resamples of the test studies
    seed: int = 0
    constant_clip: float = 0.01  # the constant is kept this far from 0 and 1
    size: str = "demo"  # smoke: contracts only, nothing is claimed

    def __post_init__(self) -> None:
        known = {"constant", *self.names}
        named = {name for pair in [*self.compare, self.way] for name in pair}
        if not named <= known:
            unknown = ", ".join(sorted(named - known))
            raise CspineError(f"evidence: compare and way name {unknown}; the arms: {', '.join(sorted(known))}")

    @property
    def names(self) -> list[str]:
        """Of the arms, in the order of the files."""
        return [name for name, _ in self.arms]


def evidence_text(measured: Arms, taught: dict[str, Taught], test: TestSet, config: EvidenceConfig) -> str:
    """Levels with intervals, then paired differences, then how much of the way to the truth each arm goes."""
    lines = [*_heading(measured, test, config), "", *_levels(measured, taught, config)]
    lines += ["", *_differences(measured, config)]
    lines += ["", *_decisions(measured, config)]
    if config.way:
        lines += ["", *_way(measured, config)]
    if len(test.labels) < LEAST_STUDIES:
        lines += ["", f"Too few to measure: {len(test.labels)} test studies, {LEAST_STUDIES} are needed."]
    return "\n".join(lines) + "\n"


def sentence(measured: Arms) -> str:
    """Loss and slice AUC of every arm, in one line."""
    return "; ".join(
        f"{arm} loss {m['loss'].value:.4f}, slice AUC {m['slice_auc'].value:.3f}" for arm, m in measured.items()
    )


def _heading(measured: Arms, test: TestSet, config: EvidenceConfig) -> list[str]:
    fractured, positive = int(test.labels[:, 0].sum()), int(test.fractured.any(axis=1).sum())
    halves = []
    for arm, than in config.compare:
        if "constant" not in (arm, than):
            gain = measured[arm]["loss"].minus(measured[than]["loss"]).estimate()
            halves.append((gain.high - gain.low) / 2)
    least = (
        f"; the smallest difference in loss that it can show between two arms is {max(halves):.3f}" if halves else ""
    )
    return [
        *(["**smoke size: checks that it runs, measures nothing.**", ""] if config.size == "smoke" else []),
        f"On the PHANTOM (synthetic: says nothing about patients): {len(test.labels)} test studies that no model saw, "
        f"{fractured} of them fractured, {len(test.study)} slices, {positive} with a visible fracture. Every training "
        f"had {config.steps} optimiser steps. [95 % interval] over {config.bootstrap} resamples of studies, paired "
        f"wherever two arms are compared{least}.",
    ]


def _levels(measured: Arms, taught: dict[str, Taught], config: EvidenceConfig) -> list[str]:
    names = {"constant": CONSTANT, **dict(config.arms)}
    lines = _head(["taught by", "its labels: precision", "recall", *HEADINGS.values()])
    for arm, name in names.items():
        cells = [_cell(measured[arm][key].estimate(), signed=False) for key in MEASURES]
        if arm == "constant":
            cells = [cells[0], *["0.500"] * (len(cells) - 1)]
        labels = [f"{taught[arm].precision:.2f}", f"{taught[arm].recall:.2f}"] if arm in taught else ["", ""]
        lines.append(_row(f"{arm}: {name}" if name != CONSTANT else name, *labels, *cells))
    return lines


def _differences(measured: Arms, config: EvidenceConfig) -> list[str]:
    lines = _head(["difference", *HEADINGS.values()])
    for arm, than in config.compare:
        cells = [_cell(measured[arm][key].minus(measured[than][key]).estimate(), signed=True) for key in MEASURES]
        lines.append(_row(f"{arm} - {than}", *cells))
    return lines


def _decisions(measured: Arms, config: EvidenceConfig) -> list[str]:
    """What is called right of slices and vertebrae, beside what calling nothing fractured gets, and the differences."""
    lines = _head([f"of slice x vertebra cells, called fractured from {CALLED} on", *DECISIONS])
    for arm in ("constant", *config.names):
        name = "nothing fractured" if arm == "constant" else arm
        lines.append(_row(name, *(_cell(measured[arm][key].estimate(), signed=False, digits=4) for key in DECISIONS)))
    for arm, than in config.compare:
        cells = [measured[arm][key].minus(measured[than][key]).estimate() for key in DECISIONS]
        lines.append(_row(f"{arm} - {than}", *(_cell(cell, signed=True, digits=4) for cell in cells)))
    return lines


def _way(measured: Arms, config: EvidenceConfig) -> list[str]:
    """How much of the way each arm goes, where there is a way: its end is clearly better than its beginning."""
    start, end = config.way
    lines = _head([f"share of the way from {start} to {end}", *HEADINGS.values()])
    for arm in config.names:
        if arm not in config.way:
            lines.append(_row(arm, *(_share(*(measured[name][key] for name in (arm, start, end))) for key in MEASURES)))
    return lines


def _share(arm: Measured, start: Measured, end: Measured) -> str:
    gap = end.minus(start).estimate()
    if not (gap.low > 0 or gap.high < 0):
        return "no clear gap"
    closed = gap_closed(arm, start, end).estimate()
    return f"{closed.value:.0%} [{closed.low:.0%}, {closed.high:.0%}]"


def _cell(estimate: Estimate, signed: bool, digits: int = 3) -> str:
    if np.isnan(estimate.value):
        return "too few"
    sign = "+" if signed else ""
    value, low, high = (f"{number:{sign}.{digits}f}" for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _head(names: list[str]) -> list[str]:
    return [_row(*names), "|" + "---|" * len(names)]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"

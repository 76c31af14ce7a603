"""Whose report it is, and what it may show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cspine.comparison.config import CompareConfig, ComparedMethod
from cspine.errors import CspineError
from cspine.report.drawn import About

NAMES = ("plain", "numbered")  # of studies in the page


@dataclass(frozen=True)
class ReportConfig:
    """Whose report it is, and what it may show."""

    method: str  # as in the config
    block: dict[str, Any]  # the method's own, of the last round, for the model card
    unit: str  # slice | vertebra | study: what one example of it is
    rounds: int  # of teaching; the files of rounds come round by round, of each fold by fold
    folds_run: list[int]
    images: bool = True  # whether slices of the data are shown
    uids: str = "plain"  # plain: studies have their StudyInstanceUID; numbered: their place in shown.parquet
    members: int = 1  # models of a fold that are averaged
    published: dict[str, Any] = field(default_factory=dict)  # what the method's source says it scored
    phantom: bool = True  # the data are synthetic: said everywhere
    size: str = "demo"  # smoke | demo | study: what a result of this size may claim
    bootstrap: int = 1000  # resamples of studies behind each interval
    seed: int = 0
    normalisation: str = "per_exam"
    prior_clip: float = 0.01

    def __post_init__(self) -> None:
        if self.uids not in NAMES:
            raise CspineError(f"report.uids: found {self.uids!r}, expected one of {', '.join(NAMES)}")

    @property
    def about(self) -> About:
        """What every figure's caption has to say."""
        return About(self.phantom, self.bootstrap)

    def of_rounds(self) -> CompareConfig:
        """The rounds of the method as ``cspine.comparison`` compares methods, the last one being the reference."""
        rounds = [ComparedMethod(round_name(r), self.block["family"], self.unit, []) for r in range(self.rounds)]
        return CompareConfig(
            rounds, rounds[-1].name, self.folds_run, phantom=self.phantom, size=self.size, bootstrap=self.bootstrap,
            seed=self.seed, normalisation=self.normalisation, prior_clip=self.prior_clip,
        )  # fmt: skip


def round_name(number: int) -> str:
    """A round in words."""
    return f"round {number} ({'teacher' if number == 0 else 'student'})"

"""What is compared, and what may be claimed of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from cspine.errors import CspineError
from cspine.scores import ScoreConfig


@dataclass(frozen=True)
class ComparedMethod:
    """One row of the table, and how many of the stage's files are its own."""

    name: str  # as in the config
    family: str
    unit: str  # slice | vertebra | study: what one example of it is
    vertebra: list[str]  # how its slices may become a vertebra, as of aggregate.vertebra
    # what counts of a slice, as of aggregate.evidence
    evidence: list[str] = field(default_factory=lambda: ["fracture"])
    members: int = 1  # models of a fold that are averaged
    localizers: list[str] = field(default_factory=list)  # that must have spoken before it can judge a new study


@dataclass(frozen=True)
class Published:
    """What a method's source says it scored: on another data set, so never more than a landmark."""

    score: float
    where: str


@dataclass(frozen=True)
class CompareConfig:
    """What is compared."""

    methods: list[ComparedMethod]  # in the order of the table and of the files
    reference: str  # the method that every other is held against, in pairs
    folds_run: list[int]  # of every method, in the order of the files
    published: dict[str, Published] = field(default_factory=dict)  # by method
    localizers: list[str] = field(default_factory=list)  # all that any method needs, in the order of the files
    inner: int = 2  # models of a localizer and fold
    phantom: bool = True  # the data are synthetic: said everywhere
    size: str = "demo"  # smoke | demo | study: what a result of this size may claim
    bootstrap: int = 1000  # resamples of studies behind each interval, the same for all methods
    seed: int = 0
    normalisation: str = "per_exam"  # of the prior that a test study without prediction is given, as in the submission
    prior_clip: float = 0.01  # that prior, and the best constant, are kept this far from 0 and 1
    clip: float = 0.001  # the same for probabilities that are aggregated without calibration

    def __post_init__(self) -> None:
        names = [method.name for method in self.methods]
        if not names or len(set(names)) != len(names):
            raise CspineError(f"compare.methods: found {names}, expected different methods, at least one")
        if self.reference not in names:
            raise CspineError(f"compare.reference: found {self.reference!r}, expected one of {', '.join(names)}")

    def of_scores(self, method: str) -> ScoreConfig:
        """The same for ``cspine.scores``, which says which studies are scored by what."""
        return ScoreConfig(
            method, self.folds_run, self.phantom, self.size, self.bootstrap, self.seed, self.prior_clip,
            self.normalisation,
        )  # fmt: skip

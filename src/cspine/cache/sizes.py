"""How large a cache will be, from a sample of its slices, and in which of several encodings it stays in a budget.

Studies are drawn, then slices within them: slices of one study are alike, so what counts is how many studies were seen,
and the interval comes from drawing studies again (cluster sampling; Cochran, Sampling Techniques, 1977, chapter 9A).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cspine.bootstrap import Measured, interval, mean, resample_counts
from cspine.hashing import seed_of

FILES = 200  # looked at in all
FILES_OF_STUDY = 4  # spread over a study from the head to the chest, which differ in size
MARGIN = 0.1
DRAWS = 1000


@dataclass(frozen=True)
class ListedStudy:
    """A study in the inventory."""

    cohort: str
    uid: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class SampledStudy:
    """What a few files of a study would take in the cache.

    Attributes:
        cohort: train | test.
        listed: files of the study.
        looked_at: of these, those that were read.
        slices: that they gave; a file that gives none takes no room.
        sizes: bytes of these slices, in each encoding.
    """

    cohort: str
    listed: int
    looked_at: int
    slices: int
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Projection:
    """Bytes of a whole cache: the estimate and its 95 % interval."""

    size: float
    low: float
    high: float

    @property
    def asked(self) -> float:
        """The room that a plan asks for: MARGIN above the estimate, or the interval's end where that is more."""
        return max(self.size * (1 + MARGIN), self.high)


def draw_files(studies: Sequence[ListedStudy], seed: int) -> list[ListedStudy]:
    """About FILES files of studies drawn at random from every cohort; ``files`` of each are those to look at.

    Every cohort has its share of the studies and one at least. Small sets are looked at in more files of each study.
    """
    chosen = draw_studies(studies, math.ceil(FILES / FILES_OF_STUDY), seed)
    each = max(FILES_OF_STUDY, round(FILES / max(1, len(chosen))))
    return [ListedStudy(s.cohort, s.uid, _spread(s, each, seed)) for s in chosen]


def draw_studies(studies: Sequence[ListedStudy], wanted: int, seed: int) -> list[ListedStudy]:
    """About ``wanted`` studies at random; every cohort has its share of them and one at least."""
    some = [s for s in studies if s.files]
    chosen: list[ListedStudy] = []
    for cohort in sorted({s.cohort for s in some}):
        own = sorted((s for s in some if s.cohort == cohort), key=lambda s: s.uid)
        count = min(len(own), max(1, round(wanted * len(own) / len(some))))
        order = np.random.default_rng(seed_of("size plan", seed, cohort)).permutation(len(own))
        chosen += [own[i] for i in sorted(order[:count])]
    return chosen


def project(
    sample: Sequence[SampledStudy], files: Mapping[str, int], encoding: int, overhead: float, fixed: float, seed: int
) -> Projection:
    """The bytes of all ``files`` of each cohort in one of the encodings.

    Args:
        sample: with bytes of blobs.
        files: listed of each cohort.
        encoding: its place in ``SampledStudy.sizes``.
        overhead: bytes that a slice takes besides its blob.
        fixed: bytes that the cache takes without any slice.
        seed: of the resamples.
    """
    total, draws = float(fixed), np.full(DRAWS, float(fixed))
    everyone = _rate(sample, encoding, overhead, seed)
    for cohort, count in files.items():
        own = [s for s in sample if s.cohort == cohort]
        rate = _rate(own, encoding, overhead, seed_of(seed, cohort)) if own else everyone
        total, draws = total + count * rate.value, draws + count * rate.draws
    return Projection(total, *interval(draws))


def fitting(projections: Sequence[Projection], budget: float) -> list[bool]:
    """Which of them stay in ``budget`` bytes; 0 = no limit."""
    return [not budget or projection.asked <= budget for projection in projections]


def _rate(sample: Sequence[SampledStudy], encoding: int, overhead: float, seed: int) -> Measured:
    """Bytes per listed file; 0 of an empty sample."""
    if not sample:
        return Measured(0.0, np.zeros(DRAWS))
    listed = np.array([s.listed for s in sample], np.float64)
    own = np.array([(s.sizes[encoding] + overhead * s.slices) / s.looked_at for s in sample])
    return mean(own, resample_counts(len(sample), DRAWS, seed), listed)


def _spread(study: ListedStudy, count: int, seed: int) -> tuple[str, ...]:
    """``count`` of its files at equal distances, begun at random."""
    count = min(count, len(study.files))
    start = np.random.default_rng(seed_of("size plan", seed, study.uid)).random()
    places = ((np.arange(count) + start) * len(study.files) / count).astype(int)
    return tuple(study.files[place] for place in places)

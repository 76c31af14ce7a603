"""Which studies of a cohort have which oddity of the real data set (docs/phantom.md lists them with their tests)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cspine.phantom.draws import apportion, count_of, pick

if TYPE_CHECKING:
    from cspine.phantom.plans import PhantomConfig

#: Computed from the real label files.
SEVERAL_OF_BOXED = 132 / 235  # boxed studies with several fractured vertebrae
GAPS_OF_BOXED = 108 / 235  # boxed studies with an unboxed slice between boxed ones
MASKS = (40, 47)  # segmented studies that are boxed, and that are unfractured
#: Known to occur in the real set; how often is not. ASSUME: these shares of the studies of a cohort.
LATE_START_SHARE = 0.15  # first file number above 1
MISSING_FILE_SHARE = 0.05  # a slice is missing inside the numbering
STRAY_LABELS_SHARE = 0.5  # of the masks: islands of a wrong label
#: ASSUME: what occurs once or twice in 2,019 studies is shown once, in a cohort of this size or more.
LARGE_COHORT = 40
LEAST_TEST_STUDIES = 10  # from which on one of them is not asked for
LEAST_MASKS = 6  # from which on one segmented study lacks a slice, so that its mask has one more
LEAST_BOXED = 10  # from which on a boxed study is reversed (the real set: 18 of 235)

Levels = tuple[int, ...]
Rng = Callable[[str], np.random.Generator]  # a generator of its own for each thing that is drawn


@dataclass
class Traits:
    """Places in the cohort (0, 1, ...) of the studies that have each trait."""

    reversed: set[int]
    compressed: set[int]
    late: set[int]
    large: set[int]
    boxed: set[int] = field(default_factory=set)
    gaps: set[int] = field(default_factory=set)
    segmented: set[int] = field(default_factory=set)
    strays: set[int] = field(default_factory=set)
    thoracic: dict[int, int] = field(default_factory=dict)  # of each segmented study, see StudyPlan.mask_thoracic
    missing_file: set[int] = field(default_factory=set)
    incomplete: set[int] = field(default_factory=set)
    mixed_sizes: set[int] = field(default_factory=set)
    not_asked: set[int] = field(default_factory=set)


def traits_of_training_studies(config: PhantomConfig, fractures: Sequence[Levels], rng: Rng) -> Traits:
    """The traits of the training studies, whose fractured levels are ``fractures``."""
    everyone = range(len(fractures))
    boxed = _boxed(config.boxed_share, fractures, rng("boxed"))
    segmented = _segmented(config.segmented, boxed, fractures, rng("segmented"))
    must = [boxed] * (len(boxed) >= LEAST_BOXED) + [segmented] * (len(segmented) >= LEAST_MASKS)
    traits = _common(config, len(everyone), rng, must)
    traits.boxed, traits.segmented = boxed, segmented
    traits.gaps = _gaps(boxed, fractures, rng("gaps"))
    traits.strays = pick(rng("strays"), segmented, count_of(STRAY_LABELS_SHARE, len(segmented)))
    dealt = rng("thoracic").permutation(sorted(segmented))
    traits.thoracic = {int(i): 2 - place % 3 for place, i in enumerate(dealt)}
    whole = {i for i in everyone if not fractures[i]} - segmented
    if len(everyone) >= LARGE_COHORT:
        traits.incomplete = pick(rng("incomplete"), whole, 1)
        traits.mixed_sizes = pick(rng("mixed sizes"), whole - traits.incomplete, 1)
    others = set(everyone) - segmented - traits.incomplete - traits.mixed_sizes
    masked = pick(rng("missing file of a mask"), segmented, 1 if len(segmented) >= LEAST_MASKS else 0)
    holes = count_of(MISSING_FILE_SHARE, len(everyone)) - len(masked)
    traits.missing_file = masked | pick(rng("missing file"), others, holes)
    return traits


def traits_of_test_studies(config: PhantomConfig, count: int, rng: Rng) -> Traits:
    """The traits of the ``count`` test studies."""
    traits = _common(config, count, rng, [])
    traits.missing_file = pick(rng("missing file"), range(count), count_of(MISSING_FILE_SHARE, count))
    traits.not_asked = pick(rng("not asked"), range(count), 1 if count >= LEAST_TEST_STUDIES else 0)
    return traits


def _common(config: PhantomConfig, count: int, rng: Rng, reversed_one_of: list[set[int]]) -> Traits:
    everyone = range(count)
    return Traits(
        reversed=pick(rng("reversed"), everyone, count_of(config.reversed_share, count), reversed_one_of),
        compressed=pick(rng("compressed"), everyone, count_of(config.jpeg_lossless_share, count)),
        late=pick(rng("late start"), everyone, count_of(LATE_START_SHARE, count)),
        large=pick(rng("large"), everyone, count_of(config.large_share, count)),
    )


def _boxed(share: float, fractures: Sequence[Levels], rng: np.random.Generator) -> set[int]:
    """Boxed studies: more of them have several fractures than of the fractured ones in all, as in the real set."""
    broken = [i for i, levels in enumerate(fractures) if levels]
    several = {i for i in broken if len(fractures[i]) > 1}
    count = count_of(share, len(broken))
    first = pick(rng, several, round(count * SEVERAL_OF_BOXED))
    chosen = first | pick(rng, set(broken) - several, count - len(first))
    return chosen | pick(rng, set(broken) - chosen, count - len(chosen))


def _gaps(boxed: set[int], fractures: Sequence[Levels], rng: np.random.Generator) -> set[int]:
    """Boxed studies whose boxes have a gap. Those with several fractures first: theirs have some of themselves."""
    count = count_of(GAPS_OF_BOXED, len(boxed))
    first = pick(rng, {i for i in boxed if len(fractures[i]) > 1}, count)
    return first | pick(rng, boxed - first, count - len(first))


def _segmented(count: int, boxed: set[int], fractures: Sequence[Levels], rng: np.random.Generator) -> set[int]:
    """Studies with masks, boxed and unfractured as MASKS says; others where these run out."""
    first = pick(rng, boxed, apportion(count, MASKS)[0])
    chosen = first | pick(rng, {i for i, levels in enumerate(fractures) if not levels}, count - len(first))
    return chosen | pick(rng, set(range(len(fractures))) - chosen, count - len(chosen))

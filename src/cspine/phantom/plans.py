"""Which study has what: the phantom's config and every draw about the data set as a whole; exact counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cspine.errors import CspineError
from cspine.hashing import seed_of
from cspine.studies import VERTEBRAE

#: Fractured vertebrae C1..C7 of the real training set (from its train.csv).
REAL_FRACTURES = (146, 285, 73, 108, 162, 277, 393)
#: Share of fractured studies with one, two, three fractured vertebrae (real set: 623, 239, 64; 35 with more).
HOW_MANY = (0.65, 0.25, 0.10)
UID_ROOT = "1.2.826.0.1.3680043"
#: SliceThickness in the headers, mm, as seen in the real set; not the distance between the slices here.
THICKNESSES = (0.5, 0.625, 0.75, 0.8, 1.0)
#: ASSUME shares of studies for what the config does not ask for.
LATE_START_SHARE = 0.15  # first file number above 1
TWELVE_BIT_SHARE = 0.25  # BitsStored 12 where the others say 16
GAP_SHARE = 0.45  # boxed studies whose boxes leave a slice out (the real set: 108 of 235)


@dataclass(frozen=True)
class PhantomConfig:
    """How many studies, what they show and how hard it is to see."""

    seed: int = 22  # of every draw; another seed is another data set
    studies: int = 80  # in train.csv and train_images
    test_studies: int = 32  # in test_images; test.csv asks for one more that has no folder
    fractured_share: float = 0.48  # of the studies of each cohort; the real training set has 0.476
    boxed_share: float = 0.5  # of the fractured training studies that have boxes; the real set has 0.245
    segmented: int = 6  # training studies with a mask, half of them boxed ones
    pixels: int = 160  # rows and columns of a slice
    slices: list[int] = field(default_factory=lambda: [32, 44])  # fewest and most slices of a study
    cleft_width: list[float] = field(default_factory=lambda: [2.4, 3.8])  # narrowest, widest gap, mm
    cleft_contrast: float = 1.0  # 1 = the gap holds blood, towards 0 it fades into bone
    noise: float = 20.0  # standard deviation of the noise, HU
    jpeg_lossless_share: float = 0.2  # of the studies of each cohort, stored as JPEG Lossless
    reversed_share: float = 0.1  # of the studies of each cohort, numbered from the feet to the head

    def __post_init__(self) -> None:
        for key in ("fractured_share", "boxed_share", "jpeg_lossless_share", "reversed_share"):
            _require(0 <= getattr(self, key) <= 1, key, getattr(self, key), "a share from 0 to 1")
        _require(self.studies >= 2, "studies", self.studies, "2 or more")
        _require(self.test_studies >= 1, "test_studies", self.test_studies, "1 or more")
        _require(self.studies + self.test_studies < 30_000, "studies", self.studies, "below 30000 in all")
        _require(0 <= self.segmented <= self.studies, "segmented", self.segmented, "0 up to `studies`")
        _require(self.pixels >= 32, "pixels", self.pixels, "32 or more")
        _require(_is_range(self.slices, 16), "slices", self.slices, "[fewest, most], 16 or more")
        _require(_is_range(self.cleft_width, 0.2), "cleft_width", self.cleft_width, "[least, most] mm")
        _require(0 < self.cleft_contrast <= 1, "cleft_contrast", self.cleft_contrast, "above 0, up to 1")
        _require(self.noise >= 0, "noise", self.noise, "0 HU or more")


@dataclass(frozen=True)
class StudyPlan:
    """One study: all that its files depend on besides the config."""

    index: int  # in order of making; training studies first
    cohort: str  # train | test
    uid: str
    slices: int
    fractured: tuple[str, ...]  # vertebrae, in order
    boxed: bool
    box_gap: bool  # the boxes leave out a slice in the middle of a run, where a run is long enough
    segmented: bool
    reversed: bool  # numbered from the feet to the head
    compressed: bool  # JPEG Lossless
    bits_stored: int
    first_number: int
    thickness: float  # SliceThickness in the header, mm


def plan_studies(config: PhantomConfig) -> list[StudyPlan]:
    """All studies, training studies first. Shares are met exactly, rounded; above 0 they give one or more."""
    total = config.studies + config.test_studies
    numbers = _rng(config, "uids").choice(np.arange(1, 32_768), size=total, replace=False)
    plans: list[StudyPlan] = []
    for cohort, count in (("train", config.studies), ("test", config.test_studies)):
        fractures = _draw_fractures(config, cohort, count)
        broken = [i for i in range(count) if fractures[i]]
        boxed = _pick(config, cohort, "boxed", broken, config.boxed_share) if cohort == "train" else set()
        gaps = _pick(config, cohort, "box gaps", sorted(boxed), GAP_SHARE)
        masks = _draw_segmented(config, boxed, broken, count) if cohort == "train" else set()
        everyone = range(count)
        flipped = _pick(config, cohort, "reversed", everyone, config.reversed_share)
        packed = _pick(config, cohort, "compressed", everyone, config.jpeg_lossless_share)
        late = _pick(config, cohort, "late start", everyone, LATE_START_SHARE)
        narrow = _pick(config, cohort, "twelve bit", everyone, TWELVE_BIT_SHARE)
        for i in everyone:
            index = len(plans)
            rng = _rng(config, "study", index)
            slices = int(rng.integers(config.slices[0], config.slices[1] + 1))
            first = int(rng.integers(2, 40)) if i in late else 1
            plan = StudyPlan(
                index=index,
                cohort=cohort,
                uid=f"{UID_ROOT}.{numbers[index]}",
                slices=slices,
                fractured=fractures[i],
                boxed=i in boxed,
                box_gap=i in gaps,
                segmented=i in masks,
                reversed=i in flipped,
                compressed=i in packed,
                bits_stored=12 if i in narrow else 16,
                first_number=first,
                thickness=float(rng.choice(THICKNESSES)),
            )
            plans.append(plan)
    return plans


def missing_uid(config: PhantomConfig) -> str:
    """A study that test.csv asks for and that has no folder, as three in the public files of the real set."""
    taken = {plan.uid for plan in plan_studies(config)}
    free = [n for n in range(1, 32_768) if f"{UID_ROOT}.{n}" not in taken]
    return f"{UID_ROOT}.{_rng(config, 'missing').choice(free)}"


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """``total`` things shared out by weight, by largest remainder, so that the counts add up exactly."""
    exact = total * np.asarray(weights, np.float64) / np.sum(weights)
    counts = np.floor(exact).astype(int)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return [int(c) for c in counts]


def _draw_fractures(config: PhantomConfig, cohort: str, count: int) -> list[tuple[str, ...]]:
    """The fractured vertebrae of each study of a cohort; how often each level breaks follows the real set."""
    rng = _rng(config, cohort, "fractures")
    broken = sorted(_pick(config, cohort, "fractured", range(count), config.fractured_share))
    sizes = [n + 1 for n, studies in enumerate(apportion(len(broken), HOW_MANY)) for _ in range(studies)]
    room = np.array(apportion(sum(sizes), REAL_FRACTURES))
    if sum(sizes) >= len(VERTEBRAE):  # every level breaks somewhere
        for level in np.flatnonzero(room == 0):
            room[level] += 1
            room[np.argmax(room)] -= 1
    drawn: list[tuple[str, ...]] = [()] * count
    order = rng.permutation(len(broken))
    for place, size in zip(order, sorted(sizes, reverse=True), strict=True):
        # fullest levels first: the only order that never needs one level twice in a study
        levels = np.argsort(-(room + rng.uniform(0, 0.9, len(room))), kind="stable")[:size]
        if size == 1:
            levels = rng.choice(len(room), size=1, p=room / room.sum())
        room[levels] -= 1
        drawn[broken[place]] = tuple(VERTEBRAE[v] for v in sorted(levels))
    return drawn


def _draw_segmented(config: PhantomConfig, boxed: set[int], broken: list[int], count: int) -> set[int]:
    """Studies with masks: half boxed, half unfractured (real set: 40 and 47), others where these run out."""
    unbroken = [i for i in range(count) if i not in broken]
    rng = _rng(config, "segmented")
    first = rng.permutation(sorted(boxed))[: (config.segmented + 1) // 2]
    second = rng.permutation(unbroken)[: config.segmented - len(first)]
    chosen = {int(i) for i in (*first, *second)}
    rest = rng.permutation([i for i in range(count) if i not in chosen])
    return chosen | {int(i) for i in rest[: config.segmented - len(chosen)]}


def _pick(config: PhantomConfig, cohort: str, what: str, among: Sequence[int], share: float) -> set[int]:
    count = max(1, round(share * len(among))) if share > 0 and len(among) else 0
    if not count:
        return set()
    chosen = _rng(config, cohort, what).choice(np.asarray(among, int), size=count, replace=False)
    return {int(i) for i in chosen}


def _rng(config: PhantomConfig, *what: str | int) -> np.random.Generator:
    return np.random.default_rng(seed_of("phantom", config.seed, *what))


def _is_range(values: list[int] | list[float], least: float) -> bool:
    return len(values) == 2 and least <= values[0] <= values[1]


def _require(condition: bool, key: str, found: object, expected: str) -> None:
    if not condition:
        raise CspineError(f"config key phantom.{key}: found {found}, expected {expected}")

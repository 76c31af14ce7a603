"""Which study has what: the phantom's config and every draw about the data set as a whole; exact counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from cspine.errors import CspineError
from cspine.hashing import seed_of
from cspine.phantom.draws import count_of, pick
from cspine.phantom.fracture_draws import draw_fractures
from cspine.phantom.storage import JPEG_LOSSLESS, THICKNESSES, PixelFormat, draw_storage
from cspine.phantom.traits import traits_of_test_studies, traits_of_training_studies
from cspine.studies import VERTEBRAE

UID_ROOT = "1.2.826.0.1.3680043"
LARGER = 1.5  # rows of a large matrix against `pixels`: 768 beside 512
#: Cut off the upper end of an incomplete study, mm: C1, and of C2 all or most (as study ...20574 of the real set).
CUT_OFF = 55.0


@dataclass(frozen=True)
class PhantomConfig:
    """How many studies, what they show and how hard it is to see."""

    seed: int = 22  # of every draw; another seed is another data set
    studies: int = 80  # in train.csv and train_images
    test_studies: int = 32  # in test_images; test.csv asks for some more that have no folder
    fractured_share: float = 0.48  # of the studies of each cohort; the real training set has 0.476
    boxed_share: float = 0.5  # of the fractured training studies that have boxes; the real set has 0.245
    segmented: int = 6  # training studies with a mask, half of them boxed ones
    pixels: int = 160  # rows and columns of a slice
    slices: list[int] = field(default_factory=lambda: [64, 88])  # fewest and most slices of a study
    cleft_width: list[float] = field(default_factory=lambda: [2.0, 3.4])  # narrowest, widest gap, mm
    cleft_contrast: float = 1.0  # 1 = the gap holds blood, towards 0 it fades into bone
    displacement: float = 1.0  # scale of the fragments' shift: 1 = 1-3 mm, 0 = none
    distractors: float = 1.0  # mean number per study of findings that look like a fracture and are none
    streaks: float = 1.0  # strength of the streaks from shoulders and metal; 0 = none
    noise: float = 20.0  # standard deviation of the noise, HU
    jpeg_lossless_share: float = 0.2  # of the studies of each cohort, stored as JPEG Lossless
    reversed_share: float = 0.1  # of the studies of each cohort, numbered from the feet to the head
    large_share: float = 0.05  # of the studies of each cohort, with slices of 1.5 times `pixels`

    def __post_init__(self) -> None:
        for key in ("fractured_share", "boxed_share", "jpeg_lossless_share", "reversed_share", "large_share"):
            _require(0 <= getattr(self, key) <= 1, key, getattr(self, key), "a share from 0 to 1")
        _require(self.studies >= 2, "studies", self.studies, "2 or more")
        _require(self.test_studies >= 1, "test_studies", self.test_studies, "1 or more")
        _require(self.studies + self.test_studies < 30_000, "studies", self.studies, "below 30000 in all")
        _require(0 <= self.segmented <= self.studies, "segmented", self.segmented, "0 up to `studies`")
        _require(self.pixels >= 32, "pixels", self.pixels, "32 or more")
        _require(_is_range(self.slices, 16), "slices", self.slices, "[fewest, most], 16 or more")
        _require(_is_range(self.cleft_width, 0.2), "cleft_width", self.cleft_width, "[least, most] mm")
        _require(0 < self.cleft_contrast <= 1, "cleft_contrast", self.cleft_contrast, "above 0, up to 1")
        for key in ("displacement", "distractors", "streaks", "noise"):
            _require(getattr(self, key) >= 0, key, getattr(self, key), "0 or more")


@dataclass(frozen=True)
class StudyPlan:
    """One study: all that its files depend on besides the config."""

    index: int  # in order of making; training studies first
    cohort: str  # train | test
    uid: str
    slices: int
    fractured: tuple[str, ...]  # vertebrae, in order
    boxed: bool
    box_gap: bool  # a slice without a box lies between boxed ones, where a run of these is long enough
    segmented: bool
    mask_thoracic: int  # levels below C7 that the mask holds where the slices show them: 0, 1 (T1) or 2 (T1, T2)
    mask_strays: bool  # the mask has islands of wrong labels
    reversed: bool  # numbered from the feet to the head
    first_number: int
    missing_file: bool  # a slice inside the numbering has no file
    mixed_sizes: bool  # the slices at the foot end have a smaller matrix
    thickness: float  # SliceThickness in the header, mm
    pixels: int  # rows and columns of its slices
    starts_below: float  # cut off the upper end of the scanned range, mm; 0 = the whole neck
    syntax: str  # transfer syntax
    stored: PixelFormat
    asked: bool  # of a test study: test.csv asks for it

    @property
    def compressed(self) -> bool:
        """Whether its files are JPEG Lossless."""
        return self.syntax == JPEG_LOSSLESS


def plan_studies(config: PhantomConfig) -> list[StudyPlan]:
    """All studies, training studies first. Shares are met exactly, rounded; above 0 they give one or more."""
    total = config.studies + config.test_studies
    numbers = _rng(config, "uids").choice(np.arange(1, 32_768), size=total, replace=False)
    uids = [f"{UID_ROOT}.{number}" for number in numbers]
    train, test = uids[: config.studies], uids[config.studies :]
    return _plan_cohort(config, "train", train, 0) + _plan_cohort(config, "test", test, len(train))


def uids_without_folder(config: PhantomConfig) -> list[str]:
    """Studies that test.csv asks for and that have no folder: one for ten test studies, at most 3.

    The public files of the real set have three.
    """
    taken = {plan.uid for plan in plan_studies(config)}
    free = [n for n in range(1, 32_768) if f"{UID_ROOT}.{n}" not in taken]
    count = min(3, max(1, round(config.test_studies / 10)))
    return [f"{UID_ROOT}.{n}" for n in _rng(config, "missing").choice(free, size=count, replace=False)]


def _plan_cohort(config: PhantomConfig, cohort: str, uids: list[str], first_index: int) -> list[StudyPlan]:
    rng = partial(_rng, config, cohort)
    fractures = _draw_fractures(config, len(uids), rng)
    if cohort == "train":
        traits = traits_of_training_studies(config, fractures, rng)
    else:
        traits = traits_of_test_studies(config, len(uids), rng)
    storage = draw_storage(len(uids), traits.compressed, rng("storage"))
    plans = []
    for i, (uid, (syntax, stored)) in enumerate(zip(uids, storage, strict=True)):
        own = _rng(config, "study", first_index + i)
        plan = StudyPlan(
            index=first_index + i,
            cohort=cohort,
            uid=uid,
            slices=int(own.integers(config.slices[0], config.slices[1] + 1)),
            fractured=tuple(VERTEBRAE[level] for level in fractures[i]),
            boxed=i in traits.boxed,
            box_gap=i in traits.gaps,
            segmented=i in traits.segmented,
            mask_thoracic=traits.thoracic.get(i, 0),
            mask_strays=i in traits.strays,
            reversed=i in traits.reversed,
            first_number=int(own.integers(2, 40)) if i in traits.late else 1,
            missing_file=i in traits.missing_file,
            mixed_sizes=i in traits.mixed_sizes,
            thickness=float(own.choice(THICKNESSES)),
            pixels=round(LARGER * config.pixels) if i in traits.large else config.pixels,
            starts_below=CUT_OFF if i in traits.incomplete else 0.0,
            syntax=syntax,
            stored=stored,
            asked=i not in traits.not_asked,
        )
        plans.append(plan)
    return plans


def _draw_fractures(
    config: PhantomConfig, count: int, rng: Callable[[str], np.random.Generator]
) -> list[tuple[int, ...]]:
    """The fractured levels of each study of a cohort, () for most."""
    broken = sorted(pick(rng("fractured"), range(count), count_of(config.fractured_share, count)))
    drawn = dict(zip(broken, draw_fractures(len(broken), rng("fractures")), strict=True))
    return [drawn.get(i, ()) for i in range(count)]


def _rng(config: PhantomConfig, *what: str | int) -> np.random.Generator:
    return np.random.default_rng(seed_of("phantom", config.seed, *what))


def _is_range(values: list[int] | list[float], least: float) -> bool:
    return len(values) == 2 and least <= values[0] <= values[1]


def _require(condition: bool, key: str, found: object, expected: str) -> None:
    if not condition:
        raise CspineError(f"config key phantom.{key}: found {found}, expected {expected}")

"""The real training set's counts as made-up studies: how many slices, which fractures, boxes and masks, at any share.

Counts are exact where they are known of the real set, and scaled by one share otherwise; only which study has what is
drawn. Nothing here is a picture.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cspine.phantom.draws import apportion
from cspine.phantom.fracture_draws import draw_fractures
from cspine.phantom.plans import UID_ROOT
from cspine.raw_folder import COHORTS, CSV_COLUMNS, MASKS
from cspine.studies import LABELS, VERTEBRAE

#: Of the real training set, computed from its files; those of fractures are ``fracture_draws``'.
STUDIES, SLICES, FRACTURED, BOXED, BOXES, SEGMENTED, REVERSED = 2_019, 711_601, 961, 235, 7_217, 87, 197
SEGMENTED_BOXED, SEVERAL_BOXED = 40, 132  # boxed studies with a mask; with several fractured vertebrae
MEDIAN_BOXES, MOST_BOXES = 24, 167  # of a boxed study
ASKED, WITHOUT_FOLDER = 6, 3  #: studies of the public test.csv, and those of them that are not there
NECK = (0.15, 0.85)  # where in the stack C1 begins and C7 ends: ASSUME, as all of the localizer's numbers


@dataclass(frozen=True)
class Study:
    """One study: all that the tables of a rehearsal hang on.

    Attributes:
        uid: its name.
        cohort: train | test.
        slices: how many there are.
        fractured: levels, 0 = C1.
        boxes: z_index of each boxed slice, rising; () for most.
        segmented: whether it has a mask.
        reversed: numbered from the feet to the head.
    """

    uid: str
    cohort: str
    slices: int
    fractured: tuple[int, ...]
    boxes: tuple[int, ...]
    segmented: bool
    reversed: bool

    def number(self, z: int) -> int:
        """The number in the name of a slice's file."""
        return self.slices - z if self.reversed else z + 1

    def edges(self) -> np.ndarray:
        """Where C1, C2 ... C7 begin and C7 ends, in slices, (8,)."""
        return np.linspace(NECK[0] * self.slices, NECK[1] * self.slices, len(VERTEBRAE) + 1)


def real_studies(share: float, seed: int = 2022) -> list[Study]:
    """``share`` of the real training set, and the public test studies, of which half have no folder."""
    random = np.random.default_rng(seed)
    count, fractured, boxed, boxes = (max(2, round(share * n)) for n in (STUDIES, FRACTURED, BOXED, BOXES))
    numbers = random.choice(np.arange(1, 32_768), count + ASKED, replace=False)
    slices = _shared_out(round(share * SLICES), random.lognormal(0, 0.35, count))
    broken = dict(enumerate(_boxed_first(draw_fractures(fractured, random), boxed, round(share * SEVERAL_BOXED))))
    boxes_of = _shared_out(boxes, random.lognormal(0, 0.75, boxed).clip(2 / MEDIAN_BOXES, MOST_BOXES / MEDIAN_BOXES))
    whole = np.arange(fractured, count)
    inside = round(share * SEGMENTED_BOXED)
    segmented = {*range(inside), *whole[: max(1, round(share * SEGMENTED)) - inside].tolist()}
    reversed_ = set(random.choice(count, round(share * REVERSED), replace=False).tolist())
    made = []
    for i in range(count):
        study = Study(
            f"{UID_ROOT}.{numbers[i]}", "train", slices[i], broken.get(i, ()), (), i in segmented, i in reversed_
        )
        made.append(_with_boxes(study, boxes_of[i]) if i < boxed else study)
    test = [Study(f"{UID_ROOT}.{n}", "test", 300, (), (), False, False) for n in numbers[count:]]
    return made + test


def _boxed_first(fractures: list[tuple[int, ...]], boxed: int, several: int) -> list[tuple[int, ...]]:
    """The fractures in an order whose first ``boxed`` hold ``several`` of more than one vertebra."""
    many, single = ([levels for levels in fractures if (len(levels) > 1) == wanted] for wanted in (True, False))
    first = many[:several] + single[: boxed - several]
    return first + many[several:] + single[boxed - several :]


def _shared_out(total: int, weights: np.ndarray) -> list[int]:
    return [int(n) for n in apportion(total, [max(1, round(1e6 * w)) for w in weights])]


def _with_boxes(study: Study, count: int) -> Study:
    """As many boxed slices as there are to be, those of each fractured level as one run around its middle."""
    edges, shares = study.edges(), _shared_out(count, np.ones(len(study.fractured)))
    boxed: set[int] = set()
    for level, many in zip(study.fractured, shares, strict=True):
        middle = int(edges[level : level + 2].mean())
        around = sorted(range(study.slices), key=lambda z, m=middle: (abs(z - m), z))  # type: ignore[misc]
        boxed.update([z for z in around if z not in boxed][:many])
    return Study(**{**study.__dict__, "boxes": tuple(sorted(boxed))})


def write_raw_folder(root: Path, studies: Sequence[Study], files: bool = True) -> None:
    """The competition's folder without a byte of pixels: its CSVs, and an empty file for each slice where wanted."""
    for name in (*COHORTS.values(), MASKS):
        (root / name).mkdir(parents=True, exist_ok=True)
    train, test = ([s for s in studies if s.cohort == cohort] for cohort in COHORTS)
    _write(root, "train.csv", ([s.uid, int(bool(s.fractured)), *_levels(s)] for s in train))
    _write(root, "train_bounding_boxes.csv", ([s.uid, 200, 200, 89, 70, s.number(z)] for s in train for z in s.boxes))
    _write(root, "test.csv", ([f"{s.uid}_{label}", s.uid, label] for s in test for label in LABELS))
    _write(root, "sample_submission.csv", ([f"{s.uid}_{label}", 0.5] for s in test for label in LABELS))
    for study in _with_folder(studies):
        folder = root / COHORTS[study.cohort] / study.uid
        folder.mkdir(exist_ok=True)
        for z in range(study.slices if files else 0):
            os.close(os.open(f"{folder}/{study.number(z)}.dcm", os.O_CREAT | os.O_WRONLY, 0o644))  # 711,601 times
        if study.segmented:
            (root / MASKS / f"{study.uid}.nii").touch()


def with_folder(studies: Iterable[Study]) -> list[Study]:
    """Those that have one."""
    return list(_with_folder(list(studies)))


def _with_folder(studies: Sequence[Study]) -> Sequence[Study]:
    return studies[: len(studies) - WITHOUT_FOLDER]


def _levels(study: Study) -> list[int]:
    return [int(level in study.fractured) for level in range(len(VERTEBRAE))]


def _write(root: Path, name: str, rows: Iterable[Sequence[object]]) -> None:
    with (root / name).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(CSV_COLUMNS[name])
        writer.writerows(rows)

"""What looks like a fracture at first sight and is none: worn vertebrae, canals of vessels, a screw.

Only vertebrae that are not fractured get one, so that distractors never change what is true about a study.
ASSUME: sizes as seen in the elderly, each kind as frequent as the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cspine.hashing import seed_of
from cspine.phantom.anatomy import SIZES, Bone
from cspine.phantom.solids import Block, Capsule, Point, Solid, chain

METAL = 3500.0  # HU of a screw; the scanner's scale ends at 3071
KINDS = {  # where each may be found; a narrow disc is named by the vertebra above it
    "vascular channel": ("C2", "C3", "C4", "C5", "C6", "C7"),
    "osteophyte": ("C3", "C4", "C5", "C6", "C7"),
    "screw": ("C3", "C4", "C5", "C6", "C7"),
    "narrow disc": ("C3", "C4", "C5", "C6"),
}
BELOW = {"C3": "C4", "C4": "C5", "C5": "C6", "C6": "C7"}
NARROWED = 1.4  # mm that each of the two end plates comes closer


@dataclass(frozen=True)
class Distractor:
    """One finding without a fracture."""

    vertebra: str
    kind: str  # one of KINDS

    def __str__(self) -> str:
        return f"{self.vertebra}: {self.kind}"


def draw_distractors(mean: float, fractured: Sequence[str], seed: int, index: int) -> list[Distractor]:
    """The distractors of study ``index``: ``mean`` of them on average, none at a fractured vertebra."""
    rng = np.random.default_rng(seed_of("phantom", "distractors", seed, index))
    free = [
        Distractor(vertebra, kind)
        for kind, places in KINDS.items()
        for vertebra in places
        if vertebra not in fractured and not (kind == "narrow disc" and BELOW[vertebra] in fractured)
    ]
    found: list[Distractor] = []
    for _ in range(min(int(rng.poisson(mean)), len(free))):
        kinds = sorted({d.kind for d in free})
        kind = kinds[int(rng.integers(len(kinds)))]
        among = [d for d in free if d.kind == kind]
        found.append(among[int(rng.integers(len(among)))])
        free.remove(found[-1])
    return sorted(found, key=str)


def with_distractors(bone: Bone, found: Sequence[Distractor], rng: np.random.Generator) -> Bone:
    """A vertebra with its osteophytes, worn end plates and channels."""
    for distractor in found:
        here, kind = distractor.vertebra == bone.name, distractor.kind
        if here and kind == "osteophyte":
            bone = _with_osteophytes(bone, rng)
        elif here and kind == "vascular channel":
            bone = replace(bone, channels=(*bone.channels, *_channels(bone, rng)))
        elif kind == "narrow disc" and (here or BELOW[distractor.vertebra] == bone.name):
            bone = _with_worn_plate(bone, -1 if here else 1)
    return bone


def screw(vertebra: str, rng: np.random.Generator) -> Bone:
    """A screw from the front into a body, or from behind into an articular pillar, in the vertebra's frame."""
    size = SIZES[vertebra]
    side = float(rng.choice([-1.0, 1.0]))
    if rng.uniform() < 0.5:
        head: Point = (side * rng.uniform(3, 5), -size.depth / 2 - 1.5, rng.uniform(-1, 2))
        tip: Point = (side * 2.5, size.depth / 2 - 4.0, head[2] - 0.5)
    else:
        head = (side * (size.pillar - 1), size.depth / 2 + 11.0, -2.0)
        tip = (side * (size.pillar + 2), size.depth / 2 - 1.5, 2.5)
    along = np.subtract(tip, head)
    near = tuple(float(v) for v in np.asarray(head) + 0.12 * along)
    parts = (Capsule(head, (near[0], near[1], near[2]), 3.0, 2.8), Capsule(head, tip, 1.7, 1.3))
    return Bone("screw", 0, parts, cortex=5.0, densities=(METAL, METAL), joint=False)


def _with_osteophytes(bone: Bone, rng: np.random.Generator) -> Bone:
    """Spurs at the front and side edges of one end plate, and dense bone behind them."""
    size = SIZES[bone.name]
    end = float(rng.choice([-1.0, 1.0]))
    z, front, half = end * (size.height / 2 - 1.2), size.depth / 2, size.width / 2
    out = rng.uniform(3.5, 5.5)
    spurs: list[Solid] = chain(
        [(-0.55 * half, 1 - front, z), (0, -front - 0.8, z), (0.55 * half, 1 - front, z)], [1.4, 1.9, 1.4]
    )
    beak: list[Point] = [
        (0.2 * half, 1.5 - front, z),
        (0.3 * half, -front - 0.6 * out, z),
        (0.2 * half, -front - out, z),
    ]
    spurs += chain(beak, [2.2, 1.6, 0.7])
    side = float(rng.choice([-1.0, 1.0]))
    spurs.append(Capsule((side * (half - 1.5), -2.5, z), (side * (half + 2.5), -4.5, z), 2.0, 1.0))
    dense = Block((0, 2.5 - front, z), (0.6 * half, 3.0, 2.0), 2.0)
    return replace(bone, parts=(*bone.parts, *spurs), sclerotic=(*bone.sclerotic, dense))


def _with_worn_plate(bone: Bone, end: int) -> Bone:
    """One end plate nearer to its neighbour and dense; ``end`` 1 = upper, -1 = lower."""
    size = SIZES[bone.name]
    half_x, half_y, edge = size.width / 2, size.depth / 2, end * size.height / 2
    plate = Block((0, 0, edge), (half_x + 0.6, half_y + 0.6, NARROWED), 0.7 * half_y)
    dense = Block((0, -0.5, edge), (half_x, half_y, 3.6), 0.7 * half_y)
    return replace(bone, parts=(*bone.parts, plate), sclerotic=(*bone.sclerotic, dense))


def _channels(bone: Bone, rng: np.random.Generator) -> list[Solid]:
    """The basivertebral vein's canals: from the back of the body to a fork in its middle, ending in points."""
    size = SIZES[bone.name]
    back, half = size.depth / 2, size.width / 2
    z = rng.uniform(-1.0, 1.0) - (3.0 if bone.name == "C2" else 0.0)
    fork: Point = (rng.uniform(-1, 1), 0.25 * back, z)
    arms = [
        Capsule(fork, (side * rng.uniform(0.45, 0.7) * half, -rng.uniform(0.3, 0.6) * back, z + 0.5), 1.1, 0.3, 1.5)
        for side in (-1, 1)
    ]
    return [Capsule((0, back + 0.5, z), fork, 1.5, 1.1, 1.5), *arms]

"""The vertebrae C1 to T2, each in its own frame, in mm; the other bones are in skull.py, throat.py and thorax.py.

A vertebra's frame: origin at the middle of its body (C1: at the dens inside its ring), x to the patient's
left, y to the back, z to the head. Sizes are typical adult values, rounded (C2-C7: as in morphometric studies
such as Panjabi et al., Spine 1991, 16:861; atlas about 78 mm wide, dens about 15 mm high and 10 mm thick).
ASSUME: C3 to C6 differ a little more in size than real ones do, so that one slice can tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from cspine.phantom.solids import Block, Capsule, Ellipsoid, Point, Solid, chain, mirrored


@dataclass(frozen=True)
class Bone:
    """One bone in its own frame."""

    name: str
    label: int  # value in the masks: 1-7 = C1-C7, 8 = T1, 9 = T2, 0 = not in the masks
    parts: tuple[Solid, ...]
    holes: tuple[Solid, ...] = ()
    cortex: float = 1.1  # thickness of the dense shell of arches and processes, mm
    thin_until: float = -1e3  # in front of this y the shell is thinner: the body (ASSUME 0.7 of it)
    densities: tuple[float, float] | None = None  # HU of shell and inside where they are not the patient's
    joint: bool = True  # keeps a joint space to the bones drawn before; False: set into them
    sclerotic: tuple[Solid, ...] = ()  # where worn bone has grown dense
    channels: tuple[Solid, ...] = ()  # canals of blood vessels within the bone
    air: tuple[Solid, ...] = ()  # cavities that hold air; each must be a hole, too


@dataclass(frozen=True)
class Size:
    """What distinguishes the vertebrae that share one plan (C3-C7, T1, T2), and where their fractures run."""

    width: float  # of the body, left to right
    depth: float  # of the body, front to back
    height: float  # of the body
    canal_width: float
    canal_depth: float
    span: float  # from tip to tip of the transverse processes
    foramen: float  # radius of the transverse foramen; 0 = none
    spinous: float  # length of the spinous process behind the canal
    slope: float  # how far its tip lies below its root
    bifid: bool  # whether that tip is split
    pillar: float  # distance of the articular pillars from the midline

    @property
    def canal_back(self) -> float:
        """y of the posterior wall of the canal."""
        return self.depth / 2 + self.canal_depth


SIZES = {
    "C2": Size(19.0, 15.5, 19.0, 24.0, 18.0, 54.0, 2.9, 17.0, 5.0, True, 15.5),
    "C3": Size(15.5, 14.5, 11.5, 23.5, 15.0, 48.0, 2.9, 12.0, 4.0, True, 17.5),
    "C4": Size(17.0, 15.0, 11.5, 24.0, 14.5, 50.0, 3.0, 12.5, 5.0, True, 18.0),
    "C5": Size(18.8, 15.5, 11.8, 24.5, 14.5, 53.0, 3.1, 14.0, 6.0, True, 18.5),
    "C6": Size(21.0, 16.2, 12.2, 25.0, 14.5, 57.0, 3.3, 19.0, 8.0, True, 19.0),
    "C7": Size(24.5, 17.0, 13.5, 24.5, 14.5, 68.0, 1.6, 32.0, 11.0, False, 19.0),
    "T1": Size(28.5, 17.5, 15.5, 22.0, 14.5, 74.0, 0.0, 34.0, 17.0, False, 18.0),
    "T2": Size(27.5, 18.5, 16.5, 19.5, 14.5, 66.0, 0.0, 34.0, 21.0, False, 17.0),
}


def vertebrae() -> dict[str, Bone]:
    """All vertebrae by name, from the foot end upwards (the order in which they are given room)."""
    labels = {"T2": 9, "T1": 8, "C7": 7, "C6": 6, "C5": 5, "C4": 4, "C3": 3}
    made = [*(_typical(name, label) for name, label in labels.items()), _axis(), _atlas()]
    return {bone.name: bone for bone in made}


def _typical(name: str, label: int) -> Bone:
    """C3-C7, T1 and T2: body, pedicles, pillars, transverse processes with foramina, laminae, spinous process."""
    size = SIZES[name]
    half, front = size.width / 2, size.depth / 2
    body = Block((0, 0, 0), (half, front, size.height / 2), 0.8 * front, waist=0.8)
    sides = [*_arch(size), *_transverse(size, carotid_tubercle=name == "C6")]
    if name not in ("T1", "T2"):  # the uncinate process: a lip on the upper edge of the body, beside the disc above
        lip, top = half - 1.2, size.height / 2 + 1.0
        sides.append(Capsule((lip, -1.0, top), (lip - 0.8, front - 2.5, top + 0.6), 1.9, 2.1, 1.7))
    holes: list[Solid] = [_canal(size)]
    if size.foramen:
        holes += mirrored([_foramen(size)])
    return Bone(name, label, (body, *mirrored(sides), *_spinous(size)), tuple(holes), thin_until=front)


def _arch(size: Size) -> list[Solid]:
    """Left pedicle, articular pillar and lamina."""
    half, wall, p = size.width / 2, size.depth / 2, size.pillar
    mid = wall + 4.5  # y of the pillar's middle
    rise = size.height / 2 + 2.6  # its facets reach to half of the disc
    pillar = chain([(p, mid - 4.0, rise), (p, mid, 0.5), (p, mid + 4.4, -rise)], [2.6, 5.2, 2.6])
    pedicle = Capsule((half - 2.5, wall - 3.5, 1.0), (p, mid, 0.5), 3.0, 3.2, 1.2)
    lamina = Capsule((p, mid + 2.5, -0.5), (0, size.canal_back + 2.2, -2.0), 3.1, 2.7, 1.9)
    return [*pillar, pedicle, lamina]


def _transverse(size: Size, carotid_tubercle: bool = False) -> list[Solid]:
    """Left transverse process: two bars around the foramen that meet beside it (C7, T1, T2: one heavy bar)."""
    half, tip, mid = size.width / 2, size.span / 2, size.depth / 2 + 4.5
    if size.foramen < 2:
        return [
            Capsule((size.pillar, mid - 1.5, 0.5), (tip - 3.5, mid - 0.5, 1.5), 4.2, 3.4, 1.15),
            Capsule((half - 2.0, 1.5, 0.0), (size.pillar + 5.0, mid - 3.0, 0.5), 2.3, 2.6),
        ]
    x, y = _foramen_place(size)
    front, back = y - size.foramen - 1.6, y + size.foramen + 1.8
    beside = x + size.foramen + 1.7
    tubercle = 3.4 if carotid_tubercle else 2.2
    front_bar: list[Point] = [(half - 2.0, front, 0), (beside, front, -1.5), (tip - 5.0, front - 1, -2.0)]
    back_bar: list[Point] = [(size.pillar - 2, back, -0.5), (beside, back, -1.0), (tip - 2.2, back + 1, -1.5)]
    return [
        *chain(front_bar, [1.9, 2.0, tubercle], 1.3),
        *chain(back_bar, [2.4, 2.2, 2.2], 1.3),
        Capsule((beside, front, -1.5), (beside, back, -1.0), 1.8, 1.8, 1.3),
        # the floor of the nerve's groove, which is open above
        Capsule((tip - 6.0, front, -4.0), (tip - 4.5, back, -4.0), 1.9, 1.9),
    ]


def _foramen_place(size: Size) -> tuple[float, float]:
    """x and y of the transverse foramen on the left."""
    return size.width / 2 + size.foramen + 1.0, 2.4


def _foramen(size: Size) -> Solid:
    x, y = _foramen_place(size)
    return Capsule((x, y, -30), (x, y, 30), size.foramen, size.foramen)


def _canal(size: Size) -> Solid:
    middle = size.depth / 2 + size.canal_depth / 2
    return Block((0, middle, 0), (size.canal_width / 2, size.canal_depth / 2, 40), 0.46 * size.canal_depth)


def _spinous(size: Size) -> list[Solid]:
    root, low = size.canal_back + 1.5, -2.0
    tip_y, tip_z = root + size.spinous, low - size.slope
    if not size.bifid:  # one long process with a knob
        middle = (0.0, root + 0.6 * size.spinous, low - 0.5 * size.slope)
        return chain([(0, root, low), middle, (0, tip_y - 4, tip_z)], [3.6, 3.0, 4.3], 1.5)
    fork = (0.0, root + 0.55 * size.spinous, low - 0.55 * size.slope)
    spread = 4.6 if size.spinous < 16 else 5.2
    prongs = mirrored([Capsule(fork, (spread, tip_y - 2, tip_z), 2.4, 2.4, 1.3)])
    return [Capsule((0, root, low), fork, 3.4, 3.0, 1.6), *prongs]


def _axis() -> Bone:
    """C2: body with the dens on it, shoulders for the atlas, heavy laminae, broad split spinous process."""
    size = SIZES["C2"]
    wall, back, p = size.depth / 2, size.canal_back, size.pillar
    body = Block((0, 0, -2.0), (size.width / 2, wall, 9.5), 0.74 * wall, waist=1.2)
    dens = chain([(0, -0.8, 4.0), (0, -0.8, 15.0), (0, -0.3, 24.0)], [5.6, 5.0, 4.2])
    left: list[Solid] = [
        Ellipsoid((14.5, 1.0, 7.5), (8.2, 8.4, 4.2)),  # shoulder: joint with the atlas
        Capsule((9.0, 4.0, 2.0), (p, 12.5, -1.0), 4.4, 4.0, 1.3),  # pars
        *chain([(p, 12.0, -1.0), (p + 0.5, 16.0, -11.0)], [4.6, 2.8]),  # lower facet
        Capsule((14.0, 3.0, 0.0), (size.span / 2 - 3, 4.0, -4.0), 3.4, 2.6),  # transverse process
        Capsule((p, 14.0, -2.5), (0, back + 2.6, -3.0), 3.6, 3.6, 1.9),  # lamina
    ]
    spinous = [
        Capsule((0, back + 2, -3.5), (0, back + 11, -6.0), 5.0, 4.6, 1.5),
        *mirrored([Capsule((0, back + 10, -6.0), (6.0, back + size.spinous, -9.5), 4.0, 3.2, 1.2)]),
    ]
    hole = Capsule((17.5, 3.6, -25), (17.5, 3.6, 4.0), size.foramen, size.foramen)
    canal = Block((0, wall + size.canal_depth / 2, 0), (size.canal_width / 2, size.canal_depth / 2, 40), 8.2)
    return Bone("C2", 2, (body, *dens, *mirrored(left), *spinous), (canal, *mirrored([hole])), thin_until=wall)


def _atlas() -> Bone:
    """C1: a ring without a body around the dens: two lateral masses joined by a short and a long arch."""
    back_arch: list[Point] = [(19.0, 7.5, 1.0), (17.5, 16.0, 1), (12.0, 24.5, 0.5), (0, 29.8, 0)]
    left: list[Solid] = [
        Ellipsoid((18.5, 0.5, 0.0), (7.6, 9.6, 8.2)),  # lateral mass
        *chain([(15.0, -6.5, 0), (8.5, -10.2, 0), (0, -11.8, 0)], [3.4, 2.7, 3.0], 1.8),  # anterior arch
        *chain(back_arch, [3.6, 2.8, 2.8, 3.2], 1.7),
        Capsule((22.0, 1.0, 0.0), (36.0, 3.0, -1.0), 4.6, 3.4, 1.2),  # transverse process
        Capsule((20.0, 7.0, 0.5), (33.0, 5.0, -0.5), 2.8, 2.6, 1.2),
    ]
    hole = Capsule((27.8, 2.4, -30), (27.8, 2.4, 30), 3.3, 3.3)
    tubercle = Capsule((0, -12.5, -0.5), (0, -14.0, -1.0), 2.6, 1.8, 1.4)
    return Bone("C1", 1, (*mirrored(left), tubercle), tuple(mirrored([hole])))

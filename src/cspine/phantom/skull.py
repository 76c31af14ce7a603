"""The base of the skull, jaws and teeth: what a reader counts the vertebrae from. In the atlas' frame, mm.

Typical adult sizes, rounded: inner table of the occiput, dental arch about 50 mm wide and 52 mm deep, jaw
angles 90 mm apart. ASSUME: the jaw turns with the head and the mouth is closed.
"""

from __future__ import annotations

import numpy as np

from cspine.phantom.anatomy import Bone
from cspine.phantom.solids import Block, Capsule, Ellipsoid, Point, Solid, chain, mirrored

ENAMEL, DENTINE = 2250.0, 1500.0  # HU
SKULL = (1350.0, 520.0)  # HU of the tables and the bone between
AMALGAM = 3500.0  # HU; the scanner's scale ends at 3071
FILLED = 0.3  # share of people with metal in their teeth, ASSUME
TEETH = 14  # in each row
ARCH = (24.0, -34.0, 30.0)  # of the dental arch: half width, y of its ends, depth
SINUSES: tuple[Solid, ...] = (
    *mirrored([Ellipsoid((27.0, -46.0, 26.0), (13.5, 17.0, 18.0))]),  # maxillary
    *mirrored([Ellipsoid((7.5, -46.0, 18.0), (4.0, 26.0, 11.0))]),  # nasal cavity, on both sides of the septum
)
BRAIN = Ellipsoid((0.0, -2.0, 67.0), (61.5, 79.5, 50.8))


def skull(rng: np.random.Generator) -> list[Bone]:
    """Occiput with mastoids, upper jaw, lower jaw and teeth; ``rng`` decides on air cells and missing teeth."""
    jaw = Bone("mandible", 0, _mandible(), cortex=2.4, densities=SKULL)
    maxilla = Bone("maxilla", 0, _maxilla(), SINUSES, cortex=1.1, air=SINUSES, densities=SKULL)
    made = [_occiput(_mastoid_cells(rng)), maxilla, jaw, _teeth(rng)]
    return [*made, _fillings(rng)] if rng.uniform() < FILLED else made


def _mastoid_cells(rng: np.random.Generator) -> tuple[Solid, ...]:
    """Air cells of both mastoid processes."""
    places = rng.uniform((43, -1, 7), (56, 10, 24), (14, 3))
    cells: list[Solid] = [
        Ellipsoid((x, y, z), (r, r, 1.3 * r)) for (x, y, z), r in zip(places, rng.uniform(1.2, 2.8, 14), strict=True)
    ]
    return tuple(mirrored(cells))


def _occiput(cells: tuple[Solid, ...]) -> Bone:
    """Condyles, a shell around the foramen magnum, clivus, mastoid and styloid processes."""
    shell = Ellipsoid((0, -2.0, 66.0), (66.0, 84.0, 54.0))
    left: list[Solid] = [
        Capsule((16.5, -5.5, 14.0), (20.5, 4.5, 14.0), 5.0, 5.0),
        Ellipsoid((50.0, 4.0, 15.0), (9.0, 12.0, 16.0)),  # mastoid process
        Ellipsoid((36.0, -6.0, 25.0), (20.0, 10.0, 9.0)),  # petrous bone
        Capsule((33.0, -5.0, 14.0), (29.0, -14.0, -14.0), 2.0, 1.2),  # styloid process
    ]
    clivus = Ellipsoid((0, -17.0, 24.0), (13.0, 6.0, 11.0))
    foramen_magnum = Block((0, 10.0, 15.0), (15.0, 18.0, 30.0), 14.0)
    return Bone(
        "occiput",
        0,
        (shell, clivus, *mirrored(left)),
        (BRAIN, foramen_magnum, *cells),
        cortex=1.8,
        air=cells,
        densities=SKULL,
    )


def _maxilla() -> tuple[Solid, ...]:
    """Alveolar arch, hard palate, walls of the maxillary sinuses, septum of the nose, pterygoid plates."""
    left: list[Solid] = [
        *chain(_arch_points(-4.0), [5.0, 5.0, 4.5, 4.5], 1.5),
        Ellipsoid((27.0, -46.0, 26.0), (14.6, 18.1, 19.1)),
        Ellipsoid((14.0, -27.0, 10.0), (1.8, 6.0, 15.0)),
    ]
    palate = Ellipsoid((0, -45.0, 4.0), (23.0, 21.0, 2.0))
    septum = Block((0, -48.0, 18.0), (1.2, 18.0, 13.0), 0.6)
    return (palate, septum, *mirrored(left))


def _mandible() -> tuple[Solid, ...]:
    """Body, rami and condyles of the lower jaw."""
    body: list[Point] = [(45.0, -23.0, -25.0), (37.0, -39.0, -30.0), (25.0, -55.0, -32.0), (0.0, -66.0, -32.0)]
    left: list[Solid] = [
        *chain(body, [3.6, 5.2, 5.4, 5.8], 1.9),
        *chain(_arch_points(-27.0), [4.6, 4.6, 4.2, 4.2], 1.4),  # around the roots of the teeth
        Ellipsoid((47.0, -22.0, -2.0), (4.2, 14.0, 28.0)),
        Capsule((47.5, -15.0, 16.0), (48.5, -14.0, 27.0), 3.2, 4.8),
    ]
    return tuple(mirrored(left))


def _teeth(rng: np.random.Generator) -> Bone:
    """Both rows; some people lack a tooth or two."""
    parts: list[Solid] = []
    for upper in (True, False):
        for place in np.linspace(-1, 1, TEETH):
            if rng.uniform() < 0.07:
                continue
            molar = abs(place) > 0.45
            x, y = _on_arch(float(place))
            size = 4.4 if molar else 3.0
            crown, root = (-12.0, -2.0) if upper else (-20.5, -31.0)
            parts.append(Capsule((x, y, crown), (0.97 * x, y, root), size, 1.4))
    return Bone("teeth", 0, tuple(parts), cortex=1.6, densities=(ENAMEL, DENTINE), joint=False)


def _fillings(rng: np.random.Generator) -> Bone:
    """Metal in the crowns of some molars."""
    parts: list[Solid] = []
    for _ in range(int(rng.integers(1, 4))):
        x, y = _on_arch(float(rng.choice([-1.0, 1.0]) * rng.uniform(0.55, 0.95)))
        z = float(rng.choice([-13.0, -19.5]))
        parts.append(Ellipsoid((x, y, z), (2.6, 2.6, 1.8)))
    return Bone("fillings", 0, tuple(parts), cortex=3.0, densities=(AMALGAM, AMALGAM), joint=False)


def _on_arch(place: float) -> tuple[float, float]:
    """x and y on the dental arch; ``place`` from -1 (right) over 0 (front) to 1 (left)."""
    half, back, depth = ARCH
    angle = place * np.pi / 2
    return float(half * np.sin(angle)), float(back - depth * np.cos(angle) ** 0.8)


def _arch_points(z: float) -> list[Point]:
    return [(*_on_arch(place), z) for place in (1.0, 0.65, 0.3, 0.0)]

"""The upper end of the chest: ribs, collar bones, shoulder blades, and the tips of the lungs, mm.

Each lies in the frame of T1 or T2. Sizes are typical adult values, rounded.
"""

from __future__ import annotations

from cspine.phantom.anatomy import Bone
from cspine.phantom.solids import Capsule, Ellipsoid, Point, Solid, chain, mirrored

HOME = {"second ribs": "T2", "first ribs": "T1", "clavicles": "T1", "scapulae": "T1"}
LUNGS: tuple[Solid, ...] = tuple(mirrored([Ellipsoid((33.0, -6.0, -55.0), (24.0, 36.0, 50.0))]))


def thorax() -> list[Bone]:
    """The first two pairs of ribs, clavicles and the upper angles of the scapulae."""
    first: list[Point] = [
        (18.0, 6.0, -3.0), (36.0, 12.0, -4.0), (54.0, 2.0, -9.0), (60.0, -18.0, -17.0), (50.0, -40.0, -28.0),
        (28.0, -54.0, -37.0),
    ]  # fmt: skip
    second: list[Point] = [
        (17.0, 7.0, -2.0), (40.0, 18.0, -3.0), (64.0, 10.0, -9.0), (76.0, -12.0, -18.0), (70.0, -38.0, -28.0),
        (42.0, -60.0, -40.0),
    ]  # fmt: skip
    clavicle: list[Point] = [(14.0, -56.0, -36.0), (40.0, -58.0, -22.0), (66.0, -40.0, -9.0), (104.0, -18.0, -2.0)]
    blade: list[Solid] = [
        Ellipsoid((72.0, 34.0, -24.0), (16.0, 3.2, 20.0)),
        Capsule((70.0, 38.0, -16.0), (110.0, 28.0, -8.0), 3.4, 5.0, 1.5),  # spine of the scapula
    ]
    return [
        Bone("second ribs", 0, tuple(mirrored(chain(second, [3.2, 3.4, 3.6, 3.8, 3.8, 3.8], 1.3)))),
        Bone("first ribs", 0, tuple(mirrored(chain(first, [3.2, 3.4, 3.8, 4.4, 4.4, 4.6], 1.1)))),
        Bone("clavicles", 0, tuple(mirrored(chain(clavicle, [7.0, 5.2, 5.0, 5.4]))), cortex=1.9),
        Bone("scapulae", 0, tuple(mirrored(blade)), cortex=1.3),
    ]

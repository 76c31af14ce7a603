"""Hyoid bone and the cartilages of the larynx, which turn to bone with age: landmarks at C3 to C6.

Each lies in the frame of the vertebra behind it, mm.
"""

from __future__ import annotations

import numpy as np

from cspine.phantom.anatomy import Bone
from cspine.phantom.solids import Point, Solid, chain, mirrored

HOME = {"hyoid": "C3", "thyroid cartilage": "C5", "cricoid cartilage": "C6"}


def throat(rng: np.random.Generator) -> list[Bone]:
    """The three, more or less ossified."""
    age = rng.uniform(0, 1)
    shell, inside = 180 + 420 * age, 110 + 60 * age
    horn: list[Point] = [(18.0, -26.0, -3.0), (15.0, -38.0, -7.0), (7.0, -44.0, -9.0), (0.0, -45.5, -9.0)]
    plate: list[Point] = [(16.0, -25.0, 1.0), (13.0, -34.0, 0.0), (0.0, -46.0, -1.0)]
    ring: list[Point] = [(0.0, -22.0, 0.0), (7.0, -24.0, -1.0), (10.0, -31.0, -3.0), (6.0, -38.5, -5.0), (0, -41.0, -5)]
    return [
        Bone("hyoid", 0, _both(chain(horn, [1.6, 2.0, 2.6, 2.8], 1.3)), cortex=1.0, densities=(800.0, 250.0)),
        Bone("thyroid cartilage", 0, _both(chain(plate, [1.9, 1.7, 1.7], 6.0)), cortex=0.7, densities=(shell, inside)),
        Bone(
            "cricoid cartilage", 0, _both(chain(ring, [2.4, 2.2, 1.8, 1.8, 1.8], 2.2)), cortex=0.7,
            densities=(shell, inside),
        ),
    ]  # fmt: skip


def _both(solids: list[Solid]) -> tuple[Solid, ...]:
    return tuple(mirrored(solids))

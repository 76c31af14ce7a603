"""The slices of the studies to browse as small pictures, so few that a page can carry them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

#: WebP at 90: real CT of a head and of a trunk at 256 pixels took 4 and 5 kB a slice, so 300 slices 1.5 MB, with errors
#: of 1.1 and 1.3 of 255 grey levels (root mean square).
QUALITY = 90


class Pictured(NamedTuple):
    """The pictures of a study, by z_index."""

    slices: list[bytes]  # WebP; b"" of a slice that has none
    section: list[bytes]  # grey levels of the middle column, the front first: of all slices a sagittal section


def pictured(volume: NDArray[np.uint8]) -> Pictured:
    """All slices (slices, pixels, pixels) of a study."""
    middle = volume[:, :, volume.shape[2] // 2]
    return Pictured([encoded(image) for image in volume], [column.tobytes() for column in middle])


def without_pictures(slices: int) -> Pictured:
    """Of a study that is not in the cache, or whose pixels are not to be given away."""
    return Pictured([b""] * slices, [b""] * slices)


def encoded(image: NDArray[np.uint8]) -> bytes:
    """Grey levels (rows, columns) as WebP; with the same library the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="WEBP", quality=QUALITY, method=4)
    return buffer.getvalue()


def thinned(studies: Sequence[Pictured], most: float) -> tuple[list[Pictured], int]:
    """The studies with every n-th picture, n as small as their bytes allow, and n.

    A study keeps one picture, whatever it takes: one without any could not be looked at.

    Args:
        studies: with the pictures of all their slices.
        most: bytes of all pictures.
    """
    longest = max((len(study.slices) for study in studies), default=1)
    for every in range(1, longest):
        kept = [_every(study, every) for study in studies]
        if bytes_of(kept) <= most:
            return kept, every
    return [_every(study, longest) for study in studies], longest


def bytes_of(studies: Sequence[Pictured]) -> int:
    """Of all pictures."""
    return sum(len(blob) for study in studies for blob in study.slices)


def columns_of(study: Pictured, index: pd.Index) -> pd.DataFrame:
    """image and section, a row for each slice."""
    return pd.DataFrame({"image": study.slices, "section": study.section}, index=index)


def _every(study: Pictured, every: int) -> Pictured:
    count = len(study.slices)
    chosen = set(range(min(every, count) // 2, count, every))
    return study._replace(slices=[blob if z in chosen else b"" for z, blob in enumerate(study.slices)])

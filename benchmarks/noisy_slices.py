"""Neck slices with the noise of a bone kernel, all different, as DICOM files and as a cache: what is read and cached.

Noise decides how well a slice compresses and how fast it is decoded. Here it has 30 HU once a slice of 512 x 512 pixels
is shrunk to 256: more than most scanners give, so sizes and rates are on the pessimistic side.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cspine.cache.codecs import crc32, encode
from cspine.cache.shards import write_shard
from cspine.studies import UID
from cspine.views.windows import apply_window, resize_slice
from dicom_makers import EXPLICIT, JPEG_LOSSLESS, dicom_bytes

SIDE, FIELD = 512, 2048
CENTER, WIDTH = 400.0, 2000.0  # bone window
SYNTAXES = {"uncompressed": EXPLICIT, "JPEG Lossless": JPEG_LOSSLESS}
GEOMETRY = {"slice_number": 1, "position": 0.0, "rows": SIDE, "columns": SIDE, "reversed": False}


def noisy_slice(number: int) -> NDArray[np.int16]:
    """Slice ``number`` in Hounsfield units, (512, 512): neck, airway, spine and table; no two have equal pixels."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    shift = 12 * np.sin(number / 40)
    image = np.full((SIDE, SIDE), -1000, np.float32)
    image[((x - 256) / 190) ** 2 + ((y - 256 - shift) / 150) ** 2 < 1] = 40
    image[((x - 250 + shift) / 22) ** 2 + ((y - 200) / 18) ** 2 < 1] = -990
    vertebra = np.hypot((x - 256) / 1.3, y - 300 - shift)
    image[vertebra < 48 + 6 * np.cos(number / 3)] = 900
    image[vertebra < 38] = 350 + 100 * np.cos(number / 3)
    image[430:436, 60:450] = 200
    top, left = np.random.default_rng(number).integers(0, FIELD - SIDE, 2)
    noise = _noise()[top : top + SIDE, left : left + SIDE]
    return np.rint(image + noise * np.where(image > -900, 1, 0.6)).clip(-1024, 3071).astype(np.int16)


def write_slices(folder: Path, count: int, syntax: str, **options: Any) -> list[Path]:
    """So many slices as files of 12 bits in a transfer syntax, a millimetre apart."""
    folder.mkdir(parents=True)
    paths = [folder / f"{number + 1}.dcm" for number in range(count)]
    for number, path in enumerate(paths):
        given: dict[str, Any] = {"position": (-100, -100, -number), "number": number + 1, "syntax": syntax} | options
        path.write_bytes(dicom_bytes(noisy_slice(number), **given))
    return paths


def study_name(study: int) -> str:
    return f"1.2.826.0.1.3680043.8.498.{study}"


def write_cache(path: Path, studies: int, slices: int, pixels: int, centre: float = 1.0) -> Path:
    """So many studies of so many slices as one lossless cache shard."""
    how = {"view": "slice", "cohort": "train", "pixels": pixels, "centre": centre, "codec": "zstd-delta"}

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(studies * slices):
            levels = apply_window(noisy_slice(number), CENTER, WIDTH)
            blob = encode(resize_slice(levels, pixels, centre))
            where = {UID: study_name(number // slices), "z_index": number % slices}
            spacing = {"row_spacing": 0.4, "column_spacing": 0.4}
            yield where | GEOMETRY | spacing | {"crc32": crc32(blob), "pixels": blob}

    write_shard(path, rows(), how | {"window_center": CENTER, "window_width": WIDTH})
    return path


@cache
def _noise() -> NDArray[np.float32]:
    # what a kernel passes: less of the finest and of the coarsest detail
    white = np.random.default_rng(0).normal(0, 1, (FIELD, FIELD)).astype(np.float32)
    noise = cv2.GaussianBlur(white, (0, 0), 0.8) - cv2.GaussianBlur(white, (0, 0), 3.0)
    shrunk = cv2.resize(noise, (FIELD // 2, FIELD // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(noise * (30 / shrunk.std()), np.float32)

"""One study -> the pixels that a bundle's networks see: what the worker processes of a prediction run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine.cache.codecs import LOSSLESS, decode, encode
from cspine.dicom import read_study
from cspine.faults import fault_point
from cspine.findings import Finding
from cspine.prediction.listings import files_below, listing_digest
from cspine.views.study_rows import Form
from cspine.views.windows import resize_slice

CRASHED = "decoder-crash"


@dataclass(frozen=True)
class ReadStudy:
    """A study as its networks see it, n slices from the most cranial on; n = 0 when nothing was readable.

    Attributes:
        uid: the name of its folder.
        pixels: uint8 (n, pixels, pixels), to the last bit those of a cache of the same form.
        slice_numbers: int32 (n,), the number in the file's name; -1 if none.
        files: n names below the study's folder.
        frames: int32 (n,), the number of the frame in its file, from 1.
        findings: what was wrong.
        reason: why there is no slice; "" when there is one.
        listing: digest of its files' names, sizes and times; "" where nobody looked.
        seconds: that it took.
    """

    uid: str
    pixels: NDArray[np.uint8]
    slice_numbers: NDArray[np.int32]
    files: list[str]
    frames: NDArray[np.int32]
    findings: list[Finding] = field(default_factory=list)
    reason: str = ""
    listing: str = ""
    seconds: float = 0.0


def read_for(folder: Path, form: Form) -> ReadStudy:
    """Read the study in ``folder``; never raises for bad input."""
    uid = folder.name
    fault_point("read-study")
    fault_point(f"read-study-{uid}")
    begun = time.perf_counter()
    files = files_below(folder)
    study = read_study(folder, [name for name, _, _ in files])
    pixels = np.empty((len(study.files), form.pixels, form.pixels), np.uint8)
    for z in range(len(study.files)):
        pixels[z] = _as_cached(resize_slice(study.grey_levels(z, form.window), form.pixels, form.centre), form)
    return ReadStudy(
        uid,
        pixels,
        study.slice_numbers,
        study.files,
        study.frames,
        study.findings,
        study.reason,
        listing_digest(files),
        time.perf_counter() - begun,
    )


def lost(folder: Path) -> ReadStudy:
    """What stands for a study whose reading killed its process, or did not end."""
    detail = "the process that read this study was killed, or did not end"
    finding = Finding(folder.name, CRASHED, "", detail, "study has no slices; predicted from the prior")
    return nothing_of(folder.name, [finding], CRASHED)


def nothing_of(uid: str, findings: list[Finding], reason: str) -> ReadStudy:
    """A study of which there is no slice."""
    none = np.empty(0, np.int32)
    return ReadStudy(uid, np.empty((0, 0, 0), np.uint8), none, [], none, findings, reason)


def _as_cached(image: NDArray[np.uint8], form: Form) -> NDArray[Any]:
    """The slice as it comes out of a cache: where its codec loses something, the networks learnt from what is left."""
    return image if form.codec == LOSSLESS else decode(encode(image, form.codec), form.pixels, form.codec)

"""However a file is damaged, reading its study ends in slices or findings, and never takes the process with it."""

from __future__ import annotations

import re
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from cspine.dicom import Study, read_study
from cspine.dicom.notes import KEPT, LEFT_OUT
from dicom_makers import BIG_ENDIAN, COMPRESSED, EXPLICIT, IMPLICIT, JPEG_LOSSLESS, JPEG_LS, dicom_bytes, neck
from frame_makers import frames_bytes

DEFLATED = "1.2.840.10008.1.2.1.99"
SINGLE = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, *COMPRESSED)
WHOLE = {f"slice {syntax}": (dicom_bytes, syntax) for syntax in SINGLE} | {
    f"frames {syntax}": (frames_bytes, syntax) for syntax in (EXPLICIT, JPEG_LOSSLESS, JPEG_LS)
}
PREAMBLE, HEADER = 132, 1200  # where the damage begins, and about where the pixels do
KINDS, OFTEN = ("change", "insert", "remove", "double", "zero", "cut"), (0.82, 0.04, 0.04, 0.03, 0.04, 0.03)
SOUND = {f"{i}.dcm": dicom_bytes(neck(-i), position=(-10, -20, -i), number=i) for i in (1, 2)}


@cache
def whole(kind: str) -> bytes:
    make, syntax = WHOLE[kind]
    return make(syntax=syntax)


def damaged(seed: int) -> bytes:
    """A file with bytes changed, put in, taken out, doubled or cut off: half of the places in its header."""
    rng = np.random.default_rng(seed)
    content = bytearray(whole(sorted(WHOLE)[seed % len(WHOLE)]))
    for kind in rng.choice(KINDS, rng.integers(1, 4), p=OFTEN):
        end = len(content) if rng.random() < 0.5 else min(HEADER, len(content))
        at, count = int(rng.integers(PREAMBLE, end)), int(rng.integers(1, 12))
        if kind == "change":
            content[at] ^= int(rng.integers(1, 256))
        elif kind == "insert":
            content[at:at] = rng.bytes(count)
        elif kind == "remove":
            del content[at : at + count]
        elif kind == "double":
            content[at:at] = content[at : at + 8 * count]
        elif kind == "zero":
            content[at : at + count] = bytes(count)
        else:
            del content[at:]
        if len(content) <= PREAMBLE:
            break
    return bytes(content)


def read_beside_sound_slices(content: bytes) -> Study:
    with tempfile.TemporaryDirectory() as folder:
        for name, sound in SOUND.items():
            (Path(folder) / name).write_bytes(sound)
        (Path(folder) / "damaged.dcm").write_bytes(content)
        return read_study(Path(folder))


def check(content: bytes, what: str) -> None:
    study = read_beside_sound_slices(content)
    codes = {f.code for f in study.findings}
    assert codes <= {*LEFT_OUT, *KEPT} - {"reader-failed"}, what
    left_out = {f.file for f in study.findings if f.code in LEFT_OUT}
    assert set(study.files) | left_out == {*SOUND, "damaged.dcm"}, what
    assert_every_frame_is_told(study)
    count = len(study.files)
    assert len(study.hounsfield) == len(study.positions) == len(study.origins) == len(study.frames) == count, what
    assert len(set(zip(study.files, study.frames.tolist(), strict=True))) == count, what
    assert np.isfinite(study.positions).all() and (np.diff(study.positions) < 0).all(), what
    assert np.isfinite(study.spacing).all() and (study.spacing > 0).all(), what
    assert all(np.isfinite(image).all() and image.size for image in study.hounsfield), what
    assert "Nobody" not in repr(study.findings), what


def assert_every_frame_is_told(study: Study) -> None:
    """The frames of the damaged file are slices, or in the text of its findings: "frames 2, 4-6: ..."."""
    frames = [n for file, n in zip(study.files, study.frames.tolist(), strict=True) if file == "damaged.dcm"]
    for finding in study.findings:
        told = re.match(r"frames? ([\d, -]+):", finding.detail)
        if told and finding.file == "damaged.dcm" and finding.code in LEFT_OUT:
            ends = [[int(end) for end in run.split("-")] for run in told[1].split(",")]
            frames += [n for run in ends for n in range(run[0], run[-1] + 1)]
    assert sorted(frames) == list(range(1, len(frames) + 1)), study.findings


@pytest.mark.parametrize("first", range(0, 1600, 400))
def test_no_damage_to_a_file_raises_or_loses_it(first: int) -> None:
    for seed in range(first, first + 400):
        check(damaged(seed), f"damaged({seed})")


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 50_000, 1000))
def test_no_damage_of_very_many_raises_or_loses_a_file(first: int) -> None:
    for seed in range(first, first + 1000):
        check(damaged(seed), f"damaged({seed})")


def test_damage_is_of_many_kinds() -> None:
    """Else the tests above would show little."""
    found = [{f.code for f in read_beside_sound_slices(damaged(seed)).findings} for seed in range(150)]
    assert len(set().union(*found)) >= 12
    assert 20 <= sum(codes == set() for codes in found) <= 100


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_cut_anywhere_is_read_or_left_out(kind: str) -> None:
    content = whole(kind)
    for length in sorted({*range(0, 1400, 97), *range(1400, len(content), 531), len(content)}):
        check(content[:length], f"{length} bytes of {kind}")

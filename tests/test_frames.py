"""Files of several frames: taken apart into the slices they hold, each with its own geometry and rescale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.encaps import encapsulate

from cspine.dicom import Study, read_study
from dicom_makers import (
    BIG_ENDIAN,
    COMPRESSED,
    EXPLICIT,
    IMPLICIT,
    JPEG_2000,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
    compress,
    neck,
    write_study,
)
from frame_makers import SHARED, frames_bytes

DEFLATED = "1.2.840.10008.1.2.1.99"
JPEGS = (JPEG_LOSSLESS, JPEG_LS, JPEG_2000)


def one(folder: Path, content: bytes) -> Study:
    """A study of one file."""
    (folder / "1.dcm").write_bytes(content)
    return read_study(folder)


# An RLE frame is always one fragment (PS3.5 A.4.2).
@pytest.mark.parametrize(
    ("syntax", "fragments"),
    [*((syntax, 1) for syntax in (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, *COMPRESSED)), *((s, 3) for s in JPEGS)],
)
def test_a_file_of_frames_reads_as_the_same_slices_in_files_of_their_own(
    tmp_path: Path, syntax: str, fragments: int
) -> None:
    heights = [-1.0, 0.0, -3.0]
    single = read_study(write_study(tmp_path / "files", heights, SliceThickness=2))
    for table in (True, False):
        folder = tmp_path / f"frames-{table}"
        folder.mkdir()
        content = frames_bytes(heights, syntax=syntax, fragments=fragments, table=table)
        (folder / "5.dcm").write_bytes(content)
        several = read_study(folder)
        assert np.array_equal(several.volume(), single.volume())
        for name in ("positions", "spacing", "orientation", "origins", "slice_numbers"):
            assert np.array_equal(getattr(several, name), getattr(single, name)), name
        assert several.files == ["5.dcm"] * 3 and several.frames.tolist() == [2, 1, 3]
        assert [f.code for f in several.findings] == [f.code for f in single.findings]


def test_what_a_frame_says_counts_before_what_all_share_and_that_before_the_top(tmp_path: Path) -> None:
    stored = [neck() + 1000, neck(-1) + 2000]
    content = frames_bytes(
        (0, -1),
        stored=stored,
        shared={"RescaleSlope": 1, "RescaleIntercept": -1000},
        each=[{"ImagePositionPatient": [0, 0, 0]}, {"ImagePositionPatient": [0, 0, -1], "RescaleIntercept": -2000}],
        RescaleIntercept=-3000,
        ImagePositionPatient=[0, 0, 9],
    )
    study = one(tmp_path, content)
    assert np.array_equal(study.volume(), [neck(), neck(-1)]) and study.positions.tolist() == [0, -1]


def test_fragments_that_may_belong_to_any_frame_are_left_out(tmp_path: Path) -> None:
    """Two frames in three fragments of RLE, which has no end mark: a frame in another's place would lie."""
    frames = [compress((neck(z) + 1024).astype(np.uint16), RLE, 16) for z in (0, -1)]
    study = one(tmp_path, frames_bytes((0, -1), syntax=RLE, PixelData=encapsulate([*frames, frames[0]], has_bot=False)))
    assert study.files == [] and study.findings[0].detail == "1 of 2 compressed frames"


def test_a_wrong_offset_table_does_not_put_a_frame_in_another_place(tmp_path: Path) -> None:
    frames = [compress((neck(z) + 1024).astype(np.uint16), JPEG_LS, 16) for z in (0, -1, -2)]
    content = bytearray(frames_bytes(syntax=JPEG_LS, PixelData=encapsulate(frames)))
    table = content.index(bytes.fromhex("feff00e00c000000"))
    content[table + 12 : table + 16] = (10**6).to_bytes(4, "little")  # the second frame begins behind the third
    assert np.array_equal(one(tmp_path, bytes(content)).volume(), [neck(0), neck(-1), neck(-2)])


def test_frames_left_out_are_named_in_one_finding(tmp_path: Path) -> None:
    study = one(tmp_path, frames_bytes((0, -1, -2, -3, -4), NumberOfFrames=9))
    assert [(f.code, f.file, f.detail) for f in study.findings] == [
        ("truncated", "1.dcm", "frames 6-9: 0 of 2048 bytes of pixel data")
    ]


def test_what_is_remarked_on_each_frame_is_counted_once(tmp_path: Path) -> None:
    study = one(tmp_path, frames_bytes(shared=SHARED | {"RescaleType": "US"}))
    assert [(f.code, f.detail) for f in study.findings] == [
        ("not-hounsfield", "3 slices, first 1.dcm: frame 1: RescaleType US")
    ]

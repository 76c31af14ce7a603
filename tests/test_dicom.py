"""Reading studies: exact Hounsfield values, the order of slices, and what becomes of bad files."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from broken_files import called
from cspine.dicom import Study, read_study
from cspine.dicom.headers import ELEMENTS
from cspine.dicom.notes import KEPT, LEFT_OUT
from cspine.errors import CspineError
from dicom_makers import (
    AXIAL,
    BIG_ENDIAN,
    COMPRESSED,
    EXPLICIT,
    IMPLICIT,
    JPEG_LOSSLESS,
    RLE,
    compress,
    dicom_bytes,
    neck,
    write_study,
)


def codes(study: Study) -> list[str]:
    return [f.code for f in study.findings]


def one(folder: Path, content: bytes) -> Study:
    """A study of one file."""
    folder.mkdir(exist_ok=True)
    (folder / "1.dcm").write_bytes(content)
    return read_study(folder)


def equal(study: Study, images: list[NDArray[Any]]) -> bool:
    pairs = zip(study.hounsfield, images, strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


# Hounsfield units


def test_hounsfield_is_stored_times_slope_plus_intercept_of_each_slice(tmp_path: Path) -> None:
    stored = np.arange(32 * 32).reshape(32, 32)
    for i, (slope, intercept) in enumerate([(1, -1024), (1, -1000), (2, -500), (0.5, 0.25)]):
        content = dicom_bytes(stored=stored, slope=slope, intercept=intercept, position=(0, 0, -i))
        (tmp_path / f"{i}.dcm").write_bytes(content)
    study = read_study(tmp_path)
    expected = [stored - 1024, stored - 1000, stored * 2.0 - 500, stored * 0.5 + 0.25]
    assert equal(study, expected)
    assert [h.dtype for h in study.hounsfield] == [np.int16, np.int16, np.float32, np.float32]
    assert study.findings == []


def test_values_beyond_int16_stay_exact(tmp_path: Path) -> None:
    stored = np.full((8, 8), 65535)
    stored[0] = 0
    study = one(tmp_path / "a", dicom_bytes(stored=stored, bits=16, intercept=-1024))
    assert study.hounsfield[0].dtype == np.float32 and study.hounsfield[0].max() == 64511
    study = one(tmp_path / "b", dicom_bytes(stored=stored, bits=16, intercept=-32768))
    assert study.hounsfield[0].dtype == np.int16
    assert study.hounsfield[0].max() == 32767 and study.hounsfield[0].min() == -32768


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG_ENDIAN, *COMPRESSED])
@pytest.mark.parametrize("signed", [False, True])
def test_every_lossless_syntax_gives_the_values_of_its_uncompressed_twin(
    tmp_path: Path, syntax: str, signed: bool
) -> None:
    options: dict[str, Any] = {"signed": signed, "intercept": 0 if signed else -1024, "bits": 16}
    plain = one(tmp_path / "plain", dicom_bytes(neck(), syntax=EXPLICIT, **options))
    twin = one(tmp_path / "twin", dicom_bytes(neck(), syntax=syntax, **options))
    assert equal(plain, [neck()]) and equal(twin, [neck()])
    assert twin.findings == []


def test_twelve_bit_jpeg_lossless_equals_its_uncompressed_twin(tmp_path: Path) -> None:
    study = one(tmp_path, dicom_bytes(neck(), syntax=JPEG_LOSSLESS, bits=12))
    assert equal(study, [neck()]) and study.findings == []


def test_signed_bits_are_read_with_and_without_the_sign_extended(tmp_path: Path) -> None:
    values = np.array([[-2000, -1, 0, 2047]] * 4)
    extended = one(tmp_path / "a", dicom_bytes(stored=values, signed=True, intercept=0))
    cut = one(tmp_path / "b", dicom_bytes(stored=values & 0xFFF, signed=True, intercept=0))
    assert equal(extended, [values]) and equal(cut, [values])


# Order and orientation


def test_a_study_numbered_from_head_to_feet_is_not_reversed(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, [30.0, 29.0, 28.0]))
    assert study.slice_numbers.tolist() == [1, 2, 3] and not study.reversed
    assert study.positions.tolist() == [30.0, 29.0, 28.0]
    assert study.thickness == 1.0
    assert np.allclose(study.spacing, [[0.4, 0.5]] * 3)


@pytest.mark.parametrize("number", [None, 7])
def test_without_positions_names_are_ordered_as_numbers(tmp_path: Path, number: int | None) -> None:
    study = read_study(write_study(tmp_path, [float(-z) for z in range(12)], position=None, number=number))
    assert study.slice_numbers.tolist() == list(range(1, 13))
    assert codes(study) == ["ordered-by-file-name"]
    assert (np.diff(study.positions) < 0).all()


def test_without_positions_instance_numbers_come_before_names(tmp_path: Path) -> None:
    for name, number in (("a.dcm", 3), ("b.dcm", 1), ("c.dcm", 2)):
        (tmp_path / name).write_bytes(dicom_bytes(neck(number), position=None, number=number))
    study = read_study(tmp_path)
    assert study.files == ["b.dcm", "c.dcm", "a.dcm"]
    assert study.slice_numbers.tolist() == [-1, -1, -1]
    assert codes(study) == ["ordered-by-instance-number"]


def test_an_instance_number_beyond_all_numbers_is_none(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.dcm").write_bytes(dicom_bytes(neck(-i), position=None, number=i))
    odd = dicom_bytes(neck(-3), position=None, number=12_345).replace(b"IS\x06\x0012345 ", b"IS\x06\x001e300 ")
    (tmp_path / "3.dcm").write_bytes(odd)
    study = read_study(tmp_path)
    assert b"1e300" in odd and study.slice_numbers.tolist() == [0, 1, 2, 3]
    assert codes(study) == ["ordered-by-file-name"]


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        ((-1, 0, 0, 0, 1, 0), lambda image: image[:, ::-1]),
        ((1, 0, 0, 0, -1, 0), lambda image: image[::-1]),
        ((-1, 0, 0, 0, -1, 0), lambda image: image[::-1, ::-1]),
        ((0, 1, 0, 1, 0, 0), lambda image: image.T),
        ((0, -1, 0, 1, 0, 0), lambda image: image.T[::-1]),
    ],
)
def test_patient_left_is_on_the_right_and_anterior_up(tmp_path: Path, orientation: Any, turn: Any) -> None:
    image = neck(rows=16, columns=24)
    content = dicom_bytes(image, orientation=orientation)
    (tmp_path / "1.dcm").write_bytes(content)
    (tmp_path / "2.dcm").write_bytes(dicom_bytes(image, orientation=orientation, position=(0, 0, 3)))
    study = read_study(tmp_path)
    assert study.files == ["2.dcm", "1.dcm"]  # cranial first, whichever way the normal points
    assert equal(study, [turn(image)] * 2)
    assert codes(study) == ["turned-upright"]
    turned = abs(orientation[0]) < 1
    assert np.allclose(study.spacing[0], [0.5, 0.4] if turned else [0.4, 0.5])


def test_a_tilted_gantry_is_told_and_its_distances_are_along_the_normal(tmp_path: Path) -> None:
    cosine, sine = np.cos(np.radians(20)), np.sin(np.radians(20))
    study = read_study(write_study(tmp_path, [0, 5, 10], orientation=(1, 0, 0, 0, cosine, -sine)))
    assert codes(study) == ["gantry-tilt"]
    assert study.thickness == pytest.approx(5 * cosine, abs=1e-4)


# Files that give no slice


def bad_files() -> dict[str, tuple[bytes, str]]:
    """Beside those of test_bad_inputs.py."""
    good = dicom_bytes(neck())
    frame = compress((neck() + 1024).astype(np.uint16), JPEG_LOSSLESS, 12)
    lossless: dict[str, Any] = {"syntax": JPEG_LOSSLESS}
    return {
        "zeros": (b"\0" * 5000, "not-dicom"),
        "cut in the header": (good[:200], "no-pixel-data"),
        "frame without end": (dicom_bytes(frame=frame[: len(frame) // 2], **lossless), "corrupt-frame"),
        "frame of another size": (dicom_bytes(neck(rows=16), frame=frame, Rows=30, **lossless), "corrupt-frame"),
        "garbled RLE": (dicom_bytes(syntax=RLE, frame=bytes(range(256)) * 4), "corrupt-frame"),
        "ultrasound": (dicom_bytes(Modality="US"), "not-ct"),
        "palette": (dicom_bytes(photometric="PALETTE COLOR"), "not-greyscale"),
        "float pixels": (dicom_bytes(BitsAllocated=64, BitsStored=64), "unsupported-bits"),
        "no bits": (dicom_bytes(BitsStored=0), "unsupported-bits"),
        "too many frames": (dicom_bytes(NumberOfFrames=99_999), "implausible-size"),
    }


@pytest.mark.parametrize("kind", list(bad_files()))
def test_a_bad_file_is_reported_and_the_rest_is_read(tmp_path: Path, kind: str) -> None:
    content, code = bad_files()[kind]
    write_study(tmp_path, [0, -1, -2])
    (tmp_path / "odd.dcm").write_bytes(content)
    study = read_study(tmp_path)
    assert equal(study, [neck(z) for z in (0, -1, -2)])
    assert [(f.code, f.file) for f in study.findings] == [(code, "odd.dcm")]


def test_a_sound_frame_whose_rows_jump_is_confirmed_by_the_strict_decoder(tmp_path: Path) -> None:
    image = neck()
    image[16:] = 3000  # looks like a decoder that lost its place
    study = one(tmp_path, dicom_bytes(image, syntax=JPEG_LOSSLESS))
    assert equal(study, [image]) and study.findings == []


def test_a_frame_the_fast_decoder_refuses_is_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(frame: bytes) -> None:
        raise ValueError

    monkeypatch.setattr(imagecodecs, "jpeg8_decode", refuse)
    study = one(tmp_path, dicom_bytes(neck(), syntax=JPEG_LOSSLESS))
    assert equal(study, [neck()]) and codes(study) == ["decoded-again"]


def test_the_fast_decoder_alone_would_accept_a_cut_frame() -> None:
    """Why the guards are there; if this fails, the decoder has become strict."""
    stored = np.random.default_rng(0).integers(0, 4096, (64, 64)).astype(np.uint16)
    frame = compress(stored, JPEG_LOSSLESS, 12)
    half = imagecodecs.jpeg8_decode(frame[: len(frame) // 2])
    assert half.shape == (64, 64) and (half != stored).mean() > 0.3


def test_of_two_slices_at_one_place_the_first_readable_is_kept(tmp_path: Path) -> None:
    write_study(tmp_path, [0, -1, -1, -2])
    study = read_study(tmp_path)
    assert study.slice_numbers.tolist() == [1, 2, 4]
    assert [(f.code, f.file) for f in study.findings] == [("duplicate-position", "3.dcm")]
    (tmp_path / "2.dcm").write_bytes(b"")
    assert read_study(tmp_path).slice_numbers.tolist() == [1, 3, 4]


def test_a_file_number_counts_once(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, [0, -1, -2], names=["1.dcm", "01.dcm", "2.dcm"]))
    assert sorted(study.slice_numbers.tolist()) == [-1, 1, 2] and codes(study) == ["repeated-file-number"]


def test_listed_files_that_are_gone_are_reported(tmp_path: Path) -> None:
    write_study(tmp_path, [0, -1])
    study = read_study(tmp_path, ["1.dcm", "2.dcm", "3.dcm"])
    assert len(study.files) == 2
    assert [(f.code, f.file) for f in study.findings] == [("file-missing", "3.dcm")]


def test_no_text_of_a_header_is_in_the_findings_wherever_it_may_stand(tmp_path: Path) -> None:
    """A damaged header may hold a name anywhere: every text element that is read says Nobody in one of the files."""
    for keyword, tag in ELEMENTS.items():
        content = bytearray(dicom_bytes(neck(), RescaleType="HU", LossyImageCompression="00", BurnedInAnnotation="NO"))
        at = content.find(struct.pack("<HH", tag >> 16, tag & 0xFFFF))
        if at < 0 or bytes(content[at + 4 : at + 6]) not in (b"CS", b"LO", b"DS", b"IS", b"UI"):
            continue
        length = struct.unpack_from("<H", content, at + 6)[0]
        content[at + 6 : at + 8 + length] = struct.pack("<H", 12) + b"Nobody^Known"
        (tmp_path / f"{keyword}.dcm").write_bytes(content)
    (tmp_path / "syntax.dcm").write_bytes(called(dicom_bytes(syntax=JPEG_LOSSLESS), JPEG_LOSSLESS, "Nobody^Known"))
    study = read_study(tmp_path)
    assert len(set(study.files) | {f.file for f in study.findings if f.file}) > 10
    assert "Nobody" not in repr(study.findings)


def test_every_reason_code_is_explained() -> None:
    text = Path(__file__).parents[1].joinpath("docs/findings.md").read_text(encoding="utf-8")
    missing = [code for code in (*LEFT_OUT, *KEPT) if f"`{code}`" not in text]
    assert missing == []


# Where slices lie


TURNS = {
    "upright": AXIAL,
    "mirrored": (-1, 0, 0, 0, 1, 0),
    "upside down": (1, 0, 0, 0, -1, 0),
    "half a turn": (-1, 0, 0, 0, -1, 0),
    "transposed": (0, 1, 0, 1, 0, 0),
    "quarter turn": (0, -1, 0, 1, 0, 0),
    "other quarter turn": (0, 1, 0, -1, 0, 0),
    "transposed and half a turn": (0, -1, 0, -1, 0, 0),
    "tilted": (1, 0, 0, 0, 0.94, float(np.sqrt(1 - 0.94**2))),
    "head turned by 20 degrees": (0.94, float(np.sqrt(1 - 0.94**2)), 0, -float(np.sqrt(1 - 0.94**2)), 0.94, 0),
}


@pytest.mark.parametrize("turn", TURNS)
def test_every_pixel_stays_where_its_header_put_it_in_the_patient(tmp_path: Path, turn: str) -> None:
    """The stored value tells the place: 10 HU per mm to the left, 20 per mm to the back, 5 per mm to the head."""
    told = np.array([10.0, 20.0, 5.0])
    cosines, spacing = np.array(TURNS[turn], float), (0.4, 0.5)
    row, column = np.mgrid[:16, :24][..., None]
    for number in range(3):
        origin = np.array([-7.0, 3.0, -2.5 * number])
        places = origin + column * spacing[1] * cosines[:3] + row * spacing[0] * cosines[3:]
        content = dicom_bytes(places @ told, position=origin.tolist(), orientation=TURNS[turn], spacing=spacing)
        (tmp_path / f"{number}.dcm").write_bytes(content)
    study = read_study(tmp_path)
    for z, image in enumerate(study.hounsfield):
        row, column = np.mgrid[: image.shape[0], : image.shape[1]][..., None]
        down, along = study.spacing[z].astype(float)
        places = study.origins[z] + row * down * study.orientation[3:] + column * along * study.orientation[:3]
        assert np.abs(places @ told - image).max() < 1  # values are whole numbers
    assert study.orientation[0] > 0.9 and study.orientation[4] > 0.9  # leftwards, then backwards


def test_the_volume_is_the_images_in_order(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, [0, -1, -2]))
    assert study.volume().dtype == np.int16
    assert np.array_equal(study.volume(), np.stack([neck(0), neck(-1), neck(-2)]))
    (tmp_path / "9.dcm").write_bytes(dicom_bytes(neck(-3), position=(-10, -20, -3), slope=0.5, bits=16))
    assert read_study(tmp_path).volume().dtype == np.float32


def test_no_volume_is_made_of_slices_of_several_sizes_or_of_none(tmp_path: Path) -> None:
    write_study(tmp_path, [0, -1])
    (tmp_path / "9.dcm").write_bytes(dicom_bytes(neck(rows=48, columns=48), position=(-10, -20, -2)))
    with pytest.raises(CspineError, match="one size are needed for a volume, found 32 x 32, 48 x 48"):
        read_study(tmp_path).volume()
    with pytest.raises(CspineError, match="found none"):
        read_study(tmp_path, []).volume()

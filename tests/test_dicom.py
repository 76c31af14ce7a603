"""Reading studies: exact Hounsfield values, the order of slices, and what becomes of bad files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from cspine.dicom import Study, read_study
from cspine.dicom.series import KEPT, LEFT_OUT
from dicom_makers import (
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

REAL_CT = os.environ.get("CSPINE_REAL_CT", "")
real_ct = pytest.mark.skipif(not REAL_CT, reason="CSPINE_REAL_CT does not name the folder of real CT files")


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


def test_junk_above_the_stored_bits_is_masked_and_told(tmp_path: Path) -> None:
    stored = np.full((8, 8), 1000)
    stored[3, 4] |= 0x9000
    study = one(tmp_path, dicom_bytes(stored=stored))
    assert (study.hounsfield[0] == -24).all()
    assert codes(study) == ["high-bits"]


def test_monochrome1_is_not_inverted(tmp_path: Path) -> None:
    study = one(tmp_path, dicom_bytes(neck(), photometric="MONOCHROME1"))
    assert equal(study, [neck()]) and codes(study) == ["monochrome1"]


def test_padding_becomes_air(tmp_path: Path) -> None:
    stored = neck().astype(int)
    stored[:, :3] = -2000
    content = dicom_bytes(stored=stored, signed=True, bits=16, PixelPaddingValue=-2000)
    study = one(tmp_path, content)
    expected = neck() - 1024
    expected[:, :3] = -1024
    assert equal(study, [expected]) and codes(study) == ["padding"]


def test_unsigned_padding_far_above_bone_becomes_air(tmp_path: Path) -> None:
    stored = neck().astype(int) + 1024
    stored[0] = 63536
    study = one(tmp_path, dicom_bytes(stored=stored, PixelPaddingValue=63536))
    assert (study.hounsfield[0][0] == -1024).all()
    assert np.array_equal(study.hounsfield[0][1:], neck()[1:])


def test_a_padding_value_among_tissue_is_not_believed(tmp_path: Path) -> None:
    image = neck()
    image[16, 16] = 0  # water
    study = one(tmp_path, dicom_bytes(image, signed=True, intercept=0, bits=16, PixelPaddingValue=0))
    assert equal(study, [image]) and codes(study) == ["padding-ignored"]


def test_a_missing_rescale_is_taken_from_the_other_slices(tmp_path: Path) -> None:
    write_study(tmp_path, [0, -1, -2], intercept=-1000)
    (tmp_path / "2.dcm").write_bytes(
        dicom_bytes(stored=neck(-1) + 1000, position=(-10, -20, -1), slope=None, intercept=None)
    )
    study = read_study(tmp_path)
    assert equal(study, [neck(0), neck(-1), neck(-2)]) and codes(study) == ["no-rescale"]


# Order and orientation


def test_a_study_numbered_from_head_to_feet_is_not_reversed(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, [30.0, 29.0, 28.0]))
    assert study.slice_numbers.tolist() == [1, 2, 3] and not study.reversed
    assert study.positions.tolist() == [30.0, 29.0, 28.0]
    assert study.thickness == 1.0
    assert np.allclose(study.spacing, [[0.4, 0.5]] * 3)


def test_a_reversed_study_is_read_cranial_to_caudal(tmp_path: Path) -> None:
    heights = [float(z) for z in range(12)]  # 1.dcm is the most caudal; 10.dcm sorts before 2.dcm as text
    study = read_study(write_study(tmp_path, heights))
    assert study.reversed
    assert study.slice_numbers.tolist() == list(range(12, 0, -1))
    assert equal(study, [neck(z) for z in reversed(heights)])


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


def test_one_missing_position_is_estimated_from_its_neighbours(tmp_path: Path) -> None:
    write_study(tmp_path, [0, -2, -4, -6])
    (tmp_path / "2.dcm").write_bytes(dicom_bytes(neck(-2), position=None, number=2))
    study = read_study(tmp_path)
    assert study.positions.tolist() == [0, -2, -4, -6]
    assert codes(study) == ["no-position"]


def test_equal_positions_of_all_slices_are_not_used(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, [0, 1, 2], position=(0, 0, 5)))
    assert study.slice_numbers.tolist() == [1, 2, 3]
    assert codes(study) == ["positions-all-equal", "ordered-by-instance-number"]


def test_decimal_commas_in_positions_are_read(tmp_path: Path) -> None:
    write_study(tmp_path, [0.5, 1.5])
    content = dicom_bytes(neck(2.5), position=(1.25, 1.25, 2.25)).replace(b"1.25\\1.25\\2.25", b"1,25\\1,25\\2,25")
    (tmp_path / "3.dcm").write_bytes(content)
    study = read_study(tmp_path)
    assert study.positions.tolist() == [2.25, 1.5, 0.5]
    assert codes(study) == ["decimal-comma"]


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


def test_a_gap_between_slices_is_told_and_kept(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, [0, -1, -2, -5, -6]))
    assert codes(study) == ["uneven-spacing"] and "z_index 2" in study.findings[0].detail
    assert study.positions.tolist() == [0, -1, -2, -5, -6]


# Files that give no slice


def bad_files() -> dict[str, tuple[bytes, str]]:
    good, lossless = dicom_bytes(neck()), dicom_bytes(neck(), syntax=JPEG_LOSSLESS)
    stored = (neck() + 1024).astype(np.uint16)
    frame = compress(stored, JPEG_LOSSLESS, 12)
    end = frame.rindex(b"\xff\xd9")
    cut = frame[: end // 2]
    return {
        "zero": (b"", "zero-byte-file"),
        "text": (b"notes about this study\n" * 20, "not-dicom"),
        "fake": (b"\0" * 5000, "not-dicom"),
        "thumbs": (b"\xd0\xcf\x11\xe0" + bytes(9000), "not-dicom"),
        "cut in the pixels": (good[:-500], "truncated"),
        "cut in the frame": (lossless[:-300], "truncated"),
        "cut in the header": (good[:200], "no-pixel-data"),
        "no pixels": (dicom_bytes(PixelData=None), "no-pixel-data"),
        "frame without end": (dicom_bytes(syntax=JPEG_LOSSLESS, frame=cut), "corrupt-frame"),
        "frame cut but ended": (dicom_bytes(syntax=JPEG_LOSSLESS, frame=cut + b"\xff\xd9"), "corrupt-frame"),
        "frame of another size": (
            dicom_bytes(neck(rows=16), syntax=JPEG_LOSSLESS, frame=frame, Rows=30),
            "corrupt-frame",
        ),
        "garbled RLE": (dicom_bytes(syntax=RLE, frame=bytes(range(256)) * 4), "corrupt-frame"),
        "retired syntax": (
            dicom_bytes(syntax=JPEG_LOSSLESS).replace(b"1.2.840.10008.1.2.4.70", b"1.2.840.10008.1.2.4.55"),
            "unsupported-syntax",
        ),
        "colour": (dicom_bytes(photometric="RGB", SamplesPerPixel=3), "not-greyscale"),
        "ultrasound": (dicom_bytes(Modality="US"), "not-ct"),
        "two frames": (dicom_bytes(NumberOfFrames=2), "multi-frame"),
        "localizer": (dicom_bytes(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "localizer"),
        "coronal": (dicom_bytes(orientation=(1, 0, 0, 0, 0, -1)), "not-axial"),
        "sagittal": (dicom_bytes(orientation=(0, 1, 0, 0, 0, -1)), "not-axial"),
        "no rows": (dicom_bytes(Rows=0), "implausible-size"),
        "huge": (dicom_bytes(Rows=65535, Columns=65535), "implausible-size"),
        "float pixels": (dicom_bytes(BitsAllocated=64, BitsStored=64), "unsupported-bits"),
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


def test_a_file_without_preamble_is_read(tmp_path: Path) -> None:
    study = one(tmp_path, dicom_bytes(neck(), preamble=False, syntax=IMPLICIT))
    assert equal(study, [neck()]) and codes(study) == ["no-preamble"]


def test_of_several_series_the_largest_is_kept(tmp_path: Path) -> None:
    write_study(tmp_path, [0, -1, -2])
    write_study(tmp_path, [0, -1], names=["8.dcm", "9.dcm"], series="1.2.3.2")
    study = read_study(tmp_path)
    assert study.files == ["1.dcm", "2.dcm", "3.dcm"]
    assert codes(study) == ["other-series"] * 2


def test_of_several_sizes_the_most_frequent_is_kept(tmp_path: Path) -> None:
    write_study(tmp_path, [0, -1, -2])
    (tmp_path / "4.dcm").write_bytes(dicom_bytes(neck(rows=16), position=(0, 0, -3)))
    study = read_study(tmp_path)
    assert len(study.files) == 3 and codes(study) == ["other-size"]
    assert study.findings[0].detail == "16 x 32 pixels"


def test_of_two_slices_at_one_place_the_first_readable_is_kept(tmp_path: Path) -> None:
    write_study(tmp_path, [0, -1, -1, -2])
    study = read_study(tmp_path)
    assert study.slice_numbers.tolist() == [1, 2, 4]
    assert [(f.code, f.file) for f in study.findings] == [("duplicate-position", "3.dcm")]
    (tmp_path / "2.dcm").write_bytes(b"")
    assert read_study(tmp_path).slice_numbers.tolist() == [1, 3, 4]


def test_a_slice_that_is_not_parallel_is_left_out(tmp_path: Path) -> None:
    write_study(tmp_path, [0, -1, -2])
    tilted = (1, 0, 0, 0, np.cos(0.2), np.sin(0.2))
    (tmp_path / "4.dcm").write_bytes(dicom_bytes(position=(0, 0, -3), orientation=tilted))
    study = read_study(tmp_path)
    assert len(study.files) == 3 and codes(study) == ["other-orientation"]


def test_a_series_uid_of_its_own_in_every_file_is_not_used(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.dcm").write_bytes(dicom_bytes(position=(0, 0, -i), series=f"1.2.3.{i}"))
    study = read_study(tmp_path)
    assert len(study.files) == 3 and codes(study) == ["series-uid-per-file"]


def test_missing_and_changing_spacing_are_told(tmp_path: Path) -> None:
    spacings = [(0.4, 0.4), (0.4, 0.4), (0.3, 0.3), None]
    for i, spacing in enumerate(spacings):
        (tmp_path / f"{i}.dcm").write_bytes(dicom_bytes(position=(0, 0, -i), spacing=spacing))
    study = read_study(tmp_path)
    assert np.allclose(study.spacing[:, 0], [0.4, 0.4, 0.3, 0.4])
    assert codes(study) == ["spacing-varies", "no-spacing"]


def test_a_slice_without_orientation_is_taken_for_upright(tmp_path: Path) -> None:
    study = one(tmp_path, dicom_bytes(neck(), orientation=None))
    assert equal(study, [neck()]) and codes(study) == ["no-orientation"]


def test_a_file_number_counts_once(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, [0, -1, -2], names=["1.dcm", "01.dcm", "2.dcm"]))
    assert sorted(study.slice_numbers.tolist()) == [-1, 1, 2] and codes(study) == ["repeated-file-number"]


def test_listed_files_that_are_gone_are_reported(tmp_path: Path) -> None:
    write_study(tmp_path, [0, -1])
    study = read_study(tmp_path, ["1.dcm", "2.dcm", "3.dcm"])
    assert len(study.files) == 2
    assert [(f.code, f.file) for f in study.findings] == [("file-missing", "3.dcm")]


def test_a_study_with_nothing_readable_is_empty_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    study = read_study(tmp_path)
    assert (len(study.hounsfield), study.reason) == (0, "no-readable-slice")
    assert codes(study) == ["not-dicom", "no-readable-slice"]
    assert read_study(tmp_path, []).reason == "no-readable-slice"


def test_a_study_of_one_slice_is_read(tmp_path: Path) -> None:
    study = one(tmp_path, dicom_bytes(neck(), SliceThickness=2.5))
    assert len(study.hounsfield) == 1 and study.thickness == 2.5 and not study.reversed


def test_no_name_of_a_patient_is_in_the_findings(tmp_path: Path) -> None:
    for kind, (content, _) in bad_files().items():
        (tmp_path / f"{kind}.dcm").write_bytes(content)
    assert b"Nobody" in (tmp_path / "coronal.dcm").read_bytes()
    assert "Nobody" not in repr(read_study(tmp_path))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, *COMPRESSED])
def test_no_damage_to_a_file_raises(tmp_path: Path, syntax: str) -> None:
    rng = np.random.default_rng(7)
    whole = dicom_bytes(neck(), syntax=syntax)
    for i in range(40):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 30)):
            damaged[at] = rng.integers(0, 256)
        (tmp_path / f"{i}.dcm").write_bytes(damaged[: rng.integers(1, len(whole) + 1)] if i % 2 else damaged)
    study = read_study(tmp_path)
    assert "reader-failed" not in codes(study)
    assert len(study.hounsfield) == len(study.files) < 40


def test_every_reason_code_is_explained() -> None:
    text = Path(__file__).parents[1].joinpath("docs/findings.md").read_text(encoding="utf-8")
    missing = [code for code in (*LEFT_OUT, *KEPT) if f"`{code}`" not in text]
    assert missing == []


# Real files


@real_ct
def test_one_real_slice_is_the_same_in_every_lossless_syntax() -> None:
    folder = Path(REAL_CT) / "one-slice-many-syntaxes"
    plain = read_study(folder, ["CTImage.dcm"]).hounsfield[0]
    assert (plain.min(), plain.max()) == (-3024, 1378)
    lossless = ["1.2", "1.2.1", "1.2.2", "1.2.1.99", "1.2.4.57", "1.2.4.70", "1.2.4.80", "1.2.4.90", "1.2.5"]
    for syntax in lossless:
        files = [p.name for p in folder.glob(f"*_1.2.840.10008.{syntax}.dcm")]
        study = read_study(folder, files)
        assert len(files) == 1 and equal(study, [plain]), syntax
    lossy = [p.name for p in folder.glob("*.81.dcm")]
    study = read_study(folder, lossy)
    assert codes(study) == ["lossy"] and np.abs(study.hounsfield[0] - plain).max() == 1


@real_ct
def test_real_fragmented_frames_are_put_together() -> None:
    folder = Path(REAL_CT) / "fragments-and-frames" / "encapsulated"
    plain = read_study(folder / "single-frame", ["CT1_UNC.explicit_little_endian.dcm"]).hounsfield[0]
    for path in sorted((folder / "single-frame").glob("*.80.dcm")):
        assert equal(read_study(path.parent, [path.name]), [plain]), path.name
    several = read_study(folder / "multi-frame")
    assert several.hounsfield == [] and {"multi-frame", "not-ct"} <= set(codes(several))


@real_ct
def test_a_real_head_with_tilted_gantry_is_read() -> None:
    study = read_study(Path(REAL_CT) / "ge-head")
    assert study.slice_numbers.tolist() == list(range(28, 0, -1)) and study.reversed
    assert study.hounsfield[0].min() == -1024  # padding -1500
    assert set(codes(study)) == {"not-dicom", "padding", "gantry-tilt", "uneven-spacing"}


@real_ct
def test_a_real_study_of_mixed_series_gives_its_axial_stack() -> None:
    study = read_study(Path(REAL_CT) / "philips-mixed-series")
    assert len(study.files) == 28 and all(name.startswith("S2010/I") for name in study.files)
    assert study.thickness == 5.0 and study.positions[0] > study.positions[-1]
    assert set(codes(study)) == {"not-dicom", "no-pixel-data", "localizer", "not-greyscale"}


@real_ct
def test_a_real_jpeg_2000_body_is_read() -> None:
    study = read_study(Path(REAL_CT) / "body-jpeg2000")
    assert len(study.files) == 20 and study.thickness == 2.0
    assert study.hounsfield[0].dtype == np.int16 and study.hounsfield[0].min() >= -1024


@real_ct
def test_real_failing_geometries_are_read_and_told() -> None:
    folder = Path(REAL_CT) / "failing-geometry"
    told = {p: codes(read_study(folder / p)) for p in ("gantrytilting/001", "notavolume/001", "sliceincrement/001")}
    assert told["gantrytilting/001"] == ["gantry-tilt"]
    assert told["notavolume/001"] == ["positions-all-equal", "ordered-by-instance-number"]
    assert told["sliceincrement/001"] == ["uneven-spacing"]

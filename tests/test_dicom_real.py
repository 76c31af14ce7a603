"""Real odd CT files that nobody here wrote, where their folder is at hand (CSPINE_REAL_CT); the facts of its README."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cspine.dicom import Study, read_study
from cspine.dicom.notes import LEFT_OUT

REAL_CT = Path(os.environ.get("CSPINE_REAL_CT") or "nowhere")
pytestmark = pytest.mark.skipif(not REAL_CT.is_dir(), reason="CSPINE_REAL_CT does not name the folder of real CT files")

MANY = REAL_CT / "one-slice-many-syntaxes"
FRAMES = REAL_CT / "fragments-and-frames/encapsulated/multi-frame"
#: syntax of one-slice-many-syntaxes -> the largest difference to the uncompressed slice, HU
LOSSY = {"1.2.4.50": 65, "1.2.4.51": 36, "1.2.4.81": 1, "1.2.4.91": 5}
LOSSLESS = ("1.2", "1.2.1", "1.2.2", "1.2.1.99", "1.2.4.57", "1.2.4.70", "1.2.4.80", "1.2.4.90", "1.2.5")


def codes(study: Study) -> Counter[str]:
    return Counter(f.code for f in study.findings)


def alone(path: Path) -> Study:
    return read_study(path.parent, [path.name])


def in_syntax(syntax: str) -> Study:
    """The slice of one-slice-many-syntaxes."""
    (path,) = MANY.glob(f"*_1.2.840.10008.{syntax}.dcm")
    return alone(path)


def test_no_file_of_the_whole_collection_is_lost_without_a_word() -> None:
    study = read_study(REAL_CT)
    files = {p.relative_to(REAL_CT).as_posix() for p in REAL_CT.rglob("*") if p.is_file()}
    assert set(study.files) | {f.file for f in study.findings if f.code in LEFT_OUT} == files
    assert "reader-failed" not in codes(study)


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_one_slice_is_the_same_in_every_lossless_syntax(syntax: str) -> None:
    plain, study = alone(MANY / "CTImage.dcm").volume(), in_syntax(syntax)
    assert plain.shape == (1, 512, 512) and plain.dtype == np.int16
    assert (plain.min(), plain.max()) == (-3024, 1378)
    assert np.array_equal(study.volume(), plain) and study.findings == []


@pytest.mark.parametrize("syntax", LOSSY)
def test_lossy_syntaxes_come_close_with_their_own_slope_and_are_told(syntax: str) -> None:
    difference = np.abs(in_syntax(syntax).volume() - alone(MANY / "CTImage.dcm").volume().astype(float))
    assert codes(in_syntax(syntax)) == {"lossy": 1}
    assert 0 < difference.max() < LOSSY[syntax] + 0.5


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("*.53.dcm", "unsupported-syntax"),
        ("*.55.dcm", "unsupported-syntax"),
        ("no-pixel-data.dcm", "no-pixel-data"),
        ("no-pixel-spacing.dcm", "not-ct"),
        ("US-*", "not-ct"),
        ("LICENSE", "not-dicom"),
    ],
)
def test_what_is_no_slice_has_its_reason(name: str, code: str) -> None:
    (path,) = MANY.glob(name)
    assert codes(alone(path)) == {code: 1, "no-readable-slice": 1}


def test_padding_of_a_jpeg_2000_slice_is_air() -> None:
    study = alone(MANY / "CT1_J2KR")
    assert codes(study) == {"padding": 1} and study.volume().min() == -1024


def test_a_frame_in_fragments_is_put_together_with_and_without_offset_table() -> None:
    folder = REAL_CT / "fragments-and-frames/encapsulated/single-frame"
    plain = alone(folder / "CT1_UNC.explicit_little_endian.dcm").volume()
    compressed = sorted(folder.glob("*.80.dcm"))
    assert len(compressed) == 4
    for path in [*compressed, *(REAL_CT / "fragments-and-frames").glob("CT1_UNC.*")]:
        assert np.array_equal(alone(path).volume(), plain), path.name


def test_a_rescale_held_only_in_functional_groups_is_applied() -> None:
    study = alone(FRAMES / "CT0012.explicit_little_endian.dcm")
    volume = study.volume()
    assert (volume.shape, volume.min(), volume.max()) == ((2, 512, 512), -1024, 172)  # without it 0 to 1196
    assert study.positions.tolist() == [-149.0, -159.0] and study.frames.tolist() == [2, 1]
    assert study.slice_numbers.tolist() == [2, 1] and study.thickness == 10
    assert np.allclose(study.spacing, 0.388672)
    assert np.allclose(study.origins, [[99.5 - 511 * 0.388672, -301.5, z] for z in (-149, -159)])
    assert codes(study) == {"turned-upright": 1, "not-hounsfield": 1}  # blood flow, by its RescaleType


def test_every_lossless_form_of_the_two_frames_holds_the_same_values() -> None:
    plain = alone(FRAMES / "CT0012.explicit_little_endian.dcm").volume()
    lossless = [p for p in FRAMES.glob("CT0012.*") if not p.name.endswith((".51.dcm", ".81.dcm"))]
    assert len(lossless) == 8
    for path in lossless:
        assert np.array_equal(alone(path).volume(), plain), path.name
    near = alone(FRAMES / "CT0012.fragmented_no_bot_jpeg_ls.81.dcm")
    assert codes(near)["lossy"] == 1 and np.abs(near.volume() - plain).max() == 2


def test_an_encoder_that_moved_the_values_without_saying_so_is_told_as_lossy() -> None:
    """Its 12 bits hold the values 1023 higher, and the functional groups were left as they were: no reader can know."""
    plain = alone(FRAMES / "CT0012.explicit_little_endian.dcm").volume().astype(float)
    moved = alone(FRAMES / "CT0012.fragmented_no_bot_jpeg_baseline.51.dcm")
    assert codes(moved)["lossy"] == 1
    assert np.abs(moved.volume() - plain - 1023).max() < 16


def test_a_tilted_head_keeps_its_mixed_spacing() -> None:
    study = read_study(REAL_CT / "ge-head")
    assert study.slice_numbers.tolist() == list(range(28, 0, -1)) and study.reversed
    assert study.volume().shape == (28, 512, 512) and study.volume().min() == -1024  # padding -1500
    steps = Counter(np.abs(np.diff(study.origins[:, 2])).round(1).tolist())
    assert steps == {7.4: 13, 4.2: 13, 1.1: 1}
    assert codes(study) == {"not-dicom": 1, "padding": 1, "gantry-tilt": 1, "uneven-spacing": 1}
    assert next(f.detail for f in study.findings if f.code == "gantry-tilt") == "18.5 degrees"
    towards_feet = np.cross(study.orientation[:3], study.orientation[3:]) @ np.diff(study.origins, axis=0).T
    assert np.allclose(towards_feet, np.diff(study.positions), atol=1e-3)


def test_a_tree_of_mixed_series_gives_its_axial_stack() -> None:
    study = read_study(REAL_CT / "philips-mixed-series")
    assert study.files == [f"S2010/I{number}" for number in range(280, 0, -10)]
    assert study.thickness == 5 and set(np.diff(study.positions)) == {-5.0}
    assert codes(study) == {"localizer": 4, "no-pixel-data": 3, "not-greyscale": 3, "not-dicom": 1}


def test_a_jpeg_2000_body_is_read() -> None:
    study = read_study(REAL_CT / "body-jpeg2000")
    assert study.volume().shape == (20, 512, 512) and study.volume().dtype == np.int16
    assert study.thickness == 2 and (study.volume().min(), study.volume()[0].max()) == (-1024, 1436)
    assert codes(study) == {"not-dicom": 2}  # its NIfTI is another volume (other place and grid): nothing to compare


@pytest.mark.parametrize(
    ("folder", "found", "steps"),
    [
        ("gantrytilting/001", {"gantry-tilt"}, [5, 5, 5]),
        ("sliceincrement/001", {"uneven-spacing"}, [10, 5, 5]),
        ("sliceincrement/002", {"gantry-tilt", "uneven-spacing"}, [1.556, 0.778, 0.778]),
        ("notavolume/001", {"positions-all-equal", "ordered-by-instance-number"}, [0, 0, 0]),
    ],
)
def test_failing_geometries_are_read_and_told(folder: str, found: set[str], steps: list[float]) -> None:
    study = read_study(REAL_CT / "failing-geometry" / folder)
    assert set(codes(study)) == found and len(study.files) == 4
    assert np.allclose(np.abs(np.diff(study.origins[:, 2])), steps, atol=1e-3)

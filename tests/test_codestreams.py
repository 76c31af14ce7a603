"""Damaged compressed frames: refused, whatever the fast decoder makes of them; and sound ones are not."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from cspine.dicom import pixels, read_study
from cspine.dicom.codestreams import DoubtError, decode_frame, was_cut
from cspine.dicom.pixels import frame_of
from dicom_makers import COMPRESSED, JPEG_2000, JPEG_LOSSLESS, JPEG_LS, RLE, compress, dicom_bytes, neck

SIZE = 64


def noisy(seed: int = 0) -> NDArray[np.uint16]:
    """A neck of 12 bits with noise of 30 HU: what compresses as CT does."""
    noise = np.random.default_rng(seed).normal(0, 30, (SIZE, SIZE))
    return (neck(rows=SIZE, columns=SIZE) + noise + 1024).clip(0, 4095).astype(np.uint16)


def changed(frame: bytes, places: int, seed: int) -> bytes:
    draw, damaged = np.random.default_rng(seed), bytearray(frame)
    for at in draw.integers(100, len(frame) - 2, places):
        damaged[at] ^= int(draw.integers(1, 256))
    return bytes(damaged)


def read(folder: Path, frames: list[bytes], syntax: str) -> dict[str, NDArray[np.int16]]:
    """The slices that are read of a study of these frames, by file name."""
    for i, frame in enumerate(frames):
        content = dicom_bytes(stored=noisy(), syntax=syntax, frame=frame + b"\0" * (len(frame) % 2), position=(0, 0, i))
        (folder / f"{i}.dcm").write_bytes(content)
    study = read_study(folder)
    assert {f.code for f in study.findings} <= {"corrupt-frame", "uneven-spacing", "no-readable-slice", "high-bits"}
    return dict(zip(study.files, study.hounsfield, strict=True))


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_a_frame_that_ends_early_is_refused_wherever_it_was_cut(tmp_path: Path, syntax: str) -> None:
    whole = compress(noisy(), syntax, 12)
    row = len(whole) // SIZE
    cuts = np.linspace(120, len(whole) - 3 * row, 12).astype(int)
    assert read(tmp_path, [whole[:at] + b"\xff\xd9" for at in cuts], syntax) == {}


@pytest.mark.parametrize("syntax", [JPEG_LOSSLESS, JPEG_LS])
def test_a_frame_damaged_in_many_places_is_refused(tmp_path: Path, syntax: str) -> None:
    whole = compress(noisy(), syntax, 12)
    assert read(tmp_path, [changed(whole, 20, seed) for seed in range(12)], syntax) == {}


def test_one_changed_byte_of_jpeg_ls_is_noticed(tmp_path: Path) -> None:
    whole = compress(noisy(), JPEG_LS, 12)
    images = read(tmp_path, [changed(whole, 1, seed) for seed in range(30)], JPEG_LS)
    assert len(images) <= 1  # a change in the padding of the last byte changes nothing
    assert all(np.array_equal(image, noisy().astype(int) - 1024) for image in images.values())


def test_one_changed_byte_of_jpeg_lossless_is_mostly_noticed(tmp_path: Path) -> None:
    whole = compress(noisy(), JPEG_LOSSLESS, 12)
    images = read(tmp_path, [changed(whole, 1, seed) for seed in range(60)], JPEG_LOSSLESS)
    assert len(images) < 30  # without the guards: 60
    assert all(image.min() >= -1024 and image.max() <= 3071 for image in images.values())  # what 12 bits can say


def test_two_decoders_that_disagree_about_a_doubted_frame_are_both_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The strict decoder was never seen to mend what the fast one shows damaged; it shows other damage."""
    frame = changed(compress(noisy(), JPEG_LOSSLESS, 12), 20, seed=1)
    assert imagecodecs.jpeg8_decode(frame).shape == (SIZE, SIZE)  # the fast decoder raises nothing
    monkeypatch.setattr(pixels, "_decode_apart", lambda *_: noisy() * 0 + 7)
    (tmp_path / "1.dcm").write_bytes(dicom_bytes(stored=noisy(), syntax=JPEG_LOSSLESS, frame=frame))
    finding = read_study(tmp_path).findings[0]
    assert (finding.code, finding.detail) == ("corrupt-frame", "values beyond 12 bits; two decoders disagree")


def test_nobody_notices_a_changed_byte_of_jpeg_2000(tmp_path: Path) -> None:
    """Told in docs/findings.md; if this fails, a decoder has become strict."""
    whole = compress(noisy(), JPEG_2000, 12)
    images = read(tmp_path, [changed(whole, 1, seed) for seed in range(6)], JPEG_2000)
    assert len(images) > 3
    assert any(not np.array_equal(image, noisy().astype(int) - 1024) for image in images.values())


@pytest.mark.parametrize("precision", [12, 16])
def test_values_that_the_precision_cannot_hold_are_doubted(precision: int) -> None:
    image = np.full((SIZE, SIZE), 5000, np.uint16)
    image[0, 0] = 0
    frame = bytearray(compress(image, JPEG_LOSSLESS, 16))
    frame[frame.index(b"\xff\xc3") + 4] = precision
    if precision == 16:
        assert np.array_equal(decode_frame(bytes(frame), JPEG_LOSSLESS, image.shape, 16, False), image)
    else:
        with pytest.raises(DoubtError, match="values beyond 12 bits"):
            decode_frame(bytes(frame), JPEG_LOSSLESS, image.shape, 16, False)


def test_rows_that_hold_the_first_guess_all_around_are_not_a_cut() -> None:
    """Signed 12 bits: -2048 outside the round field of view is what the decoder guesses first."""
    image = noisy()
    image[:5], image[-5:] = 2048, 2048
    frame = compress(image, JPEG_LOSSLESS, 12)
    assert not was_cut(image, frame)
    image[-9:] = 2048
    assert was_cut(image, frame)


@pytest.mark.parametrize("bits", [8, 16])
def test_run_lengths_are_put_together_highest_byte_first(bits: int) -> None:
    image = noisy() if bits == 16 else (noisy() // 16).astype(np.uint8)
    planes = [image >> 8, image & 255] if bits == 16 else [image]
    coded = [bytes(imagecodecs.packbits_encode(plane.astype(np.uint8).tobytes())) for plane in planes]
    starts = [64 + sum(map(len, coded[:i])) for i in range(len(coded))]
    table = np.array([len(coded), *starts, *[0] * (15 - len(coded))], "<u4").tobytes()
    found = decode_frame(table + b"".join(coded), RLE, image.shape, bits, False)
    assert np.array_equal(found, image)
    with pytest.raises(DoubtError):
        decode_frame(table + b"".join(coded)[:-400], RLE, image.shape, bits, False)


def items(*contents: bytes) -> bytes:
    return b"".join(b"\xfe\xff\x00\xe0" + len(c).to_bytes(4, "little") + c for c in contents)


def test_all_fragments_of_a_frame_are_put_together_whatever_the_offset_table_says() -> None:
    for table in (b"", bytes(4), b"\x07\0\0\0", bytes(8)):
        assert frame_of(items(table, b"one ", b"two ")) == b"one two "
        assert frame_of(memoryview(items(table, b"whole"))) == b"whole"
    for torn in (b"", items(b""), items(b"", b"one")[:-1], items(b"", b"one") + b"junk junk"):
        with pytest.raises(ValueError):
            frame_of(torn)

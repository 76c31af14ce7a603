"""The 38 ways in which the input of a study is known to go wrong, and what becomes of each: one table, one row a case.

docs/findings.md holds the same table for people; the last test compares the two. Every file is made here.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import imagecodecs
import nibabel
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from pydicom.encaps import encapsulate

from broken_files import UNDEFINED, called, cut, flipped, retyped, with_implicit_meta, with_sequence, without_meta
from cspine import writing
from cspine.boxes import check_boxes
from cspine.cache.reading import SliceCache
from cspine.dicom import Study, read_study
from cspine.dicom.notes import KEPT, LEFT_OUT
from cspine.errors import CspineError
from cspine.masks import Stack, lay_over, read_nifti
from cspine.stages.ingest import IngestConfig
from cspine.views.windows import Window
from dicom_makers import (
    BIG_ENDIAN,
    CT_IMAGE,
    EXPLICIT,
    IMPLICIT,
    JPEG_2000,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
    compress,
    dicom_bytes,
    neck,
    write_raw_folder,
    write_study,
)
from frame_makers import frames_bytes
from test_ingest import listing as list_files
from test_ingest import run as run_ingest
from test_inventory import found as findings_of_inventory
from test_inventory import run as run_inventory

DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG_BASELINE, JPEG_EXTENDED, JPEG_RETIRED, JPEG_LS_NEAR, JPEG_2000_LOSSY = (
    f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 55, 81, 91)
)
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# What becomes of the files: all read (maybe with findings), some left out and the others read, nothing to read.
READ, SLICE, STUDY = "read", "slice left out", "study left out"
UNSEEN = "read, and nothing in the file could tell that it is wrong"

Files = Mapping[str, bytes]
Image = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One row. A file that stands alone is neck() at 0 mm; one that is left out stands beside three sound slices."""

    number: int
    what: str
    outcome: str
    codes: str  # of the findings, in their order, without repetition
    make: Callable[[], bytes | Files]
    heights: tuple[float, ...] | None = None  # of the slices read, neck(z) each; None: as said above
    see: Callable[[Study], bool] | None = None  # what else must hold (all there is to see, if heights are ())


@dataclass(frozen=True)
class CaseElsewhere:
    """A row of another part of the project: ``run`` makes the fault in a folder and asserts what is done about it."""

    number: int
    what: str
    becomes: str
    run: Callable[[Path], None]


# Files


def at(z: float, **options: Any) -> bytes:
    """A sound slice at a height."""
    given: dict[str, Any] = {"position": (-10, -20, z), "number": 1 - int(z)} | options
    return dicom_bytes(neck(z), **given)


def stack(*heights: float, **options: Any) -> dict[str, bytes]:
    """A sound study: 1.dcm, 2.dcm, ... at these heights."""
    return {f"{i}.dcm": at(z, **{"number": i} | options) for i, z in enumerate(heights, start=1)}


def stored() -> NDArray[np.int64]:
    return neck().astype(np.int64) + 1024


def jpeg(pixels: Image | None = None) -> bytes:
    """A JPEG Lossless frame."""
    return compress((stored() if pixels is None else pixels).astype(np.uint16), JPEG_LOSSLESS, 12)


def called_uncompressed(syntax: str) -> bytes:
    return called(dicom_bytes(syntax=syntax), syntax, EXPLICIT)


def changed_frame(syntax: str, reach: int, count: int) -> bytes:
    """A slice with ``count`` changed bytes in the last ``reach`` bytes of its frame, the end marker whole."""
    return flipped(dicom_bytes(syntax=syntax), (reach, 60), count)


def in_fragments(table: bool) -> bytes:
    """A slice whose frame is in three fragments, with or without an offset table."""
    return dicom_bytes(syntax=JPEG_LOSSLESS, PixelData=encapsulate([jpeg()], fragments_per_frame=3, has_bot=table))


def padded(value: int, declared: int | None, **options: Any) -> bytes:
    """A signed slice whose first rows hold ``value``."""
    pixels = neck().astype(np.int64)
    pixels[:3] = value
    tags = {} if declared is None else {"PixelPaddingValue": declared}
    return dicom_bytes(stored=pixels, signed=True, bits=16, intercept=0, **tags | options)


def surround(hounsfield: int) -> Image:
    image = neck()
    image[:3] = hounsfield
    return image


def lossy(syntax: str) -> bytes:
    """A slice in a lossy syntax; in 8 bits its rescale is steeper, as encoders make it."""
    if syntax == JPEG_BASELINE:
        pixels = (stored() // 16).astype(np.uint8)
        frame = bytes(imagecodecs.jpeg8_encode(pixels, level=98))
        content = dicom_bytes(
            stored=stored() // 16, slope=16, syntax=JPEG_LOSSLESS, frame=frame, BitsAllocated=8, BitsStored=8, HighBit=7
        )
        return called(content, JPEG_LOSSLESS, JPEG_BASELINE)
    pixels = stored().astype(np.uint16)
    if syntax == JPEG_LS_NEAR:
        frame = bytes(imagecodecs.jpegls_encode(pixels, level=3))
    else:
        frame = bytes(imagecodecs.jpeg2k_encode(pixels, level=80, reversible=False, codecformat="J2K"))
    return called(dicom_bytes(syntax=JPEG_LS, frame=frame), JPEG_LS, syntax)


def turned(orientation: Sequence[float], turn: Callable[[Image], Image], **options: Any) -> dict[str, bytes]:
    """Two slices stored with another orientation: turned back by ``turn`` (its own inverse) they are neck(z)."""
    return {
        f"{i}.dcm": dicom_bytes(turn(neck(z)), position=(0, 0, z), orientation=orientation, number=i, **options)
        for i, z in enumerate((4.0, 2.0), start=1)
    }


# What is asserted of a study


def images(*expected: Image) -> Callable[[Study], bool]:
    return lambda study: (
        len(study.hounsfield) == len(expected)
        and all(np.array_equal(a, b) for a, b in zip(study.hounsfield, expected, strict=True))
    )


def near(expected: Image, most: float) -> Callable[[Study], bool]:
    return lambda study: float(np.abs(study.hounsfield[0] - expected).max()) <= most


def placed(*positions: float) -> Callable[[Study], bool]:
    return lambda study: np.allclose(study.positions, positions, atol=1e-3)


def numbered(*numbers: int) -> Callable[[Study], bool]:
    return lambda study: study.slice_numbers.tolist() == list(numbers)


def thick(mm: float) -> Callable[[Study], bool]:
    return lambda study: study.thickness == pytest.approx(mm, abs=1e-4)


def spaced(*mm: float) -> Callable[[Study], bool]:
    return lambda study: np.allclose(study.spacing[:, 0], mm)


def everything(*conditions: Callable[[Study], bool]) -> Callable[[Study], bool]:
    return lambda study: all(condition(study) for condition in conditions)


def tilted(degrees: float) -> tuple[float, ...]:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (1, 0, 0, 0, float(cosine), float(sine))


def signed_stream(header_signed: bool) -> bytes:
    """JPEG 2000 data of one sign under a header of the other, which says 16 bits of data that have 12."""
    if header_signed:
        pixels = (neck() & 0xFFF).astype(np.uint16)
        frame = imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="J2K", bitspersample=12)
        return dicom_bytes(neck(), signed=True, intercept=0, bits=16, syntax=JPEG_2000, frame=bytes(frame))
    options: dict[str, Any] = {"signed": True, "intercept": 0, "bits": 16, "syntax": JPEG_2000}
    return dicom_bytes(neck(), PixelRepresentation=0, **options)


def mixed_bits() -> dict[str, bytes]:
    depths = ((12, False, -1024), (13, True, 0), (14, False, -1024), (16, True, 0))
    return {
        f"{i}.dcm": at(-i, bits=bits, signed=signed, intercept=intercept)
        for i, (bits, signed, intercept) in enumerate(depths)
    }


def each_frame(*said: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"ImagePositionPatient": [-10, -20, -z], **more} for z, more in enumerate(said)]


SMALL = dicom_bytes(neck(rows=2, columns=2), position=(0, 0, -111.25))
LARGER = neck(-2.5, rows=48, columns=48)
SOUND = (0.0, -1.0, -2.0)

CASES = (
    # 1-4: is it DICOM at all
    Case(1, "file of 0 bytes", SLICE, "zero-byte-file", lambda: b""),
    Case(1, "every file of 0 bytes", STUDY, "zero-byte-file no-readable-slice", lambda: {"1.dcm": b"", "2.dcm": b""}),
    Case(2, "text, thumbnails and fakes in the folder", SLICE, "not-dicom",
         lambda: stack(*SOUND) | {"notes.txt": b"see report\n" * 20, "Thumbs.db": b"\xd0\xcf\x11\xe0" + bytes(900)}),
    Case(2, "index file (DICOMDIR, DIRFILE) in the folder", SLICE, "no-pixel-data",
         lambda: stack(*SOUND) | {"DICOMDIR": dicom_bytes(PixelData=None, Modality=None, Rows=None, Columns=None)}),
    Case(3, "no preamble", READ, "no-preamble", lambda: dicom_bytes(preamble=False)),
    Case(3, "preamble, but no file meta information", READ, "", lambda: without_meta(dicom_bytes())),
    Case(3, "neither, and implicit VR", READ, "no-preamble", lambda: dicom_bytes(preamble=False, syntax=IMPLICIT)),
    Case(4, "file meta information in implicit VR", READ, "", lambda: with_implicit_meta(dicom_bytes())),
    # 5: the transfer syntax contradicts the data
    *(Case(5, f"{name} data called uncompressed", READ, codes, partial(called_uncompressed, syntax))
      for name, syntax, codes in (("JPEG Lossless", JPEG_LOSSLESS, "syntax-contradicted"),
                                  ("JPEG-LS", JPEG_LS, "syntax-contradicted lossy"),
                                  ("JPEG 2000", JPEG_2000, "syntax-contradicted lossy"),
                                  ("RLE", RLE, "syntax-contradicted"))),
    Case(5, "uncompressed data called JPEG Lossless", READ, "syntax-contradicted",
         lambda: called(dicom_bytes(), EXPLICIT, JPEG_LOSSLESS)),
    Case(5, "JPEG Lossless data called JPEG 2000", READ, "syntax-contradicted",
         lambda: called(dicom_bytes(syntax=JPEG_LOSSLESS), JPEG_LOSSLESS, JPEG_2000)),
    Case(5, "JPEG Lossless data under the name of a retired syntax", READ, "syntax-contradicted",
         lambda: called(dicom_bytes(syntax=JPEG_LOSSLESS), JPEG_LOSSLESS, JPEG_RETIRED)),
    Case(5, "explicit VR called implicit, and the other way round", READ, "",
         lambda: {"1.dcm": called(at(0), EXPLICIT, IMPLICIT),
                  "2.dcm": called(at(-1, syntax=IMPLICIT), IMPLICIT, EXPLICIT)}, (0, -1)),
    Case(5, "little endian called big endian", SLICE, "truncated", lambda: called(dicom_bytes(), EXPLICIT, BIG_ENDIAN)),
    Case(5, "plain file called deflated", SLICE, "header-unreadable",
         lambda: called(dicom_bytes(), EXPLICIT, DEFLATED)),
    # 6-8: pixels missing
    Case(6, "uncompressed pixels cut short", SLICE, "truncated", lambda: cut(dicom_bytes(), 500)),
    Case(6, "fewer pixels than rows x columns", SLICE, "truncated", lambda: dicom_bytes(Rows=40)),
    Case(7, "compressed file cut short", SLICE, "truncated", lambda: cut(dicom_bytes(syntax=JPEG_LOSSLESS), 300)),
    Case(7, "JPEG Lossless frame cut, end marker put back", SLICE, "corrupt-frame",
         lambda: dicom_bytes(syntax=JPEG_LOSSLESS, frame=jpeg()[:300] + b"\xff\xd9")),
    *(Case(7, f"changed bytes in a {name} frame", SLICE, "corrupt-frame",
           partial(changed_frame, syntax, 500, 20))
      for name, syntax in (("JPEG Lossless", JPEG_LOSSLESS), ("JPEG-LS", JPEG_LS))),
    Case(7, "changed bytes in a JPEG 2000 frame", UNSEEN, "",
         partial(changed_frame, JPEG_2000, 400, 3), (), lambda study: len(study.files) == 1),
    Case(8, "no PixelData", SLICE, "no-pixel-data", lambda: dicom_bytes(PixelData=None)),
    Case(8, "empty PixelData", SLICE, "truncated", lambda: dicom_bytes(PixelData=b"")),
    # 9: what lies before the pixels
    Case(9, "sequence of undefined length, VR UN", READ, "", lambda: with_sequence("UN", UNDEFINED)),
    Case(9, "sequence of undefined length, big endian", READ, "",
         lambda: with_sequence("SQ", UNDEFINED, ">", syntax=BIG_ENDIAN)),
    Case(9, "PixelSpacing with VR UN", READ, "", lambda: retyped(dicom_bytes(), (0x28, 0x30), "UN"), None, spaced(0.4)),
    Case(9, "sequence whose items are junk", READ, "", lambda: with_sequence("SQ", junk=bytes(range(60)))),
    Case(9, "sequence whose length leads astray", SLICE, "truncated", lambda: with_sequence("SQ", 10**6)),
    Case(9, "sequence of junk without an end", SLICE, "header-unreadable",
         lambda: with_sequence("SQ", UNDEFINED, junk=bytes(range(60)))),
    # 10-13: compressed forms
    *(Case(10, f"frame in 3 fragments, {'offset table' if table else 'empty offset table'}", READ, "",
           partial(in_fragments, table))
      for table in (True, False)),
    Case(10, "offset table that leads nowhere", READ, "",
         lambda: dicom_bytes(syntax=JPEG_LOSSLESS, PixelData=encapsulate([jpeg()], fragments_per_frame=3).replace(
             bytes([4, 0, 0, 0, 0, 0, 0, 0]), bytes([4, 0, 0, 0, 40, 0, 0, 0]), 1))),
    Case(11, "big endian", READ, "", lambda: dicom_bytes(syntax=BIG_ENDIAN)),
    Case(11, "deflated", READ, "", lambda: dicom_bytes(syntax=DEFLATED)),
    Case(12, "retired JPEG processes (.53, .55)", SLICE, "unsupported-syntax",
         lambda: called(dicom_bytes(syntax=JPEG_LOSSLESS, frame=jpeg().replace(b"\xff\xc3", b"\xff\xc2", 1)),
                        JPEG_LOSSLESS, JPEG_RETIRED)),
    Case(13, "JPEG Baseline of 8 bits, slope 16", READ, "lossy", lambda: lossy(JPEG_BASELINE), (), near(neck(), 100)),
    Case(13, "JPEG-LS near-lossless", READ, "lossy", lambda: lossy(JPEG_LS_NEAR), (), near(neck(), 3)),
    Case(13, "JPEG 2000 lossy", READ, "lossy", lambda: lossy(JPEG_2000_LOSSY), (), near(neck(), 30)),
    Case(13, "uncompressed again after lossy compression", READ, "lossy",
         lambda: dicom_bytes(LossyImageCompression="01")),
    # 14-17: from bits to Hounsfield units
    Case(14, "BitsStored 12, 13, 14 and 16 in one series", READ, "", mixed_bits, (0, -1, -2, -3)),
    Case(14, "junk above the stored bits", READ, "high-bits", lambda: dicom_bytes(stored=stored() | 0x9000)),
    Case(14, "HighBit 15 of 12 bits", READ, "", lambda: dicom_bytes(stored=stored() << 4, HighBit=15)),
    Case(14, "HighBit 15 of 12 bits, signed", READ, "",
         lambda: dicom_bytes(stored=(neck().astype(int) & 0xFFF) << 4, signed=True, intercept=0, HighBit=15)),
    Case(14, "HighBit 15 of 12 bits in compressed data", READ, "",
         lambda: {f"{i}.dcm": at(-i, syntax=syntax, HighBit=15)
                  for i, syntax in enumerate((JPEG_LOSSLESS, JPEG_LS, JPEG_2000, RLE))}, (0, -1, -2, -3)),
    Case(15, "header unsigned, JPEG 2000 data signed", READ, "signedness", lambda: signed_stream(False)),
    Case(15, "header signed of 16 bits, JPEG 2000 data unsigned of 12", READ, "signedness",
         lambda: signed_stream(True)),
    Case(16, "padding -2000 declared as 63536", READ, "padding",
         lambda: padded(-2000, -2000).replace(b"\x28\x00\x20\x01SS", b"\x28\x00\x20\x01US"), (),
         images(surround(-1024))),
    Case(16, "padding -32768", READ, "padding", lambda: padded(-32768, -32768), (), images(surround(-1024))),
    Case(16, "padding 63536 in unsigned data", READ, "padding",
         lambda: dicom_bytes(stored=np.where(surround(9) == 9, 63536, stored()), bits=16, PixelPaddingValue=63536),
         (), images(surround(-1024))),
    Case(16, "range of padding, -2000 to -1500", READ, "padding",
         lambda: padded(-1700, -2000, PixelPaddingRangeLimit=-1500), (), images(surround(-1024))),
    Case(16, "range of padding that reaches into tissue", READ, "padding-ignored",
         lambda: padded(-2000, -2000, PixelPaddingRangeLimit=100), (), images(surround(-2000))),
    Case(16, "padding value among tissue", READ, "padding-ignored", lambda: padded(0, 0), (), images(surround(0))),
    Case(16, "padding that is not declared", READ, "", lambda: padded(-3024, None), (), images(surround(-3024))),
    Case(17, "no rescale in one slice", READ, "no-rescale",
         lambda: stack(*SOUND) | {"4.dcm": dicom_bytes(stored=neck(-3).astype(int) + 1024, position=(-10, -20, -3),
                                                       slope=None, intercept=None)}, (*SOUND, -3)),
    Case(17, "no rescale in any slice", READ, "no-rescale",
         lambda: dicom_bytes(stored=stored(), slope=None, intercept=None)),
    Case(17, "slope missing, intercept there", READ, "no-rescale",
         lambda: dicom_bytes(stored=stored() + 76, slope=None, intercept=-1100)),
    Case(17, "slope that cannot be", READ, "no-rescale", lambda: dicom_bytes(stored=stored(), slope=1e9)),
    Case(17, "slope 0.5, another intercept in the next slice", READ, "",
         lambda: {"1.dcm": at(0, slope=0.5, bits=16), "2.dcm": at(-1, slope=2, intercept=-1000, signed=True)}, (),
         lambda study: near(neck(), 0.25)(study) and float(np.abs(study.hounsfield[1] - neck(-1)).max()) <= 1),
    Case(17, "rescale in functional groups only", READ, "", lambda: frames_bytes((0,)), (0,)),
    Case(17, "values that are no Hounsfield units", READ, "not-hounsfield", lambda: dicom_bytes(RescaleType="US")),
    # 18-19: what is no slice
    Case(18, "MONOCHROME1", READ, "monochrome1", lambda: dicom_bytes(photometric="MONOCHROME1")),
    Case(18, "slice of 8 bits", READ, "", lambda: dicom_bytes(
        stored=stored() // 16, slope=16, BitsAllocated=8, BitsStored=8, HighBit=7,
        PixelData=(stored() // 16).astype(np.uint8).tobytes()), (), near(neck(), 16)),
    Case(18, "colour picture in the series", SLICE, "not-greyscale",
         lambda: dicom_bytes(photometric="RGB", SamplesPerPixel=3, SOPClassUID=SECONDARY_CAPTURE)),
    Case(18, "grey dose sheet in the series", SLICE, "secondary-capture",
         lambda: dicom_bytes(position=None, orientation=None, SOPClassUID=SECONDARY_CAPTURE)),
    Case(18, "secondary capture that says where it lies", READ, "", lambda: dicom_bytes(SOPClassUID=SECONDARY_CAPTURE)),
    Case(19, "localizer", SLICE, "localizer", lambda: dicom_bytes(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])),
    Case(19, "coronal or sagittal slice", SLICE, "not-axial",
         lambda: stack(*SOUND) | {"8.dcm": dicom_bytes(orientation=(1, 0, 0, 0, 0, -1)),
                                  "9.dcm": dicom_bytes(orientation=(0, 1, 0, 0, 0, -1))}),
    Case(19, "nothing but sagittal slices", STUDY, "not-axial no-readable-slice",
         lambda: stack(*SOUND, orientation=(0, 1, 0, 0, 0, -1))),
    # 20: sizes
    Case(20, "not square, odd, not 512", READ, "", lambda: dicom_bytes(neck(rows=31, columns=17)), (),
         images(neck(rows=31, columns=17))),
    Case(20, "another size in part of a study", READ, "uneven-spacing sizes-vary spacing-varies",
         lambda: stack(0, -1, -2, -3) | {"9.dcm": dicom_bytes(LARGER, position=(-10, -20, -5), spacing=(0.3, 0.3))}, (),
         everything(images(*(neck(-z) for z in range(4)), LARGER), spaced(0.4, 0.4, 0.4, 0.4, 0.3))),
    Case(20, "another size, and no position", SLICE, "other-size", lambda: dicom_bytes(LARGER, position=None)),
    Case(20, "0 rows, or 65,535 x 65,535", SLICE, "implausible-size",
         lambda: stack(*SOUND) | {"8.dcm": dicom_bytes(Rows=0), "9.dcm": dicom_bytes(Rows=65535, Columns=65535)}),
    # 21: several frames
    Case(21, "enhanced CT", READ, "", frames_bytes, SOUND, numbered(1, 2, 3)),
    Case(21, "enhanced CT, frames from feet to head, compressed, in fragments", READ, "",
         lambda: frames_bytes((-2, -1, 0), syntax=JPEG_LS, fragments=3, table=False), SOUND, numbered(3, 2, 1)),
    Case(21, "a rescale of its own for each frame", READ, "",
         lambda: frames_bytes((0, -1), stored=[neck() + 1000, neck(-1) + 1100],
                              each=each_frame({"RescaleIntercept": -1000}, {"RescaleIntercept": -1100})), (0, -1)),
    Case(21, "two enhanced files in one study", READ, "frame-without-number",
         lambda: {"1.dcm": frames_bytes((0, -1)), "2.dcm": frames_bytes((-2, -3))}, (0, -1, -2, -3),
         numbered(-1, -1, -1, -1)),
    Case(21, "several frames without geometry", READ, "no-orientation ordered-by-instance-number no-spacing",
         lambda: frames_bytes(shared={"RescaleSlope": 1, "RescaleIntercept": -1024}, each=[], SOPClassUID=CT_IMAGE), (),
         everything(images(*map(neck, SOUND)), placed(2, 1, 0), numbered(1, 2, 3))),
    Case(21, "several frames, one position for all", READ, "positions-all-equal ordered-by-instance-number",
         lambda: frames_bytes(each=[], position=(0, 0, 5)), (), everything(images(*map(neck, SOUND)), placed(4, 2, 0))),
    Case(21, "one frame a localizer", SLICE, "localizer",
         lambda: frames_bytes(each=each_frame({}, {"FrameType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, {})), (0, -2),
         numbered(1, 3)),
    Case(21, "last frame cut short", SLICE, "truncated", lambda: cut(frames_bytes(), 500), (0, -1)),
    Case(21, "fewer compressed frames than the header says", SLICE, "truncated",
         lambda: stack(*SOUND) | {"9.dcm": frames_bytes(syntax=RLE, NumberOfFrames=4)}),
    Case(21, "secondary capture of several frames", SLICE, "multi-frame",
         lambda: frames_bytes(SOPClassUID=f"{SECONDARY_CAPTURE}.3")),
    # 22-24: along the neck
    *(Case(22, f"gantry tilted by {degrees} degrees", READ, "gantry-tilt",
           partial(stack, 0, -5, -10, orientation=tilted(degrees)), (0, -5, -10),
           thick(5 * float(np.cos(np.radians(degrees)))))
      for degrees in (18.5, -18.5)),
    Case(23, "spacing of slices changes from 1 to 5 mm", READ, "uneven-spacing",
         lambda: stack(0, -1, -2, -3, -8, -13), (0, -1, -2, -3, -8, -13), thick(1)),
    Case(24, "slices missing", READ, "uneven-spacing", lambda: stack(0, -1, -2, -6, -7), (0, -1, -2, -6, -7)),
    Case(24, "all slices at one place", READ, "positions-all-equal ordered-by-instance-number",
         lambda: stack(*SOUND, position=(0, 0, 7)), (), everything(images(*map(neck, SOUND)), placed(2, 1, 0))),
    # 25-27: order
    Case(25, "two slices at one position", SLICE, "duplicate-position",
         lambda: stack(*SOUND) | {"9.dcm": dicom_bytes(neck(-9), position=(-10, -20, -1))}, SOUND, numbered(1, 2, 3)),
    Case(25, "the same file twice", SLICE, "duplicate-position", lambda: stack(*SOUND) | {"1 (copy).dcm": at(0)}),
    Case(25, "the same file twice, no positions", SLICE, "duplicate-file ordered-by-instance-number",
         lambda: stack(*SOUND, position=None) | {"9.dcm": at(0, position=None, number=1)}, (),
         images(*map(neck, SOUND))),
    Case(25, "one SOPInstanceUID in all files", READ, "", lambda: stack(*SOUND, SOPInstanceUID="1.2.3"), SOUND),
    Case(25, "of two sizes at one position the commoner", SLICE, "duplicate-position",
         lambda: {"0.dcm": dicom_bytes(LARGER, position=(-10, -20, -1))} | stack(*SOUND)),
    Case(26, "numbered from feet to head; 10.dcm before 2.dcm as text", READ, "", lambda: stack(*range(-11, 1)),
         tuple(range(0, -12, -1)), everything(numbered(*range(12, 0, -1)), lambda study: study.reversed)),
    *(Case(26, f"patient {words}", READ, "turned-upright",
           partial(turned, orientation, turn, PatientPosition=code), (4, 2))
      for words, code, orientation, turn in (
          ("feet first", "FFS", (-1, 0, 0, 0, 1, 0), lambda image: image[:, ::-1]),
          ("prone", "HFP", (-1, 0, 0, 0, -1, 0), lambda image: image[::-1, ::-1]),
          ("feet first and prone", "FFP", (1, 0, 0, 0, -1, 0), lambda image: image[::-1]),
          ("on the side", "HFDR", (0, 1, 0, 1, 0, 0), lambda image: image.T))),
    Case(26, "PatientPosition that contradicts the orientation", READ, "",
         lambda: stack(*SOUND, PatientPosition="FFP"), SOUND),
    Case(27, "no position in one slice", READ, "no-position",
         lambda: stack(*SOUND) | {"2.dcm": at(-1, number=2, position=None)}, SOUND),
    Case(27, "no position in one slice, and no number that would place it", SLICE, "no-place",
         lambda: stack(*SOUND) | {"odd.dcm": at(-9, number=2, position=None)}),
    Case(27, "no position in one slice, and numbers that do not follow the others' positions", SLICE, "no-place",
         lambda: {f"{name}.dcm": at(z, number=number)
                  for name, z, number in (("a", 0, 1), ("b", -1, 3), ("c", -2, 2))}
         | {"odd.dcm": at(-9, number=4, position=None)}),
    Case(27, "position 1,000 km away in one slice", READ, "no-position",
         lambda: stack(*SOUND) | {"2.dcm": at(-1, number=2, position=(0, 0, -1e9))}, SOUND),
    Case(27, "no positions, InstanceNumbers there", READ, "ordered-by-instance-number",
         lambda: {f"{name}.dcm": at(-i, number=i, position=None) for i, name in enumerate("cab")}, (),
         images(*map(neck, SOUND))),
    Case(27, "neither positions nor InstanceNumbers", READ, "ordered-by-file-name",
         lambda: {f"{i}.dcm": at(-i, number=None, position=None) for i in (9, 10, 11)}, (),
         everything(images(neck(-9), neck(-10), neck(-11)), numbered(9, 10, 11))),
    Case(27, "position and orientation empty, or no numbers", READ, "no-orientation ordered-by-instance-number",
         lambda: {"1.dcm": at(0, position=None, orientation=None, ImagePositionPatient=""),
                  "2.dcm": at(-1, ImagePositionPatient=None, ImageOrientationPatient=None)}, (),
         images(neck(0), neck(-1))),
    Case(27, "decimal commas", READ, "decimal-comma",
         lambda: {"1.dcm": at(0), "2.dcm": at(-1.25, position=(-1.5, -2.5, -1.25), number=2).replace(
             b"-1.5\\-2.5\\-1.25", b"-1,5\\-2,5\\-1,25")}, (0, -1.25)),
    # 28-29: how many
    Case(28, "two series", SLICE, "other-series",
         lambda: stack(*SOUND) | {"8.dcm": at(-8, series="1.2.9"), "9.dcm": at(-9, series="1.2.9")}),
    Case(28, "two frames of reference", SLICE, "other-series",
         lambda: stack(*SOUND, FrameOfReferenceUID="1.2.7") | {"9.dcm": at(-9, FrameOfReferenceUID="1.2.8")}),
    Case(28, "a series of its own in every file", READ, "series-uid-per-file",
         lambda: {f"{i}.dcm": at(-i, series=f"1.2.{i}") for i in range(3)}, SOUND),
    Case(28, "a slice that names no series or frame of reference", READ, "",
         lambda: stack(0, -1, FrameOfReferenceUID="1.2.7") | {"9.dcm": at(-2, number=3, SeriesInstanceUID=None)},
         SOUND),
    Case(28, "a slice that is not parallel", SLICE, "other-orientation", lambda: at(-9, orientation=tilted(9))),
    Case(28, "a slice that is rotated in plane", SLICE, "other-orientation",
         lambda: at(-9, orientation=(0.96, 0.28, 0, -0.28, 0.96, 0))),
    Case(29, "one slice", READ, "", lambda: dicom_bytes(SliceThickness=2.5), None, thick(2.5)),
    Case(29, "1,000 slices", READ, "",
         lambda: {f"{i}.dcm": SMALL.replace(b"-111.25", b"%07.2f" % (-i / 4)) for i in range(1000)}, (),
         everything(numbered(*range(1000)), thick(0.25), lambda study: study.volume().shape == (1000, 2, 2))),
    # 33-35: values and scales
    Case(33, "metal: 4095, the highest of 12 bits", READ, "",
         lambda: dicom_bytes(stored=np.where(surround(9) == 9, 4095, stored())), (), images(surround(3071))),
    Case(33, "metal: the extended scale, 20,000 HU", READ, "",
         lambda: dicom_bytes(surround(20_000), bits=16), (), images(surround(20_000))),
    Case(34, "nothing but air", READ, "",
         lambda: {f"{i}.dcm": dicom_bytes(stored=np.zeros((32, 32)), position=(0, 0, -i), syntax=syntax)
                  for i, syntax in enumerate((EXPLICIT, JPEG_LOSSLESS, JPEG_LS, JPEG_2000, RLE))}, (),
         lambda study: bool((study.volume() == -1024).all()) and not study.grey_levels(0, Window(400, 2000)).any()),
    Case(34, "a surround that looks like undecoded rows", READ, "",
         lambda: dicom_bytes(stored=surround(-2048) & 0xFFF, signed=True, intercept=0, syntax=JPEG_LOSSLESS,
                             frame=jpeg(np.vstack([surround(-2048)[:30], surround(-2048)[:2]]) & 0xFFF)), (),
         images(np.vstack([surround(-2048)[:30], surround(-2048)[:2]]))),
    Case(35, "no PixelSpacing", READ, "no-spacing", lambda: dicom_bytes(spacing=None), None, spaced(0.5)),
    Case(35, "PixelSpacing changes", READ, "spacing-varies",
         lambda: stack(0, -1) | {"3.dcm": at(-2, number=3, spacing=(0.3, 0.3))}, SOUND, spaced(0.4, 0.4, 0.3)),
    Case(35, "PixelSpacing that cannot be", READ, "no-spacing",
         lambda: stack(0, -1) | {"3.dcm": at(-2, number=3, spacing=(400, 400))}, SOUND, spaced(0.4, 0.4, 0.4)),
    Case(35, "a field of view of 50 cm", READ, "", lambda: dicom_bytes(spacing=(0.977, 0.977)), None, spaced(0.977)),
    # 36: whom the pictures show (the rest of it below)
    Case(36, "text in the pixels that may name the patient", SLICE, "burned-in-text",
         lambda: dicom_bytes(BurnedInAnnotation="YES")),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number}: {case.what}")
def test_a_bad_file_becomes_what_the_table_says(tmp_path: Path, case: Case) -> None:
    made = case.make()
    files = made if isinstance(made, Mapping) else {"1.dcm": made}
    if case.outcome == SLICE and not isinstance(made, Mapping) and case.heights is None:
        files = stack(*SOUND) | {"odd.dcm": made}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    study = read_study(tmp_path)
    codes = [code for code, _ in groupby(f.code for f in study.findings)]
    assert codes == case.codes.split()
    if case.heights != ():
        expected = case.heights or ((0.0,) if case.outcome == READ else SOUND if case.outcome == SLICE else ())
        assert images(*map(neck, expected))(study)
        assert placed(*expected)(study) or "gantry-tilt" in codes
    assert case.see is None or case.see(study)
    assert_outcome(case, study, set(files))


def assert_outcome(case: Case, study: Study, files: set[str]) -> None:
    """Nothing is lost without a word, and nothing is left out but where the table says so."""
    left_out = {f.file for f in study.findings if f.code in LEFT_OUT}
    assert set(study.files) | left_out == files
    assert all(f.code in LEFT_OUT or f.code in KEPT for f in study.findings)
    if case.outcome in (READ, UNSEEN):
        assert set(study.files) == files and left_out == set()
    elif case.outcome == SLICE:
        assert study.files and left_out
    else:
        assert study.files == [] and study.reason == "no-readable-slice"


# What other parts of the project make of their share


def folders_and_tables_differ(folder: Path) -> None:
    root = write_raw_folder(folder / "raw", {"listed": "C2", "both": ""}, boxes=[("both", 1)], masks=["both"])
    (root / "train_images/listed").rename(root / "train_images/unlisted")
    found = findings_of_inventory(run_inventory(root, folder / "out"))
    assert {("no-folder", "listed"), ("no-labels", "unlisted")} <= found


def no_masks(folder: Path) -> None:
    root = write_raw_folder(folder / "raw", {"a": "C2", "b": ""}, boxes=[("a", 1)])
    out = run_inventory(root, folder / "out")
    assert ("no-masks", "") in findings_of_inventory(out)
    assert pd.read_csv(out / "segmentations.csv").empty


def boxes(*rows: tuple[float, ...]) -> tuple[list[int], list[str]]:
    """slice_numbers of the boxes kept of one study of slices 0 to 2 (32 x 32), and the codes found."""
    studies = pd.DataFrame({"StudyInstanceUID": ["s"], "patient_overall": [1], "readable": [True]})
    slices = pd.DataFrame({"StudyInstanceUID": "s", "slice_number": [0, 1, 2], "rows": 32, "columns": 32})
    columns = ["StudyInstanceUID", "x", "y", "width", "height", "slice_number"]
    table = pd.DataFrame([("s", *row) for row in rows], columns=columns)
    kept, found = check_boxes(table, slices, studies)
    assert (kept["x"] + kept["width"] <= 32).all() and (kept["y"] + kept["height"] <= 32).all()
    return kept["slice_number"].tolist(), [f.code for f in found]


def box_of_no_slice(folder: Path) -> None:
    assert boxes((1, 2, 3, 4, 0), (1, 2, 3, 4, 99)) == ([0], ["box-without-slice"])


def box_outside(folder: Path) -> None:
    assert boxes((1, 2, 3, 4, 0), (40, 2, 3, 4, 1)) == ([0], ["box-outside-image"])


def box_of_no_area(folder: Path) -> None:
    assert boxes((1, 2, 3, 4, 0), (1, 2, 0, 4, 1)) == ([0], ["box-without-area"])


def box_over_the_edge(folder: Path) -> None:
    assert boxes((30, 2, 30, 4, 0)) == ([0], ["box-clipped"])


def masked(folder: Path, labels: Image, flip: Sequence[int] = (1, 1, 1), planes: slice = slice(None)) -> Any:
    """The mask ``labels`` (slices, rows, columns) of a study of 4 slices, stored flipped along axes, laid over it."""
    study = read_study(write_study(folder / "study", [0.0, -1.0, -2.0, -3.0]))
    to_mm = np.diag([-0.5, -0.4, -1.0, 1.0])  # columns, rows, slices: DICOM's x and y run against NIfTI's
    to_mm[:3, 3] = (10, 20, 0)
    stored = np.ascontiguousarray(labels[planes].transpose(2, 1, 0))
    image = nibabel.Nifti1Image(stored, to_mm).as_reoriented(np.array(list(enumerate(flip))))
    nibabel.save(image, folder / "mask.nii")
    return lay_over(read_nifti(folder / "mask.nii"), Stack.of_study(study), [])


def two_levels() -> NDArray[np.uint8]:
    """C7 in the upper slices and T1 in the lower ones, to one side."""
    labels = np.zeros((4, 32, 32), np.uint8)
    labels[:2, 8:14, 10:20], labels[2:, 9:15, 10:20] = 7, 8
    return labels


def mask_flipped(folder: Path) -> None:
    for number, flip in enumerate([(-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1)]):
        mask = masked(folder / str(number), two_levels(), flip)
        assert mask.orientation == "header" and np.array_equal(mask.volume(), two_levels())


def mask_of_other_count(folder: Path) -> None:
    mask = masked(folder, two_levels(), planes=slice(0, 3))
    assert "mask-other-slice-count" in [code for code, _ in mask.remarks]
    assert mask.known.tolist() == [True, True, True, False]


def mask_of_other_levels(folder: Path) -> None:
    mask = masked(folder, two_levels())
    assert mask.levels() == ["C7", "T1"]
    assert mask.present()[:, -1].tolist() == [1, 1, 0, 0] and not mask.present()[:, :-1].any()


def patient_text(folder: Path) -> None:
    named = {"PatientName": "Secret^Person", "PatientID": "Secret-7", "ImageComments": "Secret", "position": None}
    write_study(folder / "raw/train_images/s", [0, -1], **named)
    odd = dicom_bytes(PatientName="Secret^Person").replace(b"MONOCHROME2 ", b"Secret^Name ")
    (folder / "raw/train_images/s/9.dcm").write_bytes(odd.replace(b"CS\x02\x00CT", b"CS\x06\x00Secret"))
    listed = list_files(folder / "raw", folder / "list.csv")
    out = run_ingest(folder / "raw", folder / "out", listed)
    written = list(out.iterdir())
    assert {path.name for path in written} >= {"shard.parquet", "studies.parquet", "findings.parquet"}
    assert all(b"Secret" not in path.read_bytes() for path in written)


def disk_full(folder: Path) -> None:
    def full(place: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (folder / "table").write_bytes(b"whole")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(writing, "fault_point", full)  # it lies between the two halves of what is written
        writing.write_whole(folder / "table", b"half of this and half of that")
    assert [path.read_bytes() for path in folder.iterdir()] == [b"whole"]


def stale_cache(folder: Path) -> None:
    for name, window in (("old", 1500.0), ("new", 2000.0)):
        write_study(folder / name / "raw/train_images" / name, [0, -1])
        listed = list_files(folder / name / "raw", folder / f"{name}.csv")
        run_ingest(folder / name / "raw", folder / name / "out", listed, IngestConfig(window_width=window))
    with pytest.raises(CspineError, match=r"window_width 2000\.0 instead of 1500\.0"):
        SliceCache([folder / "old/out/shard.parquet", folder / "new/out/shard.parquet"]).read("old", [0])


def damaged_blob(folder: Path) -> None:
    write_study(folder / "raw/train_images/s", [0, -1])
    listed = list_files(folder / "raw", folder / "list.csv")
    shard = run_ingest(folder / "raw", folder / "out", listed) / "shard.parquet"
    blob = pd.read_parquet(shard)["pixels"][1]
    content = bytearray(shard.read_bytes())
    content[content.index(blob) + len(blob) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(CspineError, match="study s, z_index 1"):
        SliceCache([shard]).read("s", [1])


ELSEWHERE = (
    CaseElsewhere(30, "study in train.csv without a folder, folder without a row", "`no-folder`, `no-labels`; the"
                  " study stays in the tables (inventory)", folders_and_tables_differ),
    CaseElsewhere(30, "box of a slice that is not there", "`box-without-slice` (label_slices)", box_of_no_slice),
    CaseElsewhere(31, "mask with flipped axes", "turned by its header (label_presence)", mask_flipped),
    CaseElsewhere(31, "mask of another number of slices", "`mask-other-slice-count`; planes matched by position"
                  " (label_presence)", mask_of_other_count),
    CaseElsewhere(31, "most studies without a mask, or none with one", "`no-masks` where there is none (inventory)",
                  no_masks),
    CaseElsewhere(31, "labels above 7", "T1 to T12, not counted as C1 to C7 (label_presence)", mask_of_other_levels),
    CaseElsewhere(32, "box outside the image", "`box-outside-image` (label_slices)", box_outside),
    CaseElsewhere(32, "box without an area", "`box-without-area` (label_slices)", box_of_no_area),
    CaseElsewhere(32, "box over the edge of the image", "`box-clipped` (label_slices)", box_over_the_edge),
    CaseElsewhere(36, "the patient's name in the headers", "in nothing that is written (ingest)", patient_text),
    CaseElsewhere(37, "disk full in the middle of a file", "what was there stays whole, no half file is left",
                  disk_full),
    CaseElsewhere(37, "shards made with different windows", "the difference is named, nothing is read", stale_cache),
    CaseElsewhere(38, "damaged pixels in the cache", "shard, study and slice are named, nothing is read", damaged_blob),
)  # fmt: skip


@pytest.mark.parametrize("case", ELSEWHERE, ids=lambda case: f"{case.number}: {case.what}")
def test_a_fault_elsewhere_becomes_what_the_table_says(tmp_path: Path, case: CaseElsewhere) -> None:
    case.run(tmp_path)


def page_table() -> list[str]:
    """The table of docs/findings.md."""
    rows: list[tuple[int, str, str]] = [(case.number, case.what, case.becomes) for case in ELSEWHERE]
    for case in CASES:
        codes = ", ".join(f"`{code}`" for code in case.codes.split())
        read = "read" if codes else "read correctly"
        words = {READ: read, SLICE: "left out", STUDY: "no slices", UNSEEN: UNSEEN}[case.outcome]
        rows.append((case.number, case.what, f"{words}, {codes}" if codes else words))
    lines = [f"| {number} | {what} | {becomes} |" for number, what, becomes in sorted(rows, key=lambda row: row[0])]
    return ["| case | what | becomes |", "|---|---|---|", *lines]


def test_all_38_cases_are_here_and_the_page_has_the_same_table() -> None:
    assert {case.number for case in CASES} | {case.number for case in ELSEWHERE} == set(range(1, 39))
    page = (Path(__file__).parents[1] / "docs/findings.md").read_text(encoding="utf-8")
    section = page[page.index("## The 38 cases") :].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    assert table == page_table(), "\n".join(["docs/findings.md should say", *page_table()])

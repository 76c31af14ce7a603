"""Reading a study's DICOM files into Hounsfield units, upright and from cranial to caudal.

The only reader of DICOM here. Bad input never raises: a file that cannot be used, and every assumption made about one
that can, becomes a finding with a reason code (docs/findings.md). No name or date of a patient leaves this module.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.tag import Tag
from pydicom.uid import UID

from cspine import codestreams
from cspine.apart import Apart, DiedError
from cspine.errors import CspineError
from cspine.findings import Finding
from cspine.geometry import UPRIGHT, plane_of, runs_feet_to_head, turn_upright
from cspine.headers import DEFLATED, ELEMENTS, EXPLICIT, IMPLICIT, UNCOMPRESSED, Header, LeftOutError
from cspine.hounsfield import (
    AIR,
    as_value,
    bit_patterns,
    is_padding,
    padding_mask,
    stored_values,
    to_hounsfield,
)
from cspine.raw_folder import numeric_aware
from cspine.series import Notes, SliceFile, file_numbers, fill_rescale, fill_spacing, in_order, one_stack

PIXEL_DATA = b"\xe0\x7f\x10\x00"  # its tag, little endian
TAGS = [Tag(number) for number in ELEMENTS.values()]


@dataclass(frozen=True)
class Study:
    """One study as read: n slices of one size, z = 0 the most cranial. n = 0 when nothing was readable."""

    StudyInstanceUID: str
    hounsfield: list[NDArray[Any]]  # n images (rows, columns), int16 where exact, else float32
    positions: NDArray[np.float32]  # (n,) mm along the slice normal, falling
    spacing: NDArray[np.float32]  # (n, 2) mm, of rows and of columns
    slice_numbers: NDArray[np.int32]  # (n,) the number in the file's name, -1 if none
    files: list[str]  # n names below the study's folder
    thickness: float  # median distance of slices, mm; NaN when unknown
    reversed: bool  # file numbers run feet to head
    reason: str = ""  # why there is no slice; "" when there is one
    findings: list[Finding] = field(default_factory=list)


def read_study(folder: Path, files: Sequence[str] | None = None) -> Study:
    """Read the slices of the study in ``folder`` (or of its named ``files``, which may lie in subfolders).

    Hounsfield = stored * slope + intercept of each slice's own header. Never raises for bad input.
    """
    if files is None:
        files = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    notes = Notes(folder.name)
    slices = []
    with _silence():
        for file in sorted(files, key=numeric_aware):
            try:
                slices.append(read_slice(folder / file, file))
            except LeftOutError as reason:
                notes.leave_out(reason.code, file, reason.detail)
            except (MemoryError, CspineError):
                raise
            except Exception as error:  # our fault: costs one slice and is named, does not end the run
                notes.leave_out("reader-failed", file, type(error).__name__)
    return _assemble(folder.name, slices, notes)


@contextmanager
def _silence() -> Iterator[None]:
    """pydicom warns of what is reported here with a code, and may quote a header's values when it does."""
    logger = logging.getLogger("pydicom")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings(), pydicom.config.disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = was_disabled


def read_slice(path: Path, file: str) -> SliceFile:
    """Read one file, ``file`` being its name below the study; LeftOutError if it gives no axial CT slice."""
    remarks: list[tuple[str, str]] = []
    dataset = _parse(path, remarks)
    head = Header(dataset)
    head.check()
    cosines, commas = head.numbers("ImageOrientationPatient", 6)
    origin, more_commas = head.numbers("ImagePositionPatient", 3)
    if commas or more_commas:
        remarks.append(("decimal-comma", "position or orientation"))
    plane = plane_of(cosines) if cosines else None
    if plane is not None and not plane.axial:
        raise LeftOutError("not-axial", f"tilted by {plane.tilt:.0f} degrees")
    slope, intercept = head.number("RescaleSlope"), head.number("RescaleIntercept")
    rescale = (slope, intercept) if slope and intercept is not None else None
    stored, padded = _pixels(dataset, head, rescale, remarks)
    spacing = head.numbers("PixelSpacing", 2)[0]
    instance = head.number("InstanceNumber")
    stem = path.stem
    return SliceFile(
        file=file,
        stored=stored,
        padded=padded,
        number=int(stem) if stem.isdecimal() and len(stem) < 10 else -1,
        series=(head.text("SeriesInstanceUID"), head.text("FrameOfReferenceUID")),
        instance=int(instance) if instance is not None else None,
        origin=np.array(origin) if origin else None,
        plane=plane,
        spacing=(spacing[0], spacing[1]) if spacing and min(spacing) > 0 else None,
        thickness=head.number("SliceThickness"),
        rescale=rescale,
        remarks=remarks,
    )


def _assemble(uid: str, slices: list[SliceFile], notes: Notes) -> Study:
    slices = one_stack(slices, notes)
    if not slices:
        return _empty(uid, notes)
    slices, positions = in_order(slices, notes)
    for s in slices:
        for code, detail in s.remarks:
            notes.keep(code, s.file, detail)
    fill_rescale(slices, notes)
    gaps = np.abs(np.diff(positions.astype(float)))
    numbers = file_numbers(slices, notes)
    return Study(
        StudyInstanceUID=uid,
        hounsfield=[_upright_hounsfield(s) for s in slices],
        positions=positions,
        spacing=fill_spacing(slices, notes),
        slice_numbers=numbers,
        files=[s.file for s in slices],
        thickness=float(np.median(gaps)) if len(gaps) else float(slices[0].thickness or "nan"),
        reversed=runs_feet_to_head(numbers),
        findings=notes.findings(),
    )


def _empty(uid: str, notes: Notes) -> Study:
    codes = ", ".join(sorted({f.code for f in notes.left_out})) or "none there"
    notes.keep("no-readable-slice", "", f"{len(notes.left_out)} files: {codes}")
    none = np.empty(0, np.float32)
    return Study(
        StudyInstanceUID=uid,
        hounsfield=[],
        positions=none,
        spacing=none.reshape(0, 2),
        slice_numbers=np.empty(0, np.int32),
        files=[],
        thickness=float("nan"),
        reversed=False,
        reason="no-readable-slice",
        findings=notes.findings(),
    )


def _upright_hounsfield(s: SliceFile) -> NDArray[Any]:
    assert s.rescale is not None, "fill_rescale comes first"
    hounsfield = to_hounsfield(s.stored, *s.rescale, s.padded)
    s.stored = np.empty((0, 0), np.int16)  # a study is held once, not twice
    return turn_upright(hounsfield, s.plane or UPRIGHT)


def _parse(path: Path, remarks: list[tuple[str, str]]) -> pydicom.Dataset:
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
            if not start:
                raise LeftOutError("zero-byte-file", "0 bytes")
            preamble = start[128:] == b"DICM"
            if not preamble and not _starts_like_a_dataset(start):
                raise LeftOutError("not-dicom", "no DICOM marker")
            content = start + stream.read()
    except FileNotFoundError as error:
        raise LeftOutError("file-missing", "not on disk") from error
    except OSError as error:
        raise LeftOutError("file-unreadable", f"{type(error).__name__}: {error.strerror}") from error
    try:
        dataset = pydicom.dcmread(BytesIO(content), force=not preamble, specific_tags=list(TAGS))
        known = preamble or "PixelData" in dataset or "SOPClassUID" in dataset
    except MemoryError:
        raise
    except Exception as error:  # on junk a parser may raise anything; its text may quote the header: not kept
        raise LeftOutError("header-unreadable", type(error).__name__) from error
    if not known:
        raise LeftOutError("not-dicom", "no element of an image")
    if "PixelData" not in dataset:
        if PIXEL_DATA in content[132:]:
            raise LeftOutError("truncated", "the file ends before its pixel data do")
        raise LeftOutError("no-pixel-data", "no PixelData")
    if not preamble:
        remarks.append(("no-preamble", "no DICM marker"))
    return dataset


def _starts_like_a_dataset(start: bytes) -> bool:
    """Whether a file without preamble begins with an element of group 2 or 8 and a sane length."""
    if len(start) < 8 or start[:2] not in (b"\x02\x00", b"\x08\x00"):
        return False
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    return explicit or int.from_bytes(start[4:8], "little") < 1 << 16


def _pixels(
    dataset: pydicom.Dataset,
    head: Header,
    rescale: tuple[float, float] | None,
    remarks: list[tuple[str, str]],
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Stored numbers (rows, columns) and the mask of padding."""
    pixels = _decode(dataset, head, remarks)
    signed = head.signed
    if head.syntax in codestreams.JPEG_2000 and not signed and pixels.dtype.kind == "i":
        signed = True
        remarks.append(("signedness", "header says unsigned, compressed data are signed"))
    patterns = bit_patterns(pixels)
    if patterns is None:
        raise LeftOutError("unsupported-bits", f"values beyond 16 bits in {head.allocated} bits")
    padded = _padded(patterns, head, signed, rescale or (1.0, 0.0 if signed else -1024.0), remarks)
    if padded is not None:
        patterns = np.where(padded, np.uint16(0), patterns)
    stored, junk = stored_values(patterns, head.bits, head.high_bit, signed)
    if junk:
        remarks.append(("high-bits", f"{junk} pixels use more than {head.bits} bits"))
    if head.text("PhotometricInterpretation").startswith("MONOCHROME1"):
        remarks.append(("monochrome1", "PhotometricInterpretation MONOCHROME1"))
    return stored, padded


def _padded(
    patterns: NDArray[np.uint16],
    head: Header,
    signed: bool,
    rescale: tuple[float, float],
    remarks: list[tuple[str, str]],
) -> NDArray[np.bool_] | None:
    keywords = [k for k in ("PixelPaddingValue", "PixelPaddingRangeLimit") if head.has(k)]
    mask = padding_mask(patterns, [head.unsigned(k) for k in keywords], head.bits, signed)
    if mask is None:
        return None
    value = as_value(head.unsigned(keywords[0]), signed)
    hounsfield = value * rescale[0] + rescale[1]
    if is_padding(value, *rescale):
        remarks.append(("padding", f"stored {value} ({hounsfield:g} HU)"))
        return mask
    if hounsfield != AIR:
        remarks.append(("padding-ignored", f"stored {value} ({hounsfield:g} HU)"))
    return None


def _decode(dataset: pydicom.Dataset, head: Header, remarks: list[tuple[str, str]]) -> NDArray[Any]:
    shape = head.rows, head.columns
    if head.syntax in (IMPLICIT, EXPLICIT, DEFLATED) and head.allocated in (8, 16):
        expected = head.rows * head.columns * head.allocated // 8
        data = dataset.PixelData
        if len(data) < expected:
            raise LeftOutError("truncated", f"{len(data)} of {expected} bytes of pixel data")
        return np.frombuffer(data, f"<u{head.allocated // 8}", head.rows * head.columns).reshape(shape)
    if head.syntax in codestreams.LOSSY:
        remarks.append(("lossy", UID(head.syntax).name))
    if head.syntax in UNCOMPRESSED:
        return _decode_strictly(dataset, head, b"")
    try:
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    except Exception as error:
        raise LeftOutError("truncated", f"frame cannot be taken out: {type(error).__name__}") from error
    try:
        return codestreams.decode_frame(frame, head.syntax, shape, head.allocated, head.signed)
    except codestreams.DoubtError as doubt:
        pixels = _decode_strictly(dataset, head, frame)
        confirmed = doubt.pixels is not None and pixels.tobytes() == doubt.pixels.tobytes()
        if head.syntax in codestreams.FAST and not confirmed:
            remarks.append(("decoded-again", str(doubt)))
        return pixels


def _decode_strictly(dataset: pydicom.Dataset, head: Header, frame: bytes) -> NDArray[Any]:
    """Decode with pydicom, compressed data with its gdcm plugin in a process apart; raises LeftOutError."""
    name = UID(head.syntax).name
    options = {
        "rows": head.rows,
        "columns": head.columns,
        "bits_allocated": head.allocated,
        "bits_stored": head.bits,
        "pixel_representation": int(head.signed),
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "pixel_keyword": "PixelData",
    }
    try:
        get_decoder(UID(head.syntax))
        decode = _decode_apart if frame else decode_by_pydicom
        pixels: NDArray[Any] = decode(head.syntax, dataset.PixelData, options)
    except (MemoryError, CspineError):
        raise
    except NotImplementedError as error:
        raise LeftOutError("unsupported-syntax", name) from error
    except Exception as error:
        code = "corrupt-frame" if frame else "truncated"
        raise LeftOutError(code, f"{name}: {error if isinstance(error, DiedError) else 'decoder failed'}") from error
    if pixels.shape != (head.rows, head.columns):
        raise LeftOutError("corrupt-frame", f"decoded to {pixels.shape}")
    if head.syntax in codestreams.JPEG_LOSSLESS and codestreams.was_cut(pixels, frame):
        guess = int(pixels[-1, 0]) & 0xFFFF
        if guess != head.unsigned("PixelPaddingValue", -1):
            raise LeftOutError("corrupt-frame", "the last rows were never decoded")
    return pixels


def decode_by_pydicom(syntax: str, pixel_data: bytes, options: dict[str, Any]) -> NDArray[Any]:
    """The pixels in a PixelData element; compressed data by gdcm, which raises on damage but may abort as well."""
    compressed = syntax not in UNCOMPRESSED and syntax != codestreams.RLE
    plugin = "gdcm" if compressed else ""
    pixels, _ = get_decoder(UID(syntax)).as_array(pixel_data, raw=True, decoding_plugin=plugin, **options)
    return pixels


_decode_apart = Apart(decode_by_pydicom)

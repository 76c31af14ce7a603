"""The few elements of a DICOM header that are needed, each read from its raw bytes, and whether the file is a CT slice.

Takes a parsed dataset and imports no parser. Whatever the bytes hold, looking up an element does not raise.
"""

from __future__ import annotations

import math
from collections.abc import Container
from functools import lru_cache
from typing import Any, Literal

IMPLICIT, EXPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
UNCOMPRESSED = (IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN)
UID_CHARACTERS = set("0123456789.")
ITEM = b"\xfe\xff\x00\xe0"  # its tag, little endian: how encapsulated pixel data begin
LARGEST_SIDE = 4096  # a header that says more is damaged, and would ask for gigabytes
MOST_FRAMES = 10_000
# Words that a finding may quote; another text might be anything, a name too.
MODALITIES = {"CR", "DX", "KO", "MG", "MR", "NM", "OT", "PR", "PT", "RF", "RTDOSE", "SC", "SEG", "SR", "US", "XA"}
COLOURS = {"ARGB", "CMYK", "HSV", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
LOCALIZERS = {"LOCALIZER", "SURVIEW", "REF_SURVIEW", "SCOUT", "TOPOGRAM"}  # words of ImageType
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # and those below it: pictures of anything (PS3.4 B.5)


#: the only elements that are ever read, by tag: no name, date or number of a patient among them
ELEMENTS = {
    "ImageType": 0x0008_0008,
    "SOPClassUID": 0x0008_0016,
    "Modality": 0x0008_0060,
    "SliceThickness": 0x0018_0050,
    "SeriesInstanceUID": 0x0020_000E,
    "InstanceNumber": 0x0020_0013,
    "ImagePositionPatient": 0x0020_0032,
    "ImageOrientationPatient": 0x0020_0037,
    "FrameOfReferenceUID": 0x0020_0052,
    "SamplesPerPixel": 0x0028_0002,
    "PhotometricInterpretation": 0x0028_0004,
    "PlanarConfiguration": 0x0028_0006,
    "NumberOfFrames": 0x0028_0008,
    "Rows": 0x0028_0010,
    "Columns": 0x0028_0011,
    "PixelSpacing": 0x0028_0030,
    "BitsAllocated": 0x0028_0100,
    "BitsStored": 0x0028_0101,
    "HighBit": 0x0028_0102,
    "PixelRepresentation": 0x0028_0103,
    "PixelPaddingValue": 0x0028_0120,
    "PixelPaddingRangeLimit": 0x0028_0121,
    "BurnedInAnnotation": 0x0028_0301,
    "RescaleIntercept": 0x0028_1052,
    "RescaleSlope": 0x0028_1053,
    "RescaleType": 0x0028_1054,
    "LossyImageCompression": 0x0028_2110,
    "SharedFunctionalGroupsSequence": 0x5200_9229,
    "PerFrameFunctionalGroupsSequence": 0x5200_9230,
    "PixelData": 0x7FE0_0010,
}


def quoted(text: str, words: Container[str]) -> str:
    """``text`` if it is one of ``words``, else "unknown": what is in a header may not be for everybody's eyes."""
    return text if text in words else "unknown"


class LeftOutError(Exception):
    """A file that gives no slice: reason code and detail."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


class Header:
    """The few elements that are needed, read from their raw bytes: an element gone wrong costs only itself.

    Args:
        raw: value by tag; bytes as they are in the file, or what a parser has made of them.
        order: of the bytes of numbers.
        syntax: UID of the transfer syntax.
        dataset: of the parser, for elements inside sequences; None when there is none to look into.
    """

    def __init__(self, raw: dict[int, Any], order: Literal["little", "big"], syntax: str, dataset: Any = None) -> None:
        self.raw, self.order, self.dataset = raw, order, dataset
        self.syntax = syntax if set(syntax) <= UID_CHARACTERS else "0"
        self.rows, self.columns = self.unsigned("Rows"), self.unsigned("Columns")
        self.allocated = self.unsigned("BitsAllocated", 16)
        self.bits = self.unsigned("BitsStored", self.allocated)
        self.high_bit = self.unsigned("HighBit", self.bits - 1)
        if not self.bits <= self.high_bit + 1 <= 16:
            self.high_bit = self.bits - 1
        self.signed = self.unsigned("PixelRepresentation") == 1
        self.decimal_commas: set[str] = set()  # keywords of the numbers that were found written with commas

    @classmethod
    def of_dataset(cls, dataset: Any) -> Header:
        """The header of a dataset that pydicom has parsed."""
        implicit, little = dataset.original_encoding
        syntax = str(dataset.file_meta.get("TransferSyntaxUID") or (IMPLICIT if implicit else EXPLICIT))
        raw = {int(tag): element.value for tag, element in dataset.items()}
        return cls(raw, "little" if little in (True, None) else "big", syntax, dataset)

    @property
    def frames(self) -> int:
        """NumberOfFrames, at least 1."""
        return max(1, int(self.number("NumberOfFrames") or 1))

    @property
    def pixel_data(self) -> bytes | memoryview:
        """The value of PixelData as it is in the file (inflated, if it was deflated)."""
        value = self.raw.get(ELEMENTS["PixelData"], b"")
        return value if isinstance(value, bytes | memoryview) else b""

    def check(self) -> None:
        """Raise LeftOutError unless this is grey CT of a size and depth that can be, no picture of something else."""
        if self.text("Modality") not in ("CT", ""):
            raise LeftOutError("not-ct", f"Modality {quoted(self.text('Modality'), MODALITIES)}")
        photometric = self.text("PhotometricInterpretation", "MONOCHROME2")
        if self.unsigned("SamplesPerPixel", 1) != 1 or not photometric.startswith("MONOCHROME"):
            raise LeftOutError("not-greyscale", f"PhotometricInterpretation {quoted(photometric, COLOURS)}")
        self._check_is_a_slice()
        if not (0 < self.rows <= LARGEST_SIDE and 0 < self.columns <= LARGEST_SIDE) or self.frames > MOST_FRAMES:
            raise LeftOutError("implausible-size", f"{self.rows} x {self.columns} pixels, {self.frames} frames")
        if self.allocated not in (8, 16, 32) or not 0 < self.bits <= min(16, self.allocated):
            raise LeftOutError("unsupported-bits", f"{self.bits} of {self.allocated} bits")

    def _check_is_a_slice(self) -> None:
        if self.text("SOPClassUID").startswith(SECONDARY_CAPTURE):
            if self.frames > 1:
                raise LeftOutError("multi-frame", f"secondary capture of {self.frames} frames")
            # slices made from a volume by other software come as secondary captures too, but say where they lie
            if not self.numbers("ImagePositionPatient", 3):
                raise LeftOutError("secondary-capture", "secondary capture without a position")
        self.check_is_no_localizer()
        if self.text("BurnedInAnnotation").upper() == "YES":
            raise LeftOutError("burned-in-text", "BurnedInAnnotation YES")

    def check_is_no_localizer(self) -> None:
        """Raise LeftOutError if ImageType (of a frame: FrameType) names an overview image."""
        words = set(self.text("ImageType").upper().replace(" ", "").split("\\"))
        if words & LOCALIZERS:
            raise LeftOutError("localizer", f"ImageType {', '.join(sorted(words & LOCALIZERS))}")

    def has(self, keyword: str) -> bool:
        """Whether the header has this element, be it empty."""
        return ELEMENTS[keyword] in self.raw

    def unsigned(self, keyword: str, otherwise: int = 0) -> int:
        """A 16-bit number."""
        value = self.raw.get(ELEMENTS[keyword])
        if isinstance(value, bytes):
            return int.from_bytes(value[:2], self.order) if value else otherwise
        return value & 0xFFFF if isinstance(value, int) else otherwise

    def text(self, keyword: str, otherwise: str = "") -> str:
        """A text, several values joined by backslashes."""
        value = self.raw.get(ELEMENTS[keyword])
        if isinstance(value, bytes):
            value = value.decode("ascii", "replace")
        return (value if isinstance(value, str) else "").strip("\0 ") or otherwise

    def number(self, keyword: str) -> float | None:
        """A decimal number; None if it is missing, empty, unreadable or not finite."""
        values = self.numbers(keyword, 1)
        return values[0] if values else None

    def numbers(self, keyword: str, count: int) -> list[float]:
        """``count`` decimal numbers, be they written with decimal commas; [] if they cannot be had."""
        text = self.text(keyword)
        values = _decimals(text)
        if len(values) < count:
            return []
        if "," in text:
            self.decimal_commas.add(keyword)
        return list(values[:count])


@lru_cache(maxsize=4096)  # the slices of a study say most numbers alike
def _decimals(text: str) -> tuple[float, ...]:
    """Decimal numbers between backslashes; none unless all are finite numbers."""
    try:
        values = tuple(float(part.replace(",", ".")) for part in text.split("\\"))
    except ValueError:
        return ()
    return values if all(map(math.isfinite, values)) else ()

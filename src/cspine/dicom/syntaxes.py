"""Where header and pixel data contradict each other, the data are believed: what they are is written in them.

The transfer syntax of the file meta information is wrong in files that were decompressed, compressed or relabelled
without care. Encapsulated data begin with an item, and each family of compressed images with marks of its own.
"""

from __future__ import annotations

from cspine.dicom import codestreams
from cspine.dicom.headers import EXPLICIT, ITEM, UNCOMPRESSED, Header

FAMILIES = (
    UNCOMPRESSED,
    codestreams.JPEG_LOSSY,
    codestreams.JPEG_LOSSLESS,
    codestreams.JPEG_LS,
    codestreams.JPEG_2000,
    (codestreams.RLE,),
)
RETIRED_JPEG = ("1.2.840.10008.1.2.4.5", "1.2.840.10008.1.2.4.6")  # how the UIDs of all JPEG processes begin
SOC_SIZ = b"\xff\x4f\xff\x51"  # how JPEG 2000 begins
ENOUGH = 65_536  # bytes of a compressed image that hold its header
# Start-of-frame marker -> of its family the syntax that promises least (lossy), as the header is not to be trusted.
JPEG_PROCESSES = {
    0xC0: codestreams.JPEG_LOSSY[0],
    0xC1: codestreams.JPEG_LOSSY[1],
    0xC3: codestreams.JPEG_LOSSLESS[0],
    0xF7: codestreams.JPEG_LS[1],
}


def believe_data(head: Header, remarks: list[tuple[str, str]]) -> None:
    """Correct the transfer syntax of a file's header where its pixel data show that they are of another family."""
    found = _syntax_of_data(head)
    known = head.syntax in UNCOMPRESSED or head.syntax in codestreams.FAST or head.syntax.startswith(RETIRED_JPEG)
    if known and found and _family(found) != _family(head.syntax):
        remarks.append(("syntax-contradicted", f"header says {head.syntax}, the data are {found}"))
        head.syntax = found


def believe_precision(head: Header, remarks: list[tuple[str, str]]) -> None:
    """Correct BitsStored of one frame's header where its JPEG 2000 data hold negative numbers of fewer bits, unsigned.

    The sign then stands at the highest bit of the compressed data's precision, not of BitsStored.
    """
    if head.syntax not in codestreams.JPEG_2000 or not head.signed:
        return
    frame = _first_fragment(head.pixel_data)
    size = codestreams.frame_size(frame)
    if size is not None and size[0] < head.bits and not frame[42] & 0x80:
        remarks.append(("signedness", f"header says {head.bits} bits, compressed data have {size[0]} without a sign"))
        head.bits, head.high_bit = size[0], size[0] - 1


def _syntax_of_data(head: Header) -> str:
    """A syntax of the family that the pixel data are of; "" if they do not tell."""
    data = head.pixel_data
    native = head.frames * head.rows * head.columns * head.allocated // 8
    if bytes(data[:4]) != ITEM or len(data) in (native, native + 1):
        return EXPLICIT if native <= len(data) <= native + 1 else ""
    frame = _first_fragment(data)
    if frame[:4] == SOC_SIZ:
        return codestreams.JPEG_2000[1]
    at = codestreams.start_of_frame(frame)
    if at is not None:
        return JPEG_PROCESSES.get(frame[at + 1], "")
    segments = int.from_bytes(frame[:4], "little"), int.from_bytes(frame[4:8], "little")
    return codestreams.RLE if segments == (head.allocated // 8, 64) else ""


def _first_fragment(data: bytes | memoryview) -> bytes:
    """The beginning of the first fragment after the offset table of encapsulated pixel data, as far as it is there."""
    at = 8 + int.from_bytes(data[4:8], "little")
    return bytes(data[at + 8 : at + 8 + min(ENOUGH, int.from_bytes(data[at + 4 : at + 8], "little"))])


def _family(syntax: str) -> tuple[str, ...]:
    return next((family for family in FAMILIES if syntax in family), ())

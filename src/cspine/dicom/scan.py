"""Finding the few needed elements in a file by walking over its tags, without reading any other value.

Parsing a header is what uncompressed slices cost most. This walk covers what CT files nearly always are (PS3.10 file
meta information, explicit or implicit VR little endian, one frame) and *declines* on any surprise, whatever it is:
pydicom parses then. It never guesses, so what it does return is what pydicom would have said (tests/test_scan.py).
"""

from __future__ import annotations

import struct

from cspine.dicom.codestreams import FAST
from cspine.dicom.headers import ELEMENTS, EXPLICIT, IMPLICIT, Header

PREAMBLE = 132  # 128 bytes and "DICM" (PS3.10 7.1)
META, SYNTAX = 0x0002, 0x0002_0010  # file meta information is explicit VR little endian (PS3.10 7.1)
PIXEL_DATA, FRAMES = ELEMENTS["PixelData"], ELEMENTS["NumberOfFrames"]
FUNCTIONAL_GROUPS = 0x5200  # enhanced objects say per frame what others say once
ITEM, ITEM_END, SEQUENCE_END = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD  # PS3.5 7.5
DELIMITERS = 0xFFFE  # their group
UNDEFINED = 0xFFFF_FFFF  # a length that only a delimiter tells (PS3.5 7.1.1)
DEEPEST = 16  # sequences inside sequences
# VRs with two reserved bytes and a length of 32 bits, and those with a length of 16 (PS3.5 7.1.2)
LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
# fmt: off
SHORT = frozenset((b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH",
                   b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"))
# fmt: on
WANTED = frozenset(ELEMENTS.values())
_explicit = struct.Struct("<HH2sH").unpack_from
_implicit = struct.Struct("<HHI").unpack_from
_length = struct.Struct("<I").unpack_from


class _SurpriseError(Exception):
    """The file is not what this walk can follow."""


def scan(content: bytes) -> Header | None:
    """The header of a whole file, its PixelData a view of ``content``; None when pydicom had better look."""
    try:
        return _scan(content)
    except (_SurpriseError, struct.error):
        return None


def _scan(content: bytes) -> Header:
    if content[PREAMBLE - 4 : PREAMBLE] != b"DICM":
        raise _SurpriseError
    at, syntax = _file_meta(content)
    explicit = syntax != IMPLICIT
    if not explicit and content[at + 4 : at + 6].isalpha():  # implicit by name only
        raise _SurpriseError
    raw = _elements(content, at, explicit, native=syntax in (IMPLICIT, EXPLICIT))
    if PIXEL_DATA not in raw or bytes(raw.get(FRAMES, b"")).strip(b"\0 ") not in (b"", b"1"):
        raise _SurpriseError
    return Header(raw, "little", syntax)


def _file_meta(content: bytes) -> tuple[int, str]:
    """Where the data set begins, and its transfer syntax."""
    at, before, syntax = PREAMBLE, 0, ""
    while True:
        tag, _, start, length = _element(content, at, explicit=True, meta=True)
        if tag >> 16 != META:
            break
        if tag <= before or length == UNDEFINED:
            raise _SurpriseError
        if tag == SYNTAX:
            syntax = content[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")
        before, at = tag, start + length
    if syntax not in (IMPLICIT, EXPLICIT) and syntax not in FAST:  # deflated, big endian, retired, private
        raise _SurpriseError
    return at, syntax


def _elements(content: bytes, at: int, explicit: bool, native: bool) -> dict[int, bytes | memoryview]:
    """Value by tag of the wanted elements of the data set that begins ``at``; every element of it is stepped over."""
    raw: dict[int, bytes | memoryview] = {}
    before, end = META << 16 | 0xFFFF, len(content)
    while at < end:
        tag, vr, start, length = _element(content, at, explicit)
        if tag <= before or tag >> 16 in (FUNCTIONAL_GROUPS, DELIMITERS):  # tags rise (PS3.5 7.1), none occurs twice
            raise _SurpriseError
        if tag == PIXEL_DATA and native == (length == UNDEFINED):
            raise _SurpriseError
        if length != UNDEFINED:
            at = start + length
        elif tag == PIXEL_DATA:
            length = _after_fragments(content, start) - 8 - start
            at = start + length + 8
        else:
            at = _after_items(content, start, vr, explicit)
        if at > end:
            raise _SurpriseError
        if tag in WANTED:
            if vr == b"SQ":
                raise _SurpriseError
            value = memoryview(content)[start : start + length]
            raw[tag] = value if tag == PIXEL_DATA else bytes(value)
        before = tag
    return raw


def _element(content: bytes, at: int, explicit: bool, meta: bool = False) -> tuple[int, bytes, int, int]:
    """(tag, VR or b"", where its value starts, length of the value) of the element ``at`` (PS3.5 7.1.2, 7.1.3)."""
    if not explicit:
        group, number, length = _implicit(content, at)
        return group << 16 | number, b"", at + 8, length
    group, number, vr, short = _explicit(content, at)
    tag = group << 16 | number
    if vr in SHORT:
        return tag, vr, at + 8, short
    if vr in LONG:
        if short:  # the reserved bytes
            raise _SurpriseError
        return tag, vr, at + 12, _length(content, at + 8)[0]
    if group == DELIMITERS or (meta and group != META):  # they have no VR; nor may what follows the file meta
        return tag, b"", at + 8, _length(content, at + 4)[0]
    raise _SurpriseError


def _after_fragments(content: bytes, at: int) -> int:
    """Where encapsulated pixel data end, their sequence delimiter included (PS3.5 A.4): without it they were cut."""
    while True:
        tag, _, start, length = _element(content, at, explicit=False)
        if tag == SEQUENCE_END and length == 0:
            return start
        if tag != ITEM or length == UNDEFINED:
            raise _SurpriseError
        at = start + length


def _after_items(content: bytes, at: int, vr: bytes, explicit: bool, depth: int = 0) -> int:
    """Where a sequence of undefined length ends, its delimiter included (PS3.5 7.5.2)."""
    if depth > DEEPEST or (explicit and vr != b"SQ"):  # of unknown VR: its items are implicit (PS3.5 6.2.2)
        raise _SurpriseError
    while True:
        tag, _, start, length = _element(content, at, explicit=False)
        if tag == SEQUENCE_END and length == 0:
            return start
        if tag != ITEM:
            raise _SurpriseError
        at = start + length if length != UNDEFINED else _after_item(content, start, explicit, depth)


def _after_item(content: bytes, at: int, explicit: bool, depth: int) -> int:
    """Where an item of undefined length ends, its delimiter included."""
    while True:
        tag, vr, start, length = _element(content, at, explicit)
        if tag == ITEM_END and length == 0:
            return start
        if tag >> 16 == DELIMITERS:
            raise _SurpriseError
        at = start + length if length != UNDEFINED else _after_items(content, start, vr, explicit, depth + 1)

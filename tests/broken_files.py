"""Ways to break a sound DICOM file, byte by byte, for the tests of reading."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from dicom_makers import dicom_bytes, neck

PREAMBLE = 132
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
PROCEDURE_CODE = (0x0008, 0x1032)  # a sequence that lies before the pixels


def called(content: bytes, old: str, new: str) -> bytes:
    """The file under another transfer syntax; nothing else of it changes."""
    before, after = _uid(old), _uid(new)
    at = content.index(b"\x02\x00\x10\x00UI")
    content = content[: at + 6] + struct.pack("<H", len(after)) + after + content[at + 8 + len(before) :]
    length = struct.unpack_from("<I", content, PREAMBLE + 8)[0] + len(after) - len(before)
    return content[: PREAMBLE + 8] + struct.pack("<I", length) + content[PREAMBLE + 12 :]


def without_meta(content: bytes) -> bytes:
    """The file with its preamble, but without file meta information."""
    return content[:PREAMBLE] + content[_data_set(content) :]


def with_implicit_meta(content: bytes) -> bytes:
    """The file with its file meta information written without VRs, against PS3.10 7.1."""
    meta, at, end = b"", PREAMBLE + 12, _data_set(content)
    while at < end:
        long = content[at + 4 : at + 6] == b"OB"
        start = at + (12 if long else 8)
        length = struct.unpack_from("<I" if long else "<H", content, at + (8 if long else 6))[0]
        meta += content[at : at + 4] + struct.pack("<I", length) + content[start : start + length]
        at = start + length
    return content[:PREAMBLE] + struct.pack("<HHII", 2, 0, 4, len(meta)) + meta + content[end:]


def with_sequence(
    vr: str, length: int | None = None, order: str = "<", junk: bytes | None = None, **options: Any
) -> bytes:
    """A slice with a sequence before its pixels: of this VR and declared length (None: the true one).

    ``junk`` takes the place of its items.
    """
    content = dicom_bytes(neck(), **options)
    inner = struct.pack(f"{order}HH", 8, 0x0100)
    inner += struct.pack("<I", 2) if vr == "UN" else b"SH" + struct.pack(f"{order}H", 2)
    inner += b"1 "
    items = struct.pack(f"{order}HHI", *ITEM, UNDEFINED) + inner + struct.pack(f"{order}HHI", *ITEM_END, 0)
    items = items if junk is None else junk
    end = struct.pack(f"{order}HHI", *SEQUENCE_END, 0) if length == UNDEFINED else b""
    declared = len(items) if length is None else length
    head = struct.pack(f"{order}HH2sHI", *PROCEDURE_CODE, vr.encode(), 0, declared)
    at = content.index(struct.pack(f"{order}HH", 0x0010, 0x0010) + b"PN")
    return content[:at] + head + items + end + content[at:]


def retyped(content: bytes, tag: tuple[int, int], vr: str) -> bytes:
    """An explicit little-endian file in which the element has the VR UN (or another of long form)."""
    at = content.index(struct.pack("<HH", *tag))
    length = struct.unpack_from("<H", content, at + 6)[0]
    return content[: at + 4] + vr.encode() + struct.pack("<HI", 0, length) + content[at + 8 :]


def flipped(content: bytes, among: tuple[int, int], count: int = 20, seed: int = 0) -> bytes:
    """The file with so many bytes changed, from ``among[0]`` to ``among[1]`` before its end."""
    rng = np.random.default_rng(seed)
    broken = bytearray(content)
    for at in rng.integers(len(content) - among[0], len(content) - among[1], count):
        broken[at] ^= int(rng.integers(1, 256))
    return bytes(broken)


def cut(content: bytes, count: int) -> bytes:
    """The file without its last bytes."""
    return content[:-count]


def _uid(syntax: str) -> bytes:
    return syntax.encode() + b"\0" * (len(syntax) % 2)


def _data_set(content: bytes) -> int:
    return PREAMBLE + 12 + int(struct.unpack_from("<I", content, PREAMBLE + 8)[0])

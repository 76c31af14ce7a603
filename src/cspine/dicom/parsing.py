"""The bytes of a file -> the few header elements that are needed, or why there are none.

Our own walk over the tags comes first (``scan``); what it declines, pydicom parses. Both give the same values.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from cspine.dicom.headers import ELEMENTS, Header, LeftOutError
from cspine.dicom.scan import PREAMBLE, scan

PIXEL_DATA = b"\xe0\x7f\x10\x00"  # its tag, little endian


@contextmanager
def silence() -> Iterator[None]:
    """pydicom warns of what is reported here with a code, and may quote a header's values when it does."""
    logger = logging.getLogger("pydicom")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = was_disabled


def parse(path: Path, remarks: list[tuple[str, str]]) -> Header:
    """The header of one file, its pixel data included; LeftOutError if it is none that can be read."""
    try:
        with path.open("rb", buffering=0) as stream:
            start = stream.read(PREAMBLE) or b""
            if not start:
                raise LeftOutError("zero-byte-file", "0 bytes")
            preamble = start[-4:] == b"DICM"
            if not preamble and not _starts_like_a_dataset(start):
                raise LeftOutError("not-dicom", "no DICOM marker")
            stream.seek(0)
            content = stream.readall()
    except FileNotFoundError as error:
        raise LeftOutError("file-missing", "not on disk") from error
    except OSError as error:
        raise LeftOutError("file-unreadable", f"{type(error).__name__}: {error.strerror}") from error
    return scan(content) or parse_by_pydicom(content, preamble, remarks)


def parse_by_pydicom(content: bytes, preamble: bool, remarks: list[tuple[str, str]]) -> Header:
    """The header of a whole file, of whatever kind; LeftOutError if it is none that can be read."""
    import pydicom
    from pydicom.tag import Tag

    try:
        with pydicom.config.disable_value_validation():
            tags = [Tag(number) for number in ELEMENTS.values()]
            dataset = pydicom.dcmread(BytesIO(content), force=not preamble, specific_tags=list(tags))
            known = preamble or "PixelData" in dataset or "SOPClassUID" in dataset
    except MemoryError:
        raise
    except Exception as error:  # on junk a parser may raise anything; its text may quote the header: not kept
        raise LeftOutError("header-unreadable", type(error).__name__) from error
    if not known:
        raise LeftOutError("not-dicom", "no element of an image")
    if "PixelData" not in dataset:
        if PIXEL_DATA in content[PREAMBLE:]:
            raise LeftOutError("truncated", "cut, or a length in its header leads past its pixel data")
        raise LeftOutError("no-pixel-data", "no PixelData")
    if not preamble:
        remarks.append(("no-preamble", "no DICM marker"))
    return Header.of_dataset(dataset)


def _starts_like_a_dataset(start: bytes) -> bool:
    """Whether a file without preamble begins with an element of group 2 or 8 and a sane length."""
    if len(start) < 8 or start[:2] not in (b"\x02\x00", b"\x08\x00"):
        return False
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    return explicit or int.from_bytes(start[4:8], "little") < 1 << 16

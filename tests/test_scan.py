"""The own walk over a header: what pydicom would say of the same file, or nothing."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from broken_files import PREAMBLE, UNDEFINED, called, with_implicit_meta, with_sequence, without_meta
from cspine.dicom.headers import ELEMENTS, Header, LeftOutError
from cspine.dicom.parsing import parse_by_pydicom, silence
from cspine.dicom.scan import scan
from cspine.phantom.plans import PhantomConfig, plan_studies
from cspine.phantom.study_files import make_study
from dicom_makers import BIG_ENDIAN, COMPRESSED, EXPLICIT, IMPLICIT, JPEG_LOSSLESS, compress, dicom_bytes, neck

REAL_CT = os.environ.get("CSPINE_REAL_CT", "")
NUMBERS = [k for k in ELEMENTS if k not in ("PixelData", "SharedFunctionalGroupsSequence")]


def values(head: Header) -> dict[str, Any]:
    """All that the header says, through the accessors that the reader uses."""
    raw = {k: (head.has(k), head.text(k), head.unsigned(k), tuple(head.numbers(k, 1))) for k in NUMBERS}
    fixed = (head.syntax, head.order, head.rows, head.columns, head.allocated, head.bits, head.high_bit, head.signed)
    return raw | {"": fixed, "PixelData": bytes(head.pixel_data)}


def agree(content: bytes) -> bool:
    """Whether the walk says what pydicom says; False where it declines. Anything else fails."""
    found = scan(content)
    if found is None:
        return False
    with silence():
        assert values(found) == values(parse_by_pydicom(content, True, []))
    return True


def sequence_of(*items: dict[str, Any]) -> Sequence:
    datasets = []
    for elements in items:
        ds = Dataset()
        for keyword, value in elements.items():
            setattr(ds, keyword, value)
        datasets.append(ds)
    return Sequence(datasets)


USUAL: dict[str, dict[str, Any]] = {
    "plain": {},
    "a round field of view": {"signed": True, "bits": 16, "intercept": 0, "PixelPaddingValue": -2000},
    "a long text before the pixels": {"ImageComments": "x" * 10_000},
    "a sequence": {"ReferencedImageSequence": sequence_of({"ReferencedSOPInstanceUID": "1.2.3"}, {})},
    "a sequence in a sequence": {
        "ProcedureCodeSequence": sequence_of({"CodeValue": "1", "EquivalentCodeSequence": sequence_of({}, {})})
    },
    "empty values": {"SliceThickness": "", "InstanceNumber": "", "PixelSpacing": ""},
    "one frame that is counted": {"NumberOfFrames": 1},
    "elements after the pixels": {"DataSetTrailingPadding": b"\0" * 8},
}


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, *COMPRESSED])
@pytest.mark.parametrize("kind", list(USUAL))
def test_the_usual_file_is_read_as_pydicom_reads_it(kind: str, syntax: str) -> None:
    assert agree(dicom_bytes(neck(), syntax=syntax, **USUAL[kind]))


@pytest.mark.parametrize("vr", ["SQ"])
@pytest.mark.parametrize("length", [None, UNDEFINED])
def test_sequences_of_either_length_are_stepped_over(vr: str, length: int | None) -> None:
    assert agree(with_sequence(vr, length))


def test_fragments_and_offset_tables_are_handed_out_as_they_are() -> None:
    frame = compress((neck() + 1024).astype(np.uint16), JPEG_LOSSLESS, 12)
    whole = dicom_bytes(neck(), syntax=JPEG_LOSSLESS, frame=frame)
    at = whole.index(b"\xe0\x7f\x10\x00") + 12
    for table in (b"", bytes(4)):
        items = [table, frame[:100], frame[100:] + b"\0" * (len(frame) % 2)]
        data = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(i)) + i for i in items)
        assert agree(whole[:at] + data + b"\xfe\xff\xdd\xe0\0\0\0\0")


def odd_files() -> dict[str, bytes]:
    plain, lossless = dicom_bytes(neck()), dicom_bytes(neck(), syntax=JPEG_LOSSLESS)
    element = plain.index(b"\x28\x00\x10\x00US")
    return {
        "no preamble": dicom_bytes(neck(), preamble=False),
        "no file meta": without_meta(plain),
        "implicit file meta": with_implicit_meta(plain),
        "big endian": dicom_bytes(neck(), syntax=BIG_ENDIAN),
        "deflated": called(plain, EXPLICIT, "1.2.840.10008.1.2.1.99"),
        "retired syntax": called(lossless, JPEG_LOSSLESS, "1.2.840.10008.1.2.4.55"),
        "explicit called implicit": called(plain, EXPLICIT, IMPLICIT),
        "implicit called explicit": called(dicom_bytes(neck(), syntax=IMPLICIT), IMPLICIT, EXPLICIT),
        "compressed called plain": called(lossless, JPEG_LOSSLESS, EXPLICIT),
        "plain called compressed": called(plain, EXPLICIT, JPEG_LOSSLESS),
        "two frames": dicom_bytes(neck(), NumberOfFrames=2),
        "functional groups": dicom_bytes(neck(), SharedFunctionalGroupsSequence=sequence_of({})),
        "an element twice": plain[:element] + plain[element : element + 10] + plain[element:],
        "tags that fall": plain[:element] + b"\x18\x00\x50\x00DS\x02\x001 " + plain[element:],
        "a VR that is none": plain[:element] + b"\x28\x00\x0f\x00Q?\x02\x001 " + plain[element:],
        "a sequence of unknown VR": with_sequence("UN", UNDEFINED),
        "a length beyond the file": with_sequence("SQ", 1 << 30),
        "pixels cut": plain[:-1],
        "no end of the frame": lossless[:-8],
        "no pixels": dicom_bytes(PixelData=None),
        "a stray delimiter": plain + b"\xfe\xff\x0d\xe0\0\0\0\0",
    }


@pytest.mark.parametrize("kind", list(odd_files()))
def test_the_odd_file_is_left_to_pydicom(kind: str) -> None:
    assert scan(odd_files()[kind]) is None


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, JPEG_LOSSLESS])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_of_a_damaged_file_the_walk_says_what_pydicom_says_or_nothing(syntax: str, data: st.DataObject) -> None:
    whole = (
        with_sequence("SQ", UNDEFINED) if syntax == EXPLICIT else dicom_bytes(neck(rows=4, columns=4), syntax=syntax)
    )
    damaged = bytearray(whole)
    end = min(len(whole), whole.index(b"\xe0\x7f\x10\x00") + 24)
    for at in data.draw(st.lists(st.integers(PREAMBLE, end - 1), min_size=1, max_size=3)):
        damaged[at] = data.draw(st.integers(0, 255))
    found = scan(bytes(damaged))
    if found is not None:
        try:
            with silence():
                expected = parse_by_pydicom(bytes(damaged), True, [])
        except LeftOutError as reason:
            pytest.fail(f"pydicom finds {reason}")
        assert values(found) == values(expected)


def test_every_file_of_the_phantom_is_read_without_pydicom(tmp_path: Path) -> None:
    config = PhantomConfig(seed=5, studies=8, test_studies=4, segmented=0, pixels=32, slices=[16, 16])
    for plan in plan_studies(config):
        make_study(plan, config, tmp_path)
    files = sorted(tmp_path.rglob("*.dcm"))
    assert len(files) > 150 and all(agree(path.read_bytes()) for path in files)


@pytest.mark.skipif(not REAL_CT, reason="CSPINE_REAL_CT does not name the folder of real CT files")
def test_real_files_are_read_as_pydicom_reads_them() -> None:
    files = [p for p in sorted(Path(REAL_CT).rglob("*")) if p.is_file() and p.read_bytes()[128:132] == b"DICM"]
    walked = [agree(path.read_bytes()) for path in files]
    assert len(files) > 100 and np.mean(walked) > 0.7

"""DICOM files and Kaggle folders of a few small slices, good and bad, for the tests of reading."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from cspine.studies import LABELS, VERTEBRAE

IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
JPEG_LOSSLESS, JPEG_LS, JPEG_2000 = (f"1.2.840.10008.1.2.4.{n}" for n in (70, 80, 90))
RLE = "1.2.840.10008.1.2.5"
COMPRESSED = (JPEG_LOSSLESS, JPEG_LS, JPEG_2000, RLE)
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
AXIAL = (1, 0, 0, 0, 1, 0)


def neck(z: float = 0.0, rows: int = 32, columns: int = 32) -> NDArray[np.int16]:
    """A slice in HU: air around a neck with a spine, no two rows or columns alike, different at every z."""
    y, x = np.mgrid[:rows, :columns].astype(float)
    radius = np.hypot((y - rows / 2) / rows, (x - columns / 2) / columns)
    image = np.where(radius < 0.45, 40 + x + 0.5 * y, -1000 + x)
    image = np.where(np.hypot(y - 0.6 * rows, x - 0.45 * columns) < 0.15 * rows, 900 + 3 * y + 5 * x + z, image)
    return image.round().astype(np.int16)


def dicom_bytes(
    hounsfield: NDArray[Any] | None = None,
    *,
    position: Sequence[float] | None = (0, 0, 0),
    orientation: Sequence[float] | None = AXIAL,
    number: int | None = 1,
    slope: float | None = 1,
    intercept: float | None = -1024,
    stored: NDArray[Any] | None = None,
    bits: int = 12,
    signed: bool = False,
    photometric: str = "MONOCHROME2",
    syntax: str = EXPLICIT,
    series: str = "1.2.3.1",
    spacing: Sequence[float] | None = (0.4, 0.5),
    preamble: bool = True,
    frame: bytes | None = None,
    **elements: Any,
) -> bytes:
    """One file. ``stored`` overrules ``hounsfield``; ``elements`` are DICOM keywords, None takes one away."""
    if stored is None:
        image = neck() if hounsfield is None else hounsfield
        stored = np.rint((image.astype(float) - (intercept or 0)) / (slope or 1)).astype(np.int64)
    pixels = stored.astype(np.int16 if signed else np.uint16)
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CT_IMAGE, f"1.2.3.4.{number or 0}"
    ds.Modality, ds.PatientName, ds.SeriesInstanceUID = "CT", "Nobody^Known", series
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, photometric
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, bits, bits - 1, int(signed)
    wanted: dict[str, Any] = {
        "ImagePositionPatient": position,
        "ImageOrientationPatient": orientation,
        "InstanceNumber": number,
    }
    wanted |= {"RescaleSlope": slope, "RescaleIntercept": intercept, "PixelSpacing": spacing}
    for keyword, value in wanted.items():
        if value is not None:
            setattr(ds, keyword, list(value) if isinstance(value, Sequence) else value)
    if syntax in COMPRESSED:
        ds.PixelData = encapsulate([frame if frame is not None else compress(pixels, syntax, bits)])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    else:
        ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(">" if syntax == BIG_ENDIAN else "<")).tobytes()
        ds["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return _written(ds, syntax, preamble)


def compress(pixels: NDArray[Any], syntax: str, bits: int) -> bytes:
    """One frame in a compressed transfer syntax."""
    unsigned = pixels.view(np.uint16)
    if syntax == JPEG_LOSSLESS:
        return bytes(imagecodecs.jpeg8_encode(unsigned, lossless=True, predictor=1, bitspersample=bits))
    if syntax == JPEG_LS:
        return bytes(imagecodecs.jpegls_encode(unsigned))
    if syntax == JPEG_2000:
        return bytes(imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="J2K"))
    planes = [imagecodecs.packbits_encode(p.astype(np.uint8).tobytes()) for p in (unsigned >> 8, unsigned & 255)]
    high, low = (plane + b"\0" * (len(plane) % 2) for plane in planes)
    return np.array([2, 64, 64 + len(high), *[0] * 13], "<u4").tobytes() + high + low


def write_study(folder: Path, heights: Sequence[float], names: Sequence[str] | None = None, **options: Any) -> Path:
    """A study of one file per height (z in mm), named 1.dcm, 2.dcm, ... unless ``names`` says otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, z in enumerate(heights):
        file = folder / (names[i] if names else f"{i + 1}.dcm")
        file.parent.mkdir(parents=True, exist_ok=True)
        given: dict[str, Any] = {"position": (-10, -20, z), "number": i + 1} | options
        file.write_bytes(dicom_bytes(neck(z), **given))
    return folder


def labels(fractured: str = "") -> dict[str, int]:
    """patient_overall, C1..C7 of a study whose named vertebrae are fractured, e.g. "C2 C5"."""
    vertebrae = {v: int(v in fractured.split()) for v in VERTEBRAE}
    return {"patient_overall": max(vertebrae.values()), **vertebrae}


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV with a header also when there is no row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(columns), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def write_raw_folder(
    root: Path,
    train: Mapping[str, str],
    boxes: Iterable[tuple[str, int]] = (),
    masks: Iterable[str] = (),
    test: Sequence[str] = ("test-1",),
    slices: int = 3,
    real: bool = False,
) -> Path:
    """A Kaggle folder. train: study -> fractured vertebrae; boxes: (study, slice_number); stubs unless ``real``."""
    rows = [{"StudyInstanceUID": uid, **labels(fractured)} for uid, fractured in train.items()]
    write_csv(root / "train.csv", ("StudyInstanceUID", *LABELS), rows)
    box = {"x": 5, "y": 6, "width": 7, "height": 8}
    box_rows = [{"StudyInstanceUID": uid, "slice_number": number, **box} for uid, number in boxes]
    columns = ("StudyInstanceUID", "x", "y", "width", "height", "slice_number")
    write_csv(root / "train_bounding_boxes.csv", columns, box_rows)
    asked = [{"row_id": f"{u}_{k}", "StudyInstanceUID": u, "prediction_type": k} for u in test for k in LABELS]
    write_csv(root / "test.csv", ("row_id", "StudyInstanceUID", "prediction_type"), asked)
    write_csv(root / "sample_submission.csv", ("row_id", "fractured"), [{**row, "fractured": 0.5} for row in asked])
    for cohort, uids in (("train_images", list(train)), ("test_images", test)):
        (root / cohort).mkdir(parents=True, exist_ok=True)
        for uid in uids:
            if real:
                write_study(root / cohort / uid, [-float(z) for z in range(slices)])
                continue
            (root / cohort / uid).mkdir()
            for n in range(1, slices + 1):
                (root / cohort / uid / f"{n}.dcm").write_bytes(f"{uid} {n}".encode())
    for uid in masks:
        (root / "segmentations").mkdir(exist_ok=True)
        (root / "segmentations" / f"{uid}.nii").write_bytes(uid.encode())
    return root


def _written(ds: Dataset, syntax: str, preamble: bool) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = UID(CT_IMAGE)
    ds.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    stream = BytesIO()
    if preamble:
        dcmwrite(stream, ds, enforce_file_format=True)
    else:
        plain = Dataset({e.tag: e for e in ds})
        dcmwrite(stream, plain, implicit_vr=syntax == IMPLICIT, little_endian=syntax != BIG_ENDIAN)
    return stream.getvalue()

"""Slices as DICOM files: the headers of a CT slice, nothing that names a person; same slice, same bytes.

Reference: DICOM PS3.3 A.3 (CT image), PS3.5 (encoding). No dates, no random UIDs: the study's UID is its
folder's name; series, frame of reference and instance are that UID with a number behind it.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, CTImageStorage

from cspine.phantom.patients import Grid
from cspine.phantom.plans import StudyPlan
from cspine.phantom.storage import PixelFormat

AIR = -1024  # HU that a reader gives to padding
IMPLEMENTATION = UID("2.25.915945879409508987978254843252048740")  # fixed, from no registry (PS3.5 B.2)


class SliceWriter:
    """Makes the files of one study; the header's common part is built once."""

    def __init__(self, plan: StudyPlan, grid: Grid) -> None:
        self.plan, self.grid = plan, grid
        self.header = _common_header(plan, grid)

    def encode(self, hu: npt.NDArray[np.int16], number: int, z: float, margin: int = 0) -> bytes:
        """The file of one slice.

        Args:
            hu: (rows, columns), HU.
            number: in the file's name.
            z: ImagePositionPatient[2], mm.
            margin: pixels that the file leaves out at each edge.
        """
        ds, plan = self.header, self.plan
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{plan.uid}.1.{number}")
        ds.InstanceNumber = number
        first_x, first_y = round(float(self.grid.x[margin]), 4), round(float(self.grid.y[margin]), 4)
        ds.ImagePositionPatient = [first_x, first_y, z]
        ds.SliceLocation = z
        stored = stored_pixels(hu, plan.stored)
        stored = np.ascontiguousarray(stored[margin : len(stored) - margin, margin : stored.shape[1] - margin])
        ds.Rows, ds.Columns = stored.shape
        if plan.compressed:
            bits = plan.stored.bits_stored
            frame = imagecodecs.jpeg8_encode(stored.view("<u2"), lossless=True, predictor=1, bitspersample=bits)
            ds.PixelData = encapsulate([bytes(frame)])
            ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        else:
            ds.PixelData = stored.tobytes()
            ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OW", False
        file = BytesIO()
        dcmwrite(file, ds, enforce_file_format=True)
        return file.getvalue()


def stored_pixels(hu: npt.NDArray[np.int16], form: PixelFormat) -> npt.NDArray[np.int16 | np.uint16]:
    """HU (rows, columns) as the numbers a file of this format holds, padding outside the round field included."""
    stored = hu.astype(np.int32) - form.intercept
    if form.slope != 1:
        stored = np.rint(stored / form.slope).astype(np.int32)
    if form.padding is not None:
        stored[outside_field(hu.shape)] = form.padding
    return stored.astype("<i2" if form.signed else "<u2")


def outside_field(shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Which pixels of a slice (rows, columns) lie outside the circle that fits into it."""
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in shape)
    return np.hypot(rows[:, None], columns[None, :]) > min(shape) / 2


def read_hu(path: Path) -> npt.NDArray[np.int16]:
    """A slice in HU, padding as air, for looking at the phantom. (The pipeline has its own, careful reader.)"""
    ds = dcmread(path)
    stored = ds.pixel_array
    hu = np.asarray(stored * float(ds.RescaleSlope) + float(ds.RescaleIntercept)).astype(np.int16)
    if "PixelPaddingValue" in ds:
        hu[stored == ds.PixelPaddingValue] = AIR
    return hu


def _common_header(plan: StudyPlan, grid: Grid) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = UID(plan.syntax)
    meta.ImplementationClassUID = IMPLEMENTATION
    meta.ImplementationVersionName = "CSPINE_PHANTOM"
    ds = Dataset()
    ds.file_meta = meta
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.Modality = "CT"
    ds.PatientName = ds.PatientID = ""
    ds.BodyPartExamined = "CSPINE"
    ds.SliceThickness = plan.thickness
    ds.PatientPosition = "HFS"
    ds.StudyInstanceUID = plan.uid
    ds.SeriesInstanceUID = f"{plan.uid}.1"
    ds.SeriesNumber = 1
    ds.FrameOfReferenceUID = f"{plan.uid}.2"
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [grid.spacing, grid.spacing]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    form = plan.stored
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, form.bits_stored, form.bits_stored - 1
    ds.PixelRepresentation = int(form.signed)
    if form.padding is not None:
        ds.add_new("PixelPaddingValue", "SS" if form.signed else "US", form.padding)
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = form.intercept, form.slope, "HU"
    ds.WindowCenter, ds.WindowWidth = 400, 2000
    return ds

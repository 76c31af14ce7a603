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
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, JPEGLosslessSV1

from cspine.phantom.patients import Grid
from cspine.phantom.plans import StudyPlan

INTERCEPT = -1024  # stored value 0 = -1024 HU, so that air and bone fit 12 unsigned bits
IMPLEMENTATION = UID("2.25.915945879409508987978254843252048740")  # fixed, from no registry (PS3.5 B.2)


class SliceWriter:
    """Makes the files of one study; the header's common part is built once."""

    def __init__(self, plan: StudyPlan, grid: Grid) -> None:
        self.plan, self.grid = plan, grid
        self.header = _common_header(plan, grid)

    def encode(self, hu: npt.NDArray[np.int16], number: int, z: float) -> bytes:
        """The file of one slice (rows, columns) in HU with file number ``number`` at position ``z`` mm."""
        ds, plan = self.header, self.plan
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{plan.uid}.1.{number}")
        ds.InstanceNumber = number
        first_x, first_y = round(float(self.grid.x[0]), 4), round(float(self.grid.y[0]), 4)
        ds.ImagePositionPatient = [first_x, first_y, z]
        ds.SliceLocation = z
        stored = (hu - INTERCEPT).astype("<u2")
        if plan.compressed:
            bits = plan.bits_stored
            frame = imagecodecs.jpeg8_encode(stored, lossless=True, predictor=1, bitspersample=bits)
            ds.PixelData = encapsulate([bytes(frame)])
            ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        else:
            ds.PixelData = stored.tobytes()
            ds["PixelData"].VR = "OW"
        file = BytesIO()
        dcmwrite(file, ds, enforce_file_format=True)
        return file.getvalue()


def read_hu(path: Path) -> npt.NDArray[np.int16]:
    """A slice in HU, for looking at the phantom. (The pipeline reads slices with its own, careful reader.)"""
    ds = dcmread(path)
    return np.asarray(ds.pixel_array.astype(np.int16) + int(ds.RescaleIntercept), np.int16)


def _common_header(plan: StudyPlan, grid: Grid) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = JPEGLosslessSV1 if plan.compressed else ExplicitVRLittleEndian
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
    _, ds.Rows, ds.Columns = grid.shape
    ds.PixelSpacing = [grid.spacing, grid.spacing]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, plan.bits_stored, plan.bits_stored - 1
    ds.PixelRepresentation = 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = INTERCEPT, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = 400, 2000
    return ds

"""Every reason code of a finding: how much it matters, and what it means in one line.

docs/findings.md says the same line for line (a test holds the two together), the audit's page shows it, and the keys
``audit.exclude_codes`` may name them. Standard library only: the config is checked with it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

#: From the worst: what the severities mean, and what a finding of each adds to a study's score.
SEVERITIES = {
    "lost": ("a study gives nothing", 100),
    "doubtful": ("labels, boxes, a mask or the order of slices may be wrong", 10),
    "partly": ("something was left out, the rest is used", 3),
    "noted": ("used as it is", 1),
}


class ReasonCode(NamedTuple):
    """What is known of a code."""

    severity: str  # a key of SEVERITIES
    meaning: str  # what was found, as in docs/findings.md


_RAW_FOLDER = {
    "no-folder": ("lost", "study of train.csv without a folder in train_images"),
    "no-labels": ("partly", "folder in train_images that train.csv does not name"),
    "test-without-folder": (
        "lost",
        "study asked for by test.csv or sample_submission.csv without a folder in test_images",
    ),
    "test-not-asked-for": ("noted", "folder in test_images that nothing asks for"),
    "empty-folder": ("lost", "study folder without a file"),
    "duplicate-study": ("noted", "second row of a study in train.csv, with the same labels"),
    "duplicate-other-labels": ("doubtful", "second row of a study in train.csv, with other labels"),
    "overall-not-max": ("doubtful", "patient_overall is not the largest of C1..C7, as far as they are known"),
    "partial-labels": ("noted", "blank labels of a study that do not follow from its others"),
    "unknown-overall": ("partly", "patient_overall is blank, and does not follow from C1..C7"),
    "boxes-of-unknown-study": ("partly", "boxes of a study that train.csv does not name"),
    "mask-of-unknown-study": ("partly", "segmentation of a study that train.csv does not name"),
    "no-masks": ("noted", "no folder segmentations/"),
    "study-in-both-cohorts": ("doubtful", "study folder in test_images that is a training study too"),
    "no-test-csv": ("noted", "no test.csv"),
    "row-not-in-test-csv": ("noted", "row of sample_submission.csv that test.csv lacks"),
    "unreadable-row-id": ("doubtful", "row_id that is not `<StudyInstanceUID>_<prediction_type>`"),
    "duplicate-row-id": ("noted", "row_id that occurs more than once in sample_submission.csv"),
}

_NO_SLICE = {
    code: ("partly", meaning)
    for code, meaning in {
        "file-missing": "listed in the inventory, not on disk when it was read",
        "zero-byte-file": "0 bytes",
        "file-unreadable": "the system would not open or read it",
        "not-dicom": (
            "neither a DICOM marker nor anything that looks like a DICOM data set (notes, thumbnails, fakes)"
        ),
        "header-unreadable": "the header cannot be parsed",
        "reader-failed": "our reader failed in a way it does not know; please report it",
        "no-pixel-data": "DICOM without an image (index files, reports, a file that ends in its header)",
        "truncated": "fewer bytes of pixel data than the header asks for, or no end of the compressed data",
        "corrupt-frame": (
            "the compressed image cannot be decoded (or its decoder died of it), has another size, or ends in rows "
            "that were never decoded"
        ),
        "unsupported-syntax": "a transfer syntax nothing here decodes (the retired JPEG processes)",
        "unsupported-bits": "more than 16 bits, or a depth that cannot be",
        "implausible-size": "rows or columns 0 or above 4096, or more than 10,000 frames",
        "not-ct": "another modality",
        "not-greyscale": "colour or palette: secondary captures, dose sheets",
        "multi-frame": "a secondary capture of several frames (of enhanced CT each frame is a slice)",
        "secondary-capture": "a secondary capture that does not say where it lies: a dose sheet, a screen shot",
        "burned-in-text": "BurnedInAnnotation YES: text in the pixels may name the patient",
        "localizer": "ImageType says localizer, surview, scout or topogram",
        "not-axial": "the slice lies more than 31.8 degrees off the axial plane",
        "other-series": "of a series (or frame of reference) smaller than the study's largest",
        "other-orientation": "not parallel (2 degrees) to most slices, or rotated in plane",
        "other-size": "rows x columns other than most slices', and nothing says where it lies",
        "no-place": "no position, and no number that would place it among the others, most of which have one",
        "duplicate-position": "within 0.02 mm of a slice of the commoner size, or one that comes first by file name",
        "duplicate-file": "in a study without positions, InstanceNumber and pixels of an earlier file",
    }.items()
}

_SLICES_USED = {
    "no-preamble": ("noted", "DICOM data set without preamble and marker"),
    "decimal-comma": ("noted", "numbers written with decimal commas (the detail names them)"),
    "syntax-contradicted": ("noted", "the pixel data are not of the transfer syntax in the header"),
    "lossy": ("noted", "lossy compression, now or earlier"),
    "decoded-again": ("noted", "the fast decoder failed or gave other pixels"),
    "monochrome1": ("noted", "PhotometricInterpretation MONOCHROME1"),
    "padding": ("noted", "pixels with the declared padding value"),
    "padding-ignored": ("noted", "a declared padding value that lies among tissue values"),
    "high-bits": ("noted", "bits set above BitsStored"),
    "signedness": ("noted", "header and JPEG 2000 data disagree on the sign or on its bit"),
    "no-rescale": ("doubtful", "no usable RescaleSlope or RescaleIntercept"),
    "not-hounsfield": ("doubtful", "RescaleType says that the values are no Hounsfield units (perfusion, spectral CT)"),
    "no-spacing": ("noted", "no usable PixelSpacing"),
    "spacing-varies": ("noted", "PixelSpacing changes within the study"),
    "sizes-vary": ("noted", "rows x columns change within the study"),
    "no-orientation": ("doubtful", "no usable ImageOrientationPatient"),
    "turned-upright": ("noted", "image stored turned or mirrored"),
    "gantry-tilt": ("noted", "slices tilted by more than 1 degree"),
    "uneven-spacing": ("noted", "a gap more than 1.5 times the median one"),
    "no-position": ("noted", "ImagePositionPatient missing in some slices"),
    "positions-all-equal": ("doubtful", "all slices at one position"),
    "ordered-by-instance-number": ("doubtful", "no usable positions"),
    "ordered-by-file-name": ("doubtful", "no usable positions and InstanceNumbers"),
    "series-uid-per-file": ("noted", "each slice of a series (or frame of reference) of its own"),
    "repeated-file-number": ("noted", "two files with one number in their names"),
    "frame-without-number": ("noted", "slices of a file of several frames, in a study of more files"),
    "file-changed": ("noted", "another size than when it was listed"),
    "no-readable-slice": ("lost", "no file of the study gave a slice"),
    "decoder-crash": ("lost", "the worker process that read the study was killed, twice"),
}

_VIEWS = {
    "spine-not-found": ("partly", "the localizer shows no vertebra in any slice of the study"),
    "study-changed": ("partly", "other slices came than the index has"),
    "not-resampled": ("lost", "the study's slices could not be resampled to a volume"),
    "gaps-filled": ("noted", "slices at unequal distances, in a study made a volume"),
}

_BOXES = {
    "box-not-a-number": ("partly", "a value that is not a finite number"),
    "box-unknown-study": ("partly", "study without labels, or whose patient_overall is unknown"),
    "box-in-unfractured-study": ("doubtful", "train.csv calls the study unfractured"),
    "box-in-unreadable-study": ("partly", "the study has no slices"),
    "box-without-slice": ("doubtful", "slice_number of no readable slice"),
    "box-without-area": ("partly", "width or height 0 or below"),
    "box-outside-image": ("doubtful", "no part inside the image"),
    "box-clipped": ("noted", "a part outside the image"),
    "box-twice": ("noted", "two equal rows"),
    "box-without-vertebra": ("doubtful", "a boxed study whose vertebrae train.csv all calls unfractured"),
    "boxed-without-valid-box": ("doubtful", "a boxed study none of whose boxes is valid"),
}

_ASSIGNED = {
    "boxes-off-prediction": ("doubtful", "the localizer sees no fractured vertebra of the study in any boxed slice"),
}

_MASKS = {
    "mask-unreadable": ("partly", "not a three-dimensional NIfTI file of labels 0 to 19"),
    "mask-reader-crash": ("partly", "the worker process that read the mask and its slices was killed, twice"),
    "mask-without-slices": ("partly", "no slice of the study could be read"),
    "mask-empty": ("partly", "no voxel has a label"),
    "mask-without-place": ("partly", "not as many planes as readable slices, or not their shape, and no usable header"),
    "mask-off-bone": ("doubtful", "turned in no way do the labels lie on bone: wrong, or of another study"),
    "mask-unproved": ("noted", "no slice could be compared with the mask"),
    "mask-header-wrong": ("noted", "the header does not agree with the study, or by it the labels do not lie on bone"),
    "mask-turned": ("doubtful", "the labels lie on bone when turned in another way than header and rule say"),
    "mask-other-slice-count": ("noted", "not as many planes as readable slices"),
    "mask-other-size": ("noted", "planes of another size than the slices"),
    "mask-stray-labels": (
        "noted",
        "regions apart from their vertebra, below a tenth of its largest region, or out of order from head to feet",
    ),
}

_AUDIT = {
    "same-pixels": ("doubtful", "its slices are those of another study of its cohort, the first labelled one by name"),
    "same-pixels-other-labels": ("doubtful", "two training studies of the same slices that are labelled differently"),
    "same-pixels-as-test": ("noted", "a training study whose slices are those of a test study of another name"),
    "slices-all-equal": ("doubtful", "all slices are cached as one and the same picture: blank, or outside the window"),
    "missing-slices": ("doubtful", "file numbers are missing, and the positions have gaps"),
    "numbering-holes": ("noted", "file numbers are missing, but the positions have no gap"),
    "numbers-not-in-order": ("doubtful", "file numbers neither rise nor fall along the spine"),
    "short-extent": (
        "doubtful",
        "from the first to the last slice less than 100 mm, or than 0.7 of the usual: C1 to C7 may not be there",
    ),
    "thick-slices": ("noted", "slices more than 3 mm apart"),
    "field-of-view": ("noted", "a field of view below 100 or above 400 mm"),
    "unusual-size": ("noted", "rows x columns other than those of most training studies"),
    "boxes-off-fracture": ("doubtful", "the mask shows no fractured vertebra within 5 mm of any boxed slice"),
    "box-off-fracture": ("doubtful", "the mask shows no fractured vertebra within 5 mm of some boxed slices"),
    "vertebra-without-box": ("noted", "a fractured vertebra of the mask that no boxed slice shows"),
    "mask-lacks-fracture": ("doubtful", "a vertebra that train.csv calls fractured is not in the study's mask"),
    "mask-lacks-level": ("doubtful", "the mask lacks a vertebra between two that it has"),
    "mask-incomplete": ("noted", "the mask does not reach from C1 to C7"),
    "mask-level-order": ("doubtful", "the mask's vertebrae are not in order from head to feet"),
    "exclude-unknown-study": ("noted", "audit.exclude_studies names a study that is not there (or not in the subset)"),
    "exclude-test-study": ("noted", "audit.exclude_studies names a test study"),
}

_IMPORT = {
    "import-row-without-study": ("partly", "a row of the CSV of labels that names no study"),
    "import-row-without-folder": ("lost", "a row of the CSV of labels whose study has no folder"),
    "import-folder-without-row": ("partly", "a study folder that no row of the CSV names"),
    "import-duplicate-row": ("noted", "a second row of a study, with the same labels"),
    "import-duplicate-other-labels": ("doubtful", "a second row of a study, with other labels"),
    "import-box-unreadable": ("partly", "a box with a value that is not a finite number"),
    "import-box-of-unknown-study": ("partly", "a box of a study that is not imported with labels"),
    "import-mask-of-unknown-study": ("partly", "a mask of a study that is not imported with labels"),
    "import-other-file": ("noted", "files beside the study folders, or files that are no masks beside the masks"),
}

_EVALUATION = {
    "seen-in-training": ("noted", "a labelled study that a model of the bundle was taught or chosen by"),
}

SECTIONS = {
    "The raw folder (inventory)": _RAW_FOLDER,
    "Files that give no slice (ingest)": _NO_SLICE,
    "Slices that are used all the same (ingest)": _SLICES_USED,
    "Crops and volumes (ingest_crops, ingest_volumes)": _VIEWS,
    "Boxes (label_slices)": _BOXES,
    "Boxes given to vertebrae (assign_boxes)": _ASSIGNED,
    "Masks (label_presence)": _MASKS,
    "Studies against each other (audit_studies)": _AUDIT,
    "Other data (cspine import)": _IMPORT,
    "Evaluating a bundle (predict_with_bundle)": _EVALUATION,
}

LEFT_OUT = frozenset(_NO_SLICE)  #: codes of files that gave no slice
CODES = {code: ReasonCode(*row) for section in SECTIONS.values() for code, row in section.items()}
UNEXPLAINED = ReasonCode("noted", "not explained yet: see docs/findings.md")


def score(codes: Iterable[str]) -> int:
    """How bad a study with these codes is: each kind of finding counts once."""
    return sum(SEVERITIES[explained(code).severity][1] for code in set(codes))


def worst(codes: Iterable[str]) -> str:
    """The worst severity among ``codes``; "" when there is none."""
    found = {explained(code).severity for code in codes}
    return next((severity for severity in SEVERITIES if severity in found), "")


def explained(code: str) -> ReasonCode:
    """What is known of a code, also of one that this table does not have yet."""
    return CODES.get(code, UNEXPLAINED)


def unknown(codes: Iterable[str]) -> list[str]:
    """A phrase for each of ``codes`` that is none: the code and the ones that look like it."""
    phrases = []
    for code in codes:
        if code not in CODES:
            near = difflib.get_close_matches(code, CODES, n=5, cutoff=0.5)
            alike = f"did you mean {', '.join(near)}? " if near else ""
            phrases.append(f"no reason code {code!r}; {alike}docs/findings.md lists all {len(CODES)}")
    return phrases

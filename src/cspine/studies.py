"""The labels of a study and their order, as in the competition's train.csv: patient_overall, then C1..C7."""

from __future__ import annotations

VERTEBRAE = ("C1", "C2", "C3", "C4", "C5", "C6", "C7")
LABELS = ("patient_overall", *VERTEBRAE)
PRESENCE = tuple(f"present_{vertebra}" for vertebra in VERTEBRAE)  #: whether a slice shows it; NaN = unknown
#: what a cell of a slice and a vertebra counts in the loss, 0..1
CONFIDENCE = tuple(f"confidence_{vertebra}" for vertebra in VERTEBRAE)
UID = "StudyInstanceUID"
UNKNOWN = -1  #: a label nobody knows: of a study without labels, or a blank cell of train.csv

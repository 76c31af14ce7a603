"""The labels of a study and their order: patient_overall first, then C1..C7 (reference: the competition's train.csv)."""

from __future__ import annotations

VERTEBRAE = ("C1", "C2", "C3", "C4", "C5", "C6", "C7")
LABELS = ("patient_overall", *VERTEBRAE)
UID = "StudyInstanceUID"
UNKNOWN = -1  #: the label of a study nobody has labelled

"""The labels of a study and their order, as in the competition's train.csv: patient_overall, then C1..C7."""

from __future__ import annotations

VERTEBRAE = ("C1", "C2", "C3", "C4", "C5", "C6", "C7")
LABELS = ("patient_overall", *VERTEBRAE)
UID = "StudyInstanceUID"
UNKNOWN = -1  #: the label of a study nobody has labelled

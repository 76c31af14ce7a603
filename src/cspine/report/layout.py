"""Which files the report is made of, by name: the rule asks for them and the stage writes them, in this order."""

from __future__ import annotations

FIGURES = (
    "scores",
    "comparison",
    "labels",
    "pseudo_labels",
    "training",
    "training_rates",
    "roc",
    "areas",
    "precision_recall",
    "calibration",
    "brier",
    "confusion",
    "thresholds",
    "costs",
)
FORMS = ("png", "svg")
#: tables of ``analyse_errors`` that the report reads
ERRORS = (
    "points",
    "confusion",
    "thresholds",
    "curves",
    "areas",
    "reliability",
    "calibration",
    "properties",
    "slice_aucs",
)

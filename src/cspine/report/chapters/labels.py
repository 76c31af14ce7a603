"""What the models are taught: labels with where they come from, and how good the pseudo-labels are."""

from __future__ import annotations

import pandas as pd

from cspine.report.config import ReportConfig
from cspine.report.figures.labels import labels as drawn_labels
from cspine.report.figures.pseudo_labels import pseudo_labels
from cspine.report.parts import Chapter, Folded, Listing, Part, Words
from cspine.report.taught import NOUNS, as_of_slices


def labels(sets: pd.DataFrame, quality: pd.DataFrame, text: str, config: ReportConfig) -> Chapter:
    """The training sets of each round by source, and what the pseudo-labels are worth.

    Args:
        sets: training_set.parquet of every round and fold, with columns round and fold.
        quality: pseudo_quality.parquet of all rounds and folds, with columns round and fold; empty where there is none.
        text: pseudo_quality.txt; "" where there is none.
        config: see ReportConfig.
    """
    parts: list[Part] = [
        drawn_labels(as_of_slices(sets), config.about, NOUNS[config.unit]),
        pseudo_labels(quality, config.about),
    ]
    if text:
        parts += [
            Folded("How good the pseudo-labels are, in full", [Listing(text)]),
            Words(
                f"The most doubtful with their slices: snakemake pseudo_pages makes results/"
                f"{config.method}/pseudo_labels.html.",
                  soft=True),
        ]  # fmt: skip
    return Chapter("labels", "Labels and pseudo-labels", parts)

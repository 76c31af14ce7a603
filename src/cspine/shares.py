"""A share of the studies to be taught: what a system of few studies would be with more of them can be asked (S0a)."""

from __future__ import annotations

from collections.abc import Set

import pandas as pd

from cspine.folds import readable_training_studies
from cspine.hashing import seed_of
from cspine.studies import UID


def share_of_studies(studies: pd.DataFrame, taught: Set[str], share: float, seed: int) -> set[str]:
    """The first ``share`` of the fractured and of the whole studies, by a seeded hash of their names.

    A larger share contains the smaller ones, and of each kind of which there is a study one at least is taken.

    Args:
        studies: index/studies.parquet.
        taught: StudyInstanceUIDs to draw from.
        share: above 0, up to 1.
        seed: of the draw.
    """
    known = readable_training_studies(studies)
    drawn: set[str] = set()
    for _, kind in known[known[UID].isin(taught)].groupby("patient_overall"):
        ranked = sorted(kind[UID], key=lambda uid: (seed_of("share", seed, uid), uid))
        drawn.update(ranked[: max(1, round(share * len(ranked)))])
    return drawn

"""What is known of a whole study, in words."""

from __future__ import annotations

import pandas as pd

from cspine.studies import LABELS, UID, VERTEBRAE

#: what a study is to the models that predict it -> how a sentence says it
ROLES = {
    "heldout": "Held out: the models of fold {fold}, which predict it here, were not taught it.",
    "select": "Not taught to the models of fold {fold}, which predict it here; their thresholds were chosen on it.",
    "train": "Taught to the models of fold {fold}, which predict it here: no test of them.",
    "test": "Test study, predicted by the models of fold {fold}.",
}


def in_index(cohort: str) -> str:
    """Where the studies of a cohort (heldout, test, or a training study's role) are in the index: train or test."""
    return "test" if cohort == "test" else "train"


def in_words(studies: pd.DataFrame, slices: pd.DataFrame, cohort: str, uid: str) -> str:
    """``fractured: C2 C5``, ``unfractured``, ``fractured; unknown: C3``, ``not labelled``.

    Args:
        studies: index/studies.parquet. Test studies have no labels there.
        slices: the study's, from ``slice_facts``: the phantom's truth counts where the study has no labels.
        cohort: train | test.
        uid: of the study.
    """
    row = studies[(studies["cohort"] == cohort) & (studies[UID] == uid)]
    labels = {name: int(row[name].iloc[0]) if len(row) else -1 for name in LABELS}
    hidden = slices[[f"truth_{v}" for v in VERTEBRAE]]
    if set(labels.values()) == {-1} and hidden.notna().to_numpy().any():
        found = [v for v in VERTEBRAE if (hidden[f"truth_{v}"] > 0).any()]
        return f"fractured: {' '.join(found)} (hidden truth)" if found else "unfractured (hidden truth)"
    fractured = [v for v in VERTEBRAE if labels[v] == 1]
    unknown = [v for v in VERTEBRAE if labels[v] == -1]
    if labels[LABELS[0]] == 0 and not fractured:
        return "unfractured"
    if labels[LABELS[0]] != 1 and not fractured:
        return "not labelled"
    words = f"fractured: {' '.join(fractured)}" if fractured else "fractured"
    return f"{words}; unknown: {' '.join(unknown)}" if unknown else words

"""What the page calls a study."""

from __future__ import annotations

import pandas as pd

from cspine.studies import UID


def names_of(shown: pd.DataFrame, others: list[str], how: str) -> dict[str, str]:
    """StudyInstanceUID -> its name in the page.

    A number says nothing about the patient and cannot be undone by trying, as a digest of a public UID could; who has
    results/<method>/report/shown.parquet finds the study by its line.

    Args:
        shown: shown.parquet, whose lines are the numbers.
        others: studies that may be named besides.
        how: plain | numbered.
    """
    uids = list(dict.fromkeys([*shown[UID], *others]))
    if how == "plain":
        return {uid: uid for uid in uids}
    return {uid: f"study {number}" for number, uid in enumerate(uids, start=1)}

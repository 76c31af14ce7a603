"""What the tables together show to be odd about a study, each as a finding. Pure functions on tables.

The limits are ASSUME: they mark what a person should look at, and leave nothing out by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from cspine.findings import Finding
from cspine.studies import LABELS, UID

SHORT_MM = 100.0  #: ASSUME: C1 to C7 of an adult measure 100 to 140 mm
SHORT_SHARE = 0.7  #: of the cohort's usual extent
THICK_MM = 3.0  #: ASSUME: a fracture line fades in thicker slices; the real set has 1 mm and less
FIELD_MM = (100.0, 400.0)  #: ASSUME: a narrower field does not hold a neck, a wider one is a body's

#: reason code -> what is done about it
CONSEQUENCES = {
    "same-pixels": "used; in two folds, what is taught in one would be scored in the other",
    "same-pixels-other-labels": "used; the labels of one of them are wrong",
    "same-pixels-as-test": "taught; what the model says of the test study is no test",
    "slices-all-equal": "used; it shows nothing",
    "missing-slices": "read without them; the positions tell",
    "numbering-holes": "nothing to do: only the numbers are odd",
    "numbers-not-in-order": "ordered by position; boxes go by the number in the file name",
    "short-extent": "used; the label of a vertebra that is not shown is right for no slice",
    "thick-slices": "used",
    "field-of-view": "used; the neck has another size in pixels",
    "unusual-size": "resized like all others",
}


def check_stacks(studies: pd.DataFrame) -> Iterator[Finding]:
    """Stacks that are short, thick, unusual in size, or lack slices.

    Args:
        studies: cohort, StudyInstanceUID, slices, thickness (mm) and the columns of ``stacks.stack_numbers``, of the
            studies that have slices.
    """
    training = studies[studies["cohort"] == "train"]
    cohort = training if len(training) else studies
    usual_extent = float(cohort["extent_mm"].median())
    sizes = (cohort["rows"].astype(str) + " x " + cohort["columns"].astype(str)).mode()
    usual_size = sizes.iloc[0] if len(sizes) else ""
    for row in studies.to_dict("records"):
        uid = str(row[UID])
        if not row["pixels"]:
            yield _finding(uid, "slices-all-equal", f"{row['slices']} slices")
        if row["missing"]:
            yield _missing(uid, row)
        if not row["in_order"]:
            yield _finding(uid, "numbers-not-in-order", "the numbers rise and fall from head to feet")
        if row["extent_mm"] < max(SHORT_MM, SHORT_SHARE * usual_extent):
            detail = f"{row['extent_mm']:.0f} mm in {row['slices']} slices; usual: {usual_extent:.0f} mm"
            yield _finding(uid, "short-extent", detail)
        if row["thickness"] > THICK_MM:
            yield _finding(uid, "thick-slices", f"{row['thickness']:.1f} mm apart")
        if not FIELD_MM[0] <= max(row["height_mm"], row["width_mm"]) <= FIELD_MM[1]:
            yield _finding(uid, "field-of-view", f"{row['height_mm']:.0f} x {row['width_mm']:.0f} mm")
        size = f"{row['rows']} x {row['columns']}"
        if size != usual_size:
            yield _finding(uid, "unusual-size", f"{size}; usual: {usual_size}")


def check_duplicates(studies: pd.DataFrame) -> Iterator[Finding]:
    """Studies that show the same slices under several names.

    Args:
        studies: cohort, StudyInstanceUID, pixels (a digest of all slices) and the labels, of the studies with slices.
    """
    several = studies[(studies["pixels"] != "") & studies.duplicated("pixels", keep=False)].sort_values(["cohort", UID])
    for _, group in several.groupby("pixels", sort=True):
        train, test = group[group["cohort"] == "train"], group[group["cohort"] == "test"]
        yield from _twins(train)
        yield from _twins(test)
        for uid in train[UID]:
            others = sorted(set(test[UID]) - {uid})
            if others:
                yield _finding(uid, "same-pixels-as-test", f"as {', '.join(others)}")


def _twins(group: pd.DataFrame) -> Iterator[Finding]:
    labelled = group[group["patient_overall"] >= 0]
    if any({0, 1} <= set(labelled[label]) for label in LABELS):  # what only one of them knows is no contradiction
        for uid in group[UID]:
            others = ", ".join(other for other in group[UID] if other != uid)
            yield _finding(uid, "same-pixels-other-labels", f"as {others}, which has other labels")
        return
    kept = (labelled if len(labelled) else group)[UID].head(1)
    for uid in group.loc[~group[UID].isin(kept), UID]:
        yield _finding(uid, "same-pixels", f"as {kept.iloc[0]}")


def _missing(uid: str, row: dict[object, object]) -> Finding:
    code = "missing-slices" if row["missing_by_gap"] else "numbering-holes"
    return _finding(uid, code, f"{row['missing']} missing: {row['missing_numbers']}")


def _finding(uid: str, code: str, detail: str) -> Finding:
    return Finding(uid, code, "", detail, CONSEQUENCES[code])

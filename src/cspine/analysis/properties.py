"""In which studies a method is wrong: loss, sensitivity and specificity by what is known of a study.

Every study of a cohort is in exactly one group of every property.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from cspine.analysis.cells import PATIENT, Cells
from cspine.analysis.confusion import columns_of, tallies
from cspine.bootstrap import Floats, mean, ratio
from cspine.metric import exam_losses
from cspine.scores import LEAST_OF_A_CLASS
from cspine.studies import UID

LEAST_OF_A_GROUP = 10  #: studies that a group needs for a loss
MOST_VALUES = 4  #: a number with no more values than this has a group for each, others have three of equal size
MANY = 3  #: fractured vertebrae, of which no more are told apart
NOT_KNOWN = "not known"


def properties_of(
    uids: list[str], truth: Floats, cohort: str, studies: pd.DataFrame, slices: pd.DataFrame, findings: pd.DataFrame
) -> pd.DataFrame:
    """The group of every study, (studies,) strings in a column for each property.

    Args:
        uids: of the studies.
        truth: (studies, 8) in the order of LABELS, NaN = unknown.
        cohort: train | test, where they are in the index.
        studies: index/studies.parquet.
        slices: index/slices.parquet.
        findings: index/findings.parquet; each code that occurs is a property.
    """
    known = studies[studies["cohort"] == cohort].set_index(UID).reindex(uids)
    own = slices[(slices["cohort"] == cohort) & slices[UID].isin(uids)].groupby(UID)
    pixel, rows = own["row_spacing"].median().reindex(uids), own["rows"].max().reindex(uids)
    groups = {
        "slices": _of_numbers(known["slices"].where(known["slices"] > 0), 0),
        "slice spacing, mm": _of_numbers(known["thickness"], 2),
        "pixel, mm": _of_numbers(pixel, 2),
        "rows": _of_numbers(rows, 0),
        "reversed": _of_flag(known["reversed"]),
        "fractured vertebrae": _of_counts(truth),
        "labels": _of_labels(known),
    }
    for code in sorted(set(findings.loc[findings[UID].isin(uids), "code"])):
        with_it = set(findings.loc[findings["code"] == code, UID])
        groups[f"finding {code}"] = ["yes" if uid in with_it else "no" for uid in uids]
    return pd.DataFrame(groups, index=pd.Index(uids, name=UID)).astype("str")


def property_table(
    groups: pd.DataFrame, truth: Floats, probability: Floats, patient: Cells, counts: Floats
) -> pd.DataFrame:
    """A row for each property and group, with intervals.

    Columns: property, group, studies, fractured, loss (per exam), difference (its loss minus that of all other studies,
    on the same resamples), sensitivity and specificity of patients at the threshold chosen on select; enough_loss,
    enough_sensitivity, enough_specificity: whether there are enough studies to say so.

    Args:
        groups: from ``properties_of``.
        truth: (studies, 8), NaN = unknown.
        probability: (studies, 8).
        patient: the cells of the patient level of these studies.
        counts: (draws, studies) from ``bootstrap.resample_counts``.
    """
    if patient.level != PATIENT:
        raise ValueError(f"expected the cells of the patient level, found {patient.level}")
    losses, tally = exam_losses(truth, probability), tallies(patient, patient.chosen)
    rows = [_row(*at, losses, tally, truth[:, 0], counts) for at in _groups(groups)]
    return pd.DataFrame(rows)


def _groups(groups: pd.DataFrame) -> Iterator[tuple[str, str, Floats]]:
    """Property, group, and which studies are in it (1.0 or 0.0)."""
    for name in groups.columns:
        for group in sorted(groups[name].unique(), key=_in_order):
            yield str(name), str(group), (groups[name] == group).to_numpy(dtype=np.float64)


def _row(
    name: str, group: str, inside: Floats, losses: Floats, tally: tuple[Floats, ...], patient: Floats, counts: Floats
) -> dict[str, object]:
    tn, fp, fn, tp = (part * inside for part in tally)
    loss = mean(losses, counts, inside)
    fractured, whole = (int(((patient == value) * inside).sum()) for value in (1, 0))
    row: dict[str, object] = {"property": name, "group": group}
    row |= {"studies": np.int32(inside.sum()), "fractured": np.int32(fractured)}
    row |= columns_of("loss", loss) | columns_of("difference", loss.minus(mean(losses, counts, 1 - inside)))
    row |= columns_of("sensitivity", ratio(tp, tp + fn, counts)) | columns_of("specificity", ratio(tn, tn + fp, counts))
    row["enough_loss"] = bool(inside.sum() >= LEAST_OF_A_GROUP)
    row["enough_sensitivity"] = fractured >= LEAST_OF_A_CLASS
    row["enough_specificity"] = whole >= LEAST_OF_A_CLASS
    return row


def _of_numbers(values: pd.Series, digits: int) -> list[str]:
    """Few values have a group each; many are cut into three of equal size, equal values together."""
    rounded = values.astype("float64").round(digits).to_numpy()
    known = np.sort(rounded[~np.isnan(rounded)])
    starts = np.unique(known)
    if len(starts) > MOST_VALUES:
        starts = np.unique(known[[0, round(len(known) / 3), round(2 * len(known) / 3)]])
    places = np.searchsorted(starts, known, side="right") - 1
    spans = [(known[places == place][0], known[places == place][-1]) for place in range(len(starts))]
    names = [f"{a:.{digits}f}" if a == b else f"{a:.{digits}f} to {b:.{digits}f}" for a, b in spans]
    return [NOT_KNOWN if np.isnan(v) else names[np.searchsorted(starts, v, side="right") - 1] for v in rounded]


def _of_flag(values: pd.Series) -> list[str]:
    return [NOT_KNOWN if pd.isna(value) else "yes" if value else "no" for value in values]


def _of_counts(truth: Floats) -> list[str]:
    """How many vertebrae are fractured; of a study of which one is not known, that."""
    counts = truth[:, 1:].sum(axis=1)
    return [NOT_KNOWN if np.isnan(n) else f"{int(n)}" if n < MANY else f"{MANY} or more" for n in counts]


def _of_labels(known: pd.DataFrame) -> list[str]:
    """What a training study is labelled with besides its eight labels."""
    names = {(1, 0): "boxed", (0, 1): "segmented", (1, 1): "boxed and segmented", (0, 0): "neither"}
    flags = known[["boxed", "segmented"]].fillna(False).astype(int)
    return [names[boxed, segmented] for boxed, segmented in flags.itertuples(index=False)]


def _in_order(group: str) -> tuple[bool, float, str]:
    """Numbers by size, then words."""
    first = group.split(" ")[0]
    number = first.replace(".", "", 1).isdigit()
    return not number, float(first) if number else 0.0, group

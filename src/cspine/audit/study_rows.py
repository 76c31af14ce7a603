"""The audit's row of each study: its numbers, its findings, and what the run does with it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cspine import reason_codes
from cspine.audit.stacks import KEY
from cspine.audit.table import STUDY_TYPES
from cspine.partial_labels import unknown_of
from cspine.studies import UID, VERTEBRAE

LOSS_POINTS = 50  #: ASSUME: a study without half of its slices is as bad as two and a half doubtful findings
NO_VALID_BOX = ("boxed-without-valid-box", "box-without-vertebra")


def study_rows(
    studies: pd.DataFrame,
    stacks: pd.DataFrame,
    boxes: pd.Series,
    findings: pd.DataFrame,
    excluded: Mapping[str, str],
) -> pd.DataFrame:
    """One row for each study of the index, in its order.

    Args:
        studies: index/studies.parquet.
        stacks: ``stacks.stack_numbers`` of its slices.
        boxes: how many boxes each study has, by StudyInstanceUID.
        findings: all of them.
        excluded: ``exclusions.excluded_studies``.

    Returns:
        cohort, StudyInstanceUID, severity, and the columns of ``table.STUDY_TYPES``.
    """
    rows = studies.merge(stacks.drop(columns=["missing_numbers", "in_order", "pixels"]), on=KEY, how="left")
    training = rows["cohort"] == "train"
    codes = findings.groupby(UID)["code"].agg(list)
    of_study = [codes.get(uid, []) for uid in rows[UID]]
    rows["findings"] = [len(found) for found in of_study]
    rows["severity"] = [reason_codes.worst(found) for found in of_study]
    rows["left_out"] = [sum(code in reason_codes.LEFT_OUT for code in found) for found in of_study]
    rows["boxes"] = [int(boxes.get(uid, 0)) if t else 0 for uid, t in zip(rows[UID], training, strict=True)]
    rows["vertebrae"] = [" ".join(v for v in VERTEBRAE if row[v] == 1) for row in rows.to_dict("records")]
    labelled = (rows["in_csv"] & training).tolist()
    rows["unknown"] = [
        " ".join(unknown_of(row)) if known else "" for row, known in zip(rows.to_dict("records"), labelled, strict=True)
    ]
    why = [excluded.get(uid, "") if teaches else "" for uid, teaches in zip(rows[UID], training, strict=True)]
    rows["why_excluded"] = pd.Series(why, index=rows.index, dtype="str")
    rows["excluded"] = training & rows[UID].isin(list(excluded))
    rows["use"] = np.where(training, _use_in_training(rows, of_study), _use_of_test_studies(rows))
    for name in ("missing", "missing_by_gap", "rows", "columns"):
        rows[name] = rows[name].fillna(0)
    rows["score"] = [
        reason_codes.score(found) + round(LOSS_POINTS * share)
        for found, share in zip(of_study, _share_lost(rows), strict=True)
    ]
    return rows[[*KEY, "severity", *STUDY_TYPES]].astype(STUDY_TYPES)


def _use_in_training(rows: pd.DataFrame, codes: list[list[str]]) -> np.ndarray:
    """A key of ``table.USES`` for each row, as if all were training studies; the first that applies.

    The same order in which ``labels.labelled_studies`` and ``pseudo.unlabelled_studies`` choose.
    """
    fractured = (rows["patient_overall"] == 1) | (rows["vertebrae"] != "")
    no_valid_box = pd.Series([not set(found).isdisjoint(NO_VALID_BOX) for found in codes], index=rows.index)
    labelled = rows["in_csv"] & (rows["patient_overall"] >= 0)
    cases = {
        "excluded": rows["excluded"],
        "unreadable": ~rows["readable"].astype(bool),
        "unlabelled": ~labelled,
        "negative": ~fractured,
        "scored only": rows["boxed"] & no_valid_box,
        "boxes": rows["boxed"],
    }
    return np.select([np.asarray(case, bool) for case in cases.values()], list(cases), "pseudo-labels")


def _use_of_test_studies(rows: pd.DataFrame) -> np.ndarray:
    asked = rows["in_csv"].astype(bool)
    return np.select([~asked, ~rows["readable"].astype(bool)], ["not asked for", "prior"], "predicted")


def _share_lost(rows: pd.DataFrame) -> np.ndarray:
    """Of the slices that a study should have: those left out and those missing."""
    lost = (rows["left_out"] + rows["missing"]).to_numpy(float)
    due = lost + rows["slices"].to_numpy(float)
    return np.divide(lost, due, out=np.zeros(len(rows)), where=due > 0)

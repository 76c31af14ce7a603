"""Which vertebrae a method got most wrong, among the studies that it was not taught by and whose truth is known.

ASSUME: a case is a vertebra and not a patient, because a vertebra is what one can look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cspine.analysis.cells import VERTEBRA
from cspine.analysis.cohorts import Answers
from cspine.errors import CspineError
from cspine.partial_labels import truth_of
from cspine.report.study_words import in_index
from cspine.slice_evidence import values_for, weighed
from cspine.studies import LABELS, UID, VERTEBRAE
from cspine.submission import mean_of_folds

MISSED, FALSE_ALARM, FOUND, LEFT_ALONE = "false negative", "false positive", "true positive", "true negative"
HELDOUT, TEST = "heldout", "test"
KEYS = ["cohort", UID, "label", "kind", "rank"]  #: which case it is
NO_SLICE = -1  #: a method of whole studies or vertebrae says nothing of slices
#: a vertebra whose truth is known, with what was said of it
JUDGED = ["cohort", UID, "fold", "label", "kind", "truth", "probability", "threshold", "assumed"]


@dataclass(frozen=True)
class Known:
    """What the studies' labels are, and from which probability on each fold calls a vertebra fractured.

    Attributes:
        studies: index/studies.parquet.
        points: the thresholds chosen on select (stage analyse_errors).
        truth: of the test studies, columns as train.csv; None = nobody knows.
    """

    studies: pd.DataFrame
    points: pd.DataFrame
    truth: pd.DataFrame | None = None

    def thresholds(self, folds_run: Sequence[int]) -> dict[int, tuple[float, str]]:
        """The threshold of vertebrae of each fold run, and why it is assumed; "" where it was chosen.

        Raises:
            CspineError: the points lack a fold.
        """
        rows = self.points[self.points["kind"] == VERTEBRA]
        chosen = zip(rows["threshold"].tolist(), rows["assumed"].fillna("").tolist(), strict=True)
        found = dict(zip(rows["fold"].tolist(), chosen, strict=True))
        missing = [fold for fold in folds_run if fold not in found]
        if missing:
            raise CspineError(
                f"points: no threshold of vertebrae for fold {missing[0]}, there are those of folds {sorted(found)}; "
                "expected the points of the same folds as the predictions"
            )
        return {fold: found[fold] for fold in folds_run}


def judged_vertebrae(answers: Answers, known: Known) -> pd.DataFrame:
    """Every vertebra that a model judged and whose truth is known: the columns JUDGED.

    A held-out study is its own fold's, with that fold's threshold. Of a test study the probability and the threshold
    are the means over the folds, as they are submitted and counted; ``fold`` is the first that judged it, whose slices
    are shown. A study of which a model said nothing (it has no pixels in the view) is no case: the prior was wrong.
    """
    thresholds = known.thresholds(answers.folds_run)
    labels = known.studies[known.studies["cohort"] == "train"].set_index(UID)
    parts = []
    for fold, table in zip(answers.folds_run, answers.studies, strict=True):
        threshold, assumed = thresholds[fold]
        rows = table[table["cohort"] == HELDOUT].assign(fold=fold, threshold=threshold, assumed=assumed)
        parts.append(_judged(rows, labels))
    if known.truth is not None:
        parts.append(_judged(_of_test(answers, thresholds), known.truth.set_index(UID)))
    return pd.concat(parts, ignore_index=True).astype({"fold": "int32", "probability": "float32"})


def _of_test(answers: Answers, thresholds: dict[int, tuple[float, str]]) -> pd.DataFrame:
    """The test studies as submitted: the columns of study_probabilities.parquet, fold, threshold and assumed."""
    first: dict[str, int] = {}
    for fold, table in zip(answers.folds_run, answers.studies, strict=True):
        first = dict.fromkeys(table.loc[table["cohort"] == TEST, UID], fold) | first
    rows = mean_of_folds(answers.studies, TEST).reset_index()
    mean, why = float(np.mean([value for value, _ in thresholds.values()])), [why for _, why in thresholds.values()]
    return rows.assign(cohort=TEST, fold=rows[UID].map(first), threshold=mean, assumed=next(filter(None, why), ""))


def _judged(rows: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """JUDGED of these studies, seven rows each but for the unknown; ``labels`` by StudyInstanceUID."""
    rows = rows[rows[UID].isin(labels.index)].reset_index(drop=True)
    keys = ["cohort", UID, "fold", "threshold", "assumed"]
    each = rows.loc[rows.index.repeat(len(VERTEBRAE)), keys].reset_index(drop=True)
    each["label"] = np.tile(VERTEBRAE, len(rows))
    each["probability"] = rows[list(VERTEBRAE)].to_numpy(np.float64).ravel()
    each["truth"] = truth_of(labels.loc[rows[UID]].reindex(columns=list(LABELS)))[:, 1:].ravel()
    called, fractured = each["probability"] >= each["threshold"], each["truth"] == 1
    kinds = [fractured & ~called, ~fractured & called, fractured & called]
    each["kind"] = np.select(kinds, [MISSED, FALSE_ALARM, FOUND], LEFT_ALONE)
    return each.loc[each["truth"].notna() & each["probability"].notna(), JUDGED]


def worst(judged: pd.DataFrame, cases: int) -> pd.DataFrame:
    """The ``cases`` vertebrae of each kind of error that are furthest from the truth: JUDGED and rank, from 1.

    One a study and kind, so that a single odd study does not fill the page. Of equal errors held-out studies come
    first, then the smaller StudyInstanceUID, then the more cranial vertebra.
    """
    parts = []
    for kind in (MISSED, FALSE_ALARM):
        rows = judged[judged["kind"] == kind]
        rows = rows.assign(error=(rows["truth"] - rows["probability"].astype(np.float64)).abs())
        rows = rows.sort_values(["error", "cohort", UID, "label"], ascending=[False, True, True, True])
        rows = rows.drop_duplicates(UID).head(cases)
        parts.append(rows.assign(rank=np.arange(1, len(rows) + 1, dtype=np.int32)))
    return pd.concat(parts, ignore_index=True).drop(columns="error")


def with_key_slices(cases: pd.DataFrame, answers: Answers, evidence: Sequence[str]) -> pd.DataFrame:
    """``cases`` with z_index and slice_number of the slice that says most of the vertebra, and ``vertebra``.

    Of equal slices it is the most cranial; NO_SLICE where the method says nothing of slices.

    Args:
        cases: from ``worst``.
        answers: of the method, with the slices of each fold.
        evidence: what counts of a slice (see cspine.slice_evidence), of each fold run.
    """
    by_fold = dict(zip(answers.folds_run, zip(answers.slices, evidence, strict=True), strict=True))
    found = [_key_slice(case, *by_fold[case["fold"]]) for case in cases.to_dict("records")]
    keys = pd.DataFrame(found, columns=["z_index", "slice_number"], index=cases.index).astype("int32")
    return pd.concat([cases, keys], axis=1).assign(vertebra=cases["label"])


def _key_slice(case: Mapping[Any, Any], slices: pd.DataFrame, evidence: str) -> tuple[int, int]:
    own = slices[(slices["cohort"] == in_index(case["cohort"])) & (slices[UID] == case[UID])]
    if own.empty:
        return NO_SLICE, NO_SLICE
    own = own.sort_values("z_index")
    said = weighed(values_for(own, evidence), evidence)[:, VERTEBRAE.index(case["label"])]
    key = own.iloc[int(np.nanargmax(said))]
    return int(key["z_index"]), int(key["slice_number"])

"""The studies whose errors are counted: held-out ones by their own fold's model, test ones where the truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cspine.analysis.cells import KINDS, PATIENT, SLICE, VERTEBRA, Cells, SliceSet, slice_levels, study_levels
from cspine.analysis.slice_truth import FRACTURED, KEY
from cspine.bootstrap import Floats
from cspine.bundles.points import Point, balanced_point
from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.partial_labels import truth_of
from cspine.scores import Scored
from cspine.studies import LABELS, PRESENCE, UID, VERTEBRAE

Points = dict[int, dict[str, Point]]  # by fold and kind


@dataclass(frozen=True)
class Cohort:
    """One cohort, ready to be analysed.

    Attributes:
        name: heldout | test | submission.
        uids: (studies,).
        truth: (studies, 8) in the order of LABELS, NaN = unknown.
        probability: (studies, 8).
        chosen: by kind, (studies,) the threshold of the fold whose model predicted it.
        slices: what is known of its slices.
        by_prior: studies that no model predicted.
    """

    name: str
    uids: list[str]
    truth: Floats
    probability: Floats
    chosen: dict[str, Floats]
    slices: SliceSet
    by_prior: int = 0

    def levels(self) -> list[Cells]:
        """Patient, vertebra, C1..C7."""
        return study_levels(self.truth, self.probability, self.chosen[PATIENT], self.chosen[VERTEBRA])

    def slice_levels(self) -> list[Cells]:
        """All slice cells, and those whose slice shows the vertebra."""
        return slice_levels(self.slices, self.chosen[SLICE])


@dataclass(frozen=True)
class Answers:
    """What the models of the folds run said.

    Attributes:
        folds_run: in the order of the tables.
        studies: study_probabilities.parquet of each.
        slices: predictions.parquet of each.
    """

    folds_run: Sequence[int]
    studies: list[pd.DataFrame]
    slices: list[pd.DataFrame]

    def __post_init__(self) -> None:
        for name, tables in (("study_probabilities", self.studies), ("predictions", self.slices)):
            if len(tables) != len(self.folds_run):
                raise CspineError(
                    f"errors: {len(tables)} {name} for folds {list(self.folds_run)}; expected one for each"
                )


def choose_points(answers: Answers, studies: pd.DataFrame, folds: pd.DataFrame, truth: pd.DataFrame) -> Points:
    """The thresholds that each fold's model has on the fold's own select studies: nothing else is looked at.

    A study may be select in one fold and held out in another, so every fold has thresholds of its own.

    Args:
        answers: of the method.
        studies: index/studies.parquet.
        folds: folds.parquet.
        truth: of the training slices, see ``slice_truth``.
    """
    labels = studies[studies["cohort"] == "train"].set_index(UID)
    points: Points = {}
    for fold, table, slices in zip(answers.folds_run, answers.studies, answers.slices, strict=True):
        roles = roles_of(folds, fold)
        rows = _select(table, roles)
        cells = slice_set(list(rows[UID]), truth, [slices[slices["cohort"] == "train"]])
        of_slices = balanced_point(cells.fractured.ravel(), cells.probability.ravel())
        points[fold] = {**study_points(table, labels, roles), SLICE: of_slices}
    return points


def study_points(table: pd.DataFrame, labels: pd.DataFrame, roles: pd.Series) -> dict[str, Point]:
    """The thresholds of patients and vertebrae that one fold's model has on its select studies.

    Args:
        table: study_probabilities.parquet of the fold.
        labels: of the training studies, by StudyInstanceUID.
        roles: of the studies in the fold, from ``roles_of``.
    """
    rows = _select(table, roles)
    known, said = truth_of(labels.loc[rows[UID]]), rows[list(LABELS)].to_numpy(dtype=np.float64)
    return {
        PATIENT: balanced_point(known[:, 0], said[:, 0]),
        VERTEBRA: balanced_point(known[:, 1:].ravel(), said[:, 1:].ravel()),
    }


def thresholds_of(uids: Sequence[str], folds: pd.DataFrame, points: Points, kind: str) -> Floats:
    """The threshold of each held-out study, (studies,): its own fold's."""
    fold_of = _fold_of(folds, list(points))
    return np.array([points[fold_of[uid]][kind].threshold for uid in uids])


def slices_said(predictions: pd.DataFrame) -> pd.DataFrame:
    """The slices of predictions.parquet; none where a method judges whole studies or vertebrae, with a row for each."""
    if set(KEY) <= set(predictions.columns):
        return predictions
    return predictions.iloc[:0].assign(slice_number=np.int32(0))


def _select(table: pd.DataFrame, roles: pd.Series) -> pd.DataFrame:
    return table[table[UID].isin(roles.index[roles == "select"])]


def _fold_of(folds: pd.DataFrame, folds_run: Sequence[int]) -> dict[str, int]:
    """Which of the folds run holds a study out."""
    fold_of: dict[str, int] = {}
    for fold in folds_run:
        roles = roles_of(folds, fold)
        fold_of |= dict.fromkeys(roles.index[roles == "heldout"], fold)
    return fold_of


def points_table(points: Points) -> pd.DataFrame:
    """fold, kind (patient | vertebra | slice), threshold, sensitivity, specificity, positives, negatives, assumed."""
    rows = [{"fold": fold, "kind": kind, **asdict(p)} for fold, kinds in points.items() for kind, p in kinds.items()]
    kinds = {"fold": "int32", "positives": "int64", "negatives": "int64"}
    return pd.DataFrame(rows).astype(kinds | dict.fromkeys(("threshold", "sensitivity", "specificity"), "float64"))


def heldout_cohort(
    scored: Scored, folds: pd.DataFrame, answers: Answers, points: Points, truth: pd.DataFrame
) -> Cohort:
    """The held-out studies of the folds run, each with the thresholds and slices of its own fold."""
    fold_of = _fold_of(folds, answers.folds_run)
    own = [
        table[(table["cohort"] == "train") & (table[UID].map(fold_of) == fold)]
        for fold, table in zip(answers.folds_run, answers.slices, strict=True)
    ]
    chosen = {kind: thresholds_of(scored.uids, folds, points, kind) for kind in KINDS}
    slices = slice_set(scored.uids, truth, [pd.concat(own, ignore_index=True)])
    return Cohort("heldout", scored.uids, scored.truth, scored.probability, chosen, slices)


def test_cohort(name: str, scored: Scored, answers: Answers, points: Points, truth: pd.DataFrame) -> Cohort:
    """The test studies: mean of the fold models in probabilities, slices and thresholds."""
    means = {kind: np.mean([points[fold][kind].threshold for fold in answers.folds_run]) for kind in KINDS}
    chosen = {kind: np.full(len(scored.uids), value) for kind, value in means.items()}
    slices = slice_set(scored.uids, truth, [table[table["cohort"] == "test"] for table in answers.slices])
    return Cohort(name, scored.uids, scored.truth, scored.probability, chosen, slices, scored.by_prior)


test_cohort.__test__ = False  # type: ignore[attr-defined]  # no test, whatever pytest thinks of its name


def slice_set(uids: list[str], truth: pd.DataFrame, predictions: list[pd.DataFrame]) -> SliceSet:
    """The slices of these studies of which something is known, with the mean of what was predicted.

    A slice that no model read is left out: nothing was said of it.
    """
    known = truth[truth[UID].isin(uids)].sort_values(KEY, ignore_index=True)
    said = []
    for table in predictions:
        merged = known[KEY].merge(table[[*KEY, *VERTEBRAE]], on=KEY, how="left", validate="1:1")
        said.append(merged[list(VERTEBRAE)].to_numpy(dtype=np.float64))
    probability = np.mean(said, axis=0)
    read = ~np.isnan(probability).any(axis=1)
    rows = known[read]
    return SliceSet(
        pd.Index(uids).get_indexer(pd.Index(rows[UID])).astype(np.int64),
        rows[list(FRACTURED)].to_numpy(dtype=np.float64),
        rows[list(PRESENCE)].to_numpy(dtype=np.float64),
        probability[read],
    )


def as_submitted(scored: Scored, submission: Path) -> Scored:
    """The same test studies with the probabilities that submission.csv has.

    Raises:
        CspineError: a study of the truth is not in the submission, or not with all eight labels.
    """
    table = pd.read_csv(submission, dtype={"row_id": "str"})
    parts = table["row_id"].str.split("_", n=1, expand=True)
    wide = table.assign(uid=parts[0], label=parts[1]).pivot_table(index="uid", columns="label", values="fractured")
    values = wide.reindex(index=scored.uids, columns=list(LABELS)).to_numpy(dtype=np.float64)
    missing = np.isnan(values).any(axis=1)
    if missing.any():
        raise CspineError(f"{submission}: study {scored.uids[int(np.argmax(missing))]} has not all of its eight rows")
    return Scored("submission", scored.truth, values, scored.constants, scored.by_prior, scored.uids)

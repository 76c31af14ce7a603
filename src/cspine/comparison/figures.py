"""Every figure of the table: each method's on the same studies, and its paired differences to the others'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cspine.analysis.cells import PATIENT, VERTEBRA, study_levels
from cspine.analysis.cohorts import Points, study_points, thresholds_of
from cspine.analysis.confusion import columns_of, figures_at
from cspine.bootstrap import Measured, average, mean, measured_auc
from cspine.comparison.config import CompareConfig, ComparedMethod
from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.metric import NORMALISATIONS, Floats, exam_losses, exam_weights
from cspine.scores import LEAST_OF_A_CLASS, LEAST_STUDIES, Scored, score_heldout_studies, score_test_studies
from cspine.studies import LABELS, UID, VERTEBRAE

CHOSEN = (PATIENT, VERTEBRA)  #: levels that have sensitivity and specificity at a point chosen on select
# A two-sided test at 5 % finds a true difference of so many standard errors in 80 % of all runs: 1.960 + 0.842.
DETECTABLE = 2.802


@dataclass(frozen=True)
class Entry:
    """What one method said, on which studies, and where its points are.

    Attributes:
        method: its block.
        tables: study_probabilities.parquet of each fold run.
        cohorts: heldout, and test where the truth is known.
        points: of the levels CHOSEN, by fold.
    """

    method: ComparedMethod
    tables: list[pd.DataFrame]
    cohorts: dict[str, Scored]
    points: Points


@dataclass(frozen=True)
class Studies:
    """What is known of the studies, whoever judges them: the index, the folds, and the truth of the test studies."""

    index: pd.DataFrame
    folds: pd.DataFrame
    truth: pd.DataFrame | None

    def scored(self, method: str, tables: list[pd.DataFrame], config: CompareConfig) -> dict[str, Scored]:
        """A method's studies beside their truth, by cohort; a test study without a prediction is given the prior."""
        of_scores = config.of_scores(method)
        found = {"heldout": score_heldout_studies(self.index, self.folds, tables, of_scores)}
        if self.truth is not None:
            found["test"] = score_test_studies(self.index, self.folds, tables, self.truth, of_scores)
        return found

    def entry(self, method: ComparedMethod, tables: list[pd.DataFrame], config: CompareConfig) -> Entry:
        """A method ready to be measured; its points are chosen on the select studies, and nothing else is looked at."""
        labels = self.index[self.index["cohort"] == "train"].set_index(UID)
        points = {
            fold: study_points(table, labels, roles_of(self.folds, fold))
            for fold, table in zip(config.folds_run, tables, strict=True)
        }
        return Entry(method, tables, self.scored(method.name, tables, config), points)

    def thresholds(self, entry: Entry, cohort: str, kind: str) -> Floats:
        """(studies,): a held-out study's of its own fold, a test study's the mean of all folds, as its probability."""
        if cohort == "heldout":
            return thresholds_of(entry.cohorts[cohort].uids, self.folds, entry.points, kind)
        middle = np.mean([points[kind].threshold for points in entry.points.values()])
        return np.full(len(entry.cohorts[cohort].uids), middle)


def measured(entry: Entry, cohort: str, studies: Studies, counts: Floats) -> dict[str, Measured]:
    """A method's figures on one cohort, by the names of their columns; NaN where a point was not chosen.

    Args:
        entry: of the method.
        cohort: heldout | test.
        studies: what is known of them.
        counts: (draws, studies) from ``resample_counts``, the same for all methods.
    """
    scored = entry.cohorts[cohort]
    found = {f"loss_{form}": _loss(scored, scored.probability, form, counts) for form in NORMALISATIONS}
    found |= {f"constant_{form}": _loss(scored, scored.constants[form], form, counts) for form in NORMALISATIONS}
    aucs = {
        label: measured_auc(scored.truth[:, column], scored.probability[:, column], counts)
        for column, label in enumerate(LABELS)
    }
    found["auc_patient"] = aucs[LABELS[0]]
    enough = [aucs[v] for v in VERTEBRAE if v not in few(scored)]
    found["auc_vertebra_mean"] = average(enough, len(counts))
    found |= {f"auc_{vertebra}": aucs[vertebra] for vertebra in VERTEBRAE}
    chosen = {kind: studies.thresholds(entry, cohort, kind) for kind in CHOSEN}
    levels = study_levels(scored.truth, scored.probability, chosen[PATIENT], chosen[VERTEBRA])
    for cells in levels[: len(CHOSEN)]:
        at = figures_at(cells, cells.chosen, counts)
        for name, figure in (("sensitivity", "recall"), ("specificity", "specificity")):
            known = at[figure] if not assumed(entry, [cells.level]) else _nothing(len(counts))
            found[f"{cells.level}_{name}"] = known
    return found


def few(scored: Scored) -> list[str]:
    """The vertebrae of which too few studies of a class are known; the same for every method."""
    names = []
    for column, vertebra in enumerate(VERTEBRAE, start=1):
        known = scored.truth[:, column]
        fewest = min(int((known == value).sum()) for value in (0, 1))
        if fewest < LEAST_OF_A_CLASS or int((~np.isnan(known)).sum()) < LEAST_STUDIES:
            names.append(vertebra)
    return names


def assumed(entry: Entry, kinds: Iterable[str] = CHOSEN) -> str:
    """Why a method has no chosen point at these levels, in words; "" where every fold has one."""
    reasons = [
        f"{kind}, fold {fold}: {points[kind].assumed}"
        for kind in kinds
        for fold, points in entry.points.items()
        if points[kind].assumed
    ]
    return "; ".join(reasons)


def differences(own: Mapping[str, Measured], reference: Mapping[str, Measured] | None) -> dict[str, Measured]:
    """Loss minus the best constant's and minus the reference's, on the same resamples; None = it is the reference."""
    found = {}
    for form in NORMALISATIONS:
        loss = own[f"loss_{form}"]
        found[f"minus_constant_{form}"] = loss.minus(own[f"constant_{form}"])
        nothing = _nothing(len(loss.draws))
        found[f"minus_reference_{form}"] = loss.minus(reference[f"loss_{form}"]) if reference else nothing
    return found


def smallest(difference: Measured) -> float:
    """The smallest true difference that so many studies show in 80 % of all runs, from the spread of the resamples.

    ASSUME: the difference is about normal. A smaller one is not absent: this run cannot show it.
    """
    draws = difference.draws[np.isfinite(difference.draws)]
    return DETECTABLE * float(np.std(draws, ddof=1)) if len(draws) > 1 else float("nan")


def rows_of(entries: list[Entry], cohort: str, studies: Studies, counts: Floats, config: CompareConfig) -> pd.DataFrame:
    """One row per method, see docs/comparison.md; costs, parameters and published scores are not among the columns."""
    uids = entries[0].cohorts[cohort].uids
    for entry in entries:
        if entry.cohorts[cohort].uids != uids:
            raise CspineError(f"compare: {entry.method.name} was not scored on the {cohort} studies of the others")
    found = {entry.method.name: measured(entry, cohort, studies, counts) for entry in entries}
    rows = []
    for entry in entries:
        own, scored = found[entry.method.name], entry.cohorts[cohort]
        row: dict[str, Any] = {"cohort": cohort, "method": entry.method.name, "family": entry.method.family}
        row |= {"studies": len(uids), "fractured": int(np.nansum(scored.truth[:, 0])), "by_prior": scored.by_prior}
        for name, figure in own.items():
            row |= columns_of(name, figure) if not name.startswith("constant_") else {name: figure.value}
        against = None if entry.method.name == config.reference else found[config.reference]
        for name, difference in differences(own, against).items():
            row |= columns_of(name, difference) | {f"{name}_smallest": smallest(difference)}
        row["auc_few"] = " ".join(few(scored))
        for kind in CHOSEN:
            missing = bool(assumed(entry, [kind]))
            chosen = studies.thresholds(entry, cohort, kind)
            row[f"{kind}_threshold"] = float("nan") if missing else float(chosen.mean())
        row["points"] = assumed(entry)
        rows.append(row)
    return pd.DataFrame(rows)


def _loss(scored: Scored, probability: Floats, form: str, counts: Floats) -> Measured:
    return mean(exam_losses(scored.truth, probability), counts, exam_weights(scored.truth, form))


def _nothing(draws: int) -> Measured:
    return Measured(float("nan"), np.full(draws, np.nan))

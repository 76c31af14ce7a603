"""What a method is worth: its losses and AUCs with intervals over studies, each beside the best constant."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from cspine.bootstrap import Measured, mean, measured_auc, resample_counts
from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.metric import NORMALISATIONS, Floats, best_constant, exam_losses, exam_weights
from cspine.partial_labels import truth_of
from cspine.studies import LABELS, UID
from cspine.submission import mean_of_folds, training_prior

SIZES = ("smoke", "demo", "study")
LEAST_STUDIES, LEAST_OF_A_CLASS = 20, 5  #: below this a row is marked as too few to measure
CHANCE = 0.5  #: the AUC of every constant


@dataclass(frozen=True)
class ScoreConfig:
    """What is scored, and what may be claimed of it."""

    method: str  # the name of the method, as in the config
    folds_run: list[int]  # the folds of study_probabilities, in the order of the files
    phantom: bool = True  # the data are synthetic: said in the table
    size: str = "demo"  # smoke | demo | study: what a result of this size may claim
    bootstrap: int = 1000  # resamples of studies behind each interval
    seed: int = 0
    constant_clip: float = 0.01  # the constant is kept this far from 0 and 1, as any submission's would be
    normalisation: str = "per_exam"  # of the prior that a test study without prediction is given, as in the submission

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise CspineError(f"size: found {self.size!r}, expected one of {', '.join(SIZES)}")
        if not self.folds_run or len(set(self.folds_run)) != len(self.folds_run):
            raise CspineError(f"folds.run: found {self.folds_run}, expected different folds, at least one")
        if self.bootstrap < 1 or not 0 < self.constant_clip < 0.5:
            raise CspineError("score: expected bootstrap of 1 or more, constant_clip between 0 and 0.5")


@dataclass(frozen=True)
class Scored:
    """One cohort ready to be measured; arrays are (studies, 8) in the order of LABELS, an unknown truth is NaN."""

    cohort: str  # heldout | test
    truth: Floats
    probability: Floats
    constants: dict[str, Floats]  # by normalisation: the training labels' best constant, tiled to all studies
    by_prior: int = 0  # studies that no model predicted
    uids: list[str] = field(default_factory=list)  # in the order of the arrays


def score_heldout_studies(
    studies: pd.DataFrame, folds: pd.DataFrame, tables: list[pd.DataFrame], config: ScoreConfig
) -> Scored:
    """Every held-out study of the folds run, by its own fold's model and beside its own fold's constants.

    One that no model judged (it has no pixels in the method's view) counts with its fold's constant.

    Raises:
        CspineError: a table's held-out studies are not those of its fold.
    """
    if len(tables) != len(config.folds_run):
        raise CspineError(
            f"score: {len(tables)} study_probabilities for folds {config.folds_run}; expected one for each"
        )
    labels = _labels(studies)
    probability, uids, constants, by_prior = [], [], [], 0
    for fold, table in zip(config.folds_run, tables, strict=True):
        heldout = table[table["cohort"] == "heldout"].sort_values(UID)
        roles = roles_of(folds, fold)
        due = sorted(roles.index[roles == "heldout"])
        if not set(heldout[UID]) <= set(due) or heldout.empty:
            raise CspineError(
                f"score: the held-out studies of the table for fold {fold} are not those of folds.parquet"
            )
        training = _constants(labels.loc[sorted(roles.index[roles != "heldout"])], config.constant_clip)
        constants.append({form: np.tile(row, (len(due), 1)) for form, row in training.items()})
        values = heldout.set_index(UID)[list(LABELS)].reindex(due).to_numpy(dtype=np.float64, copy=True)
        absent = np.isnan(values).any(axis=1)  # without pixels in the method's view
        values[absent] = training[config.normalisation]
        by_prior += int(absent.sum())
        probability.append(values)
        uids += due
    joined = {form: np.concatenate([c[form] for c in constants]) for form in NORMALISATIONS}
    return Scored("heldout", truth_of(labels.loc[uids]), np.concatenate(probability), joined, by_prior, uids)


def score_test_studies(
    studies: pd.DataFrame,
    folds: pd.DataFrame,
    tables: list[pd.DataFrame],
    truth: pd.DataFrame,
    config: ScoreConfig,
) -> Scored:
    """Every test study of ``truth`` as submitted: the mean of the fold models, or the prior without any.

    The constants come from the training labels (train and select) of the folds run, never from ``truth``.
    """
    truth = truth.sort_values(UID)
    constants = constants_of_folds(studies, folds, config.folds_run, config.constant_clip)
    probability = mean_of_folds(tables, "test")[list(LABELS)].reindex(truth[UID])
    absent = probability["patient_overall"].isna().to_numpy()
    probability.loc[absent] = training_prior(studies, config.normalisation, config.constant_clip)
    tiled = {form: np.tile(row, (len(truth), 1)) for form, row in constants.items()}
    labels = truth[list(LABELS)].to_numpy(dtype=np.float64)
    values = probability.to_numpy(dtype=np.float64)
    return Scored("test", labels, values, tiled, int(absent.sum()), list(truth[UID]))


def read_truth(path: Path) -> pd.DataFrame:
    """Labels of the test studies, a CSV like train.csv; only the phantom has one.

    Raises:
        CspineError: a column is missing.
    """
    truth = pd.read_csv(path, dtype={UID: "str"})
    missing = [c for c in (UID, *LABELS) if c not in truth.columns]
    if missing:
        raise CspineError(f"{path}: expected the columns of train.csv, {', '.join(missing)} missing")
    return truth


def measure(scored: Scored, method: str, bootstrap: int, seed: int) -> pd.DataFrame:
    """One row for each form of the loss and each label's AUC.

    Columns: method, cohort, measure (loss | auc), normalisation ("" for an AUC), label ("" for a loss),
    value, low, high (95 % over studies), constant (the best constant's value), difference and its interval
    (value minus constant on the same resamples), studies, positives, measurable (enough of both classes). An AUC
    is of the studies whose label is known, and these are counted; a loss is of the known labels of every study.

    Args:
        scored: one cohort.
        method: what it was predicted by.
        bootstrap: resamples of the studies behind each interval.
        seed: of the resamples.
    """
    counts = resample_counts(len(scored.truth), bootstrap, seed)
    rows = [_loss_row(scored, form, counts) for form in NORMALISATIONS]
    rows += [_auc_row(scored, column, counts) for column in range(len(LABELS))]
    table = pd.DataFrame(rows)
    table.insert(0, "cohort", scored.cohort)
    table.insert(0, "method", method)
    return table


def _loss_row(scored: Scored, form: str, counts: Floats) -> dict[str, object]:
    weights = exam_weights(scored.truth, form)
    model, constant = (
        mean(exam_losses(scored.truth, p), counts, weights) for p in (scored.probability, scored.constants[form])
    )
    enough = len(scored.truth) >= LEAST_STUDIES
    return _row("loss", form, "", model, constant.value, model.minus(constant), scored.truth[:, 0], enough)


def _auc_row(scored: Scored, column: int, counts: Floats) -> dict[str, object]:
    truth = scored.truth[:, column]
    found = measured_auc(truth, scored.probability[:, column], counts)
    known = truth[~np.isnan(truth)]
    fewest = min(known.sum(), len(known) - known.sum())
    enough = len(known) >= LEAST_STUDIES and fewest >= LEAST_OF_A_CLASS
    return _row("auc", "", LABELS[column], found, CHANCE, found.minus(CHANCE), known, enough)


def _row(
    kind: str,
    form: str,
    label: str,
    found: Measured,
    constant: float,
    above: Measured,
    truth: Floats,
    enough: bool,
) -> dict[str, object]:
    value, difference = found.estimate(), above.estimate()
    return {
        "measure": kind,
        "normalisation": form,
        "label": label,
        "value": value.value,
        "low": value.low,
        "high": value.high,
        "constant": constant,
        "difference": difference.value,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "studies": np.int32(len(truth)),
        "positives": np.int32(np.nansum(truth)),
        "measurable": enough,
    }


def _labels(studies: pd.DataFrame) -> pd.DataFrame:
    return studies[(studies["cohort"] == "train") & studies["in_csv"]].set_index(UID)[list(LABELS)]


def constants_of_folds(
    studies: pd.DataFrame, folds: pd.DataFrame, folds_run: list[int], clip: float
) -> dict[str, Floats]:
    """The best constants, (8,) by normalisation, of the studies that the models of these folds could learn from."""
    seen: set[str] = set()
    for fold in folds_run:
        roles = roles_of(folds, fold)
        seen |= set(roles.index[roles != "heldout"])
    return _constants(_labels(studies).loc[sorted(seen)], clip)


def _constants(labels: pd.DataFrame, clip: float) -> dict[str, Floats]:
    return {form: np.clip(best_constant(truth_of(labels), form), clip, 1 - clip) for form in NORMALISATIONS}

"""Exactly the rows the sample asks for, in its order, each with a finite probability whatever the input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cspine.errors import CspineError
from cspine.metric import Floats, best_constant, check_normalisation
from cspine.partial_labels import truth_of
from cspine.studies import LABELS, UID

REASONS = [UID, "code", "detail", "rows"]


@dataclass(frozen=True)
class SubmissionConfig:
    """How the rows are filled."""

    normalisation: str = "per_exam"  # the form of the metric whose best constant a study without pixels is given
    clip: float = 0.001  # every probability is kept this far from 0 and 1
    prior_clip: float = 0.01  # the same for the constant: a label never positive in training is rare, not impossible

    def __post_init__(self) -> None:
        check_normalisation(self.normalisation)
        if not 0 < self.clip < 0.5 or not 0 < self.prior_clip < 0.5:
            raise CspineError("submission.clip and submission.prior_clip: expected numbers between 0 and 0.5")


def read_sample(path: Path) -> pd.DataFrame:
    """The rows asked for: row_id, StudyInstanceUID, prediction_type, in the file's order.

    A row id is ``<UID>_<label>``, split on its first underscore: a UID has none, patient_overall has one.

    Raises:
        CspineError: no column row_id, no rows, a row id twice, or one that does not end in a known label.
    """
    sample = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8-sig")
    if "row_id" not in sample.columns:
        raise CspineError(f"{path.name}: expected a column row_id, found {', '.join(sample.columns)}")
    if sample.empty:
        raise CspineError(
            f"{path.name}: no row is asked for; expected test studies (python -m cspine import ... --test), or ask for "
            "results/<method>/score.txt, the scores of the held-out studies, instead of a submission"
        )
    rows = sample[["row_id"]].copy()
    parts = rows["row_id"].str.partition("_")
    rows[UID], rows["prediction_type"] = parts[0], parts[2]
    wrong = ~rows["prediction_type"].isin(LABELS) | rows[UID].eq("")
    if wrong.any():
        raise CspineError(
            f"{path.name}: {_line(rows, wrong)}: expected <StudyInstanceUID>_ and one of {', '.join(LABELS)}"
        )
    twice = rows["row_id"].duplicated()
    if twice.any():
        raise CspineError(f"{path.name}: {_line(rows, twice)}: this row id occurred before; each is asked for once")
    return rows


def training_prior(studies: pd.DataFrame, normalisation: str, clip: float) -> Floats:
    """The best constant of the labelled training studies, clipped: (8,), for studies without pixels.

    Labelled means that patient_overall is known, as for the folds. Each label's goes by the studies of which it is
    known; see ``metric.best_constant`` for one that nobody knows.
    """
    labelled = studies[(studies["cohort"] == "train") & studies["in_csv"] & (studies["patient_overall"] >= 0)]
    if labelled.empty:
        raise CspineError("train.csv: no labelled study, so there is no prior for studies that cannot be read")
    return np.clip(best_constant(truth_of(labelled), normalisation), clip, 1 - clip)


def mean_of_folds(tables: list[pd.DataFrame], cohort: str) -> pd.DataFrame:
    """The mean over the fold models for each study of ``cohort``: by StudyInstanceUID, LABELS and ``models``.

    Raises:
        CspineError: no table, a study twice in one of them, or a value that is no number in [0, 1].
    """
    if not tables:
        raise CspineError("study_probabilities: expected one table for each fold run, found none")
    rows = pd.concat([t[t["cohort"] == cohort].assign(model=i) for i, t in enumerate(tables)], ignore_index=True)
    if rows.duplicated([UID, "model"]).any():
        raise CspineError(
            f"study_probabilities: study {rows[UID][rows.duplicated([UID, 'model'])].iloc[0]} occurs twice"
        )
    values = rows[list(LABELS)].to_numpy(dtype=np.float64)
    wrong = ~((values >= 0) & (values <= 1)).all(axis=1)
    if wrong.any():
        raise CspineError(f"study_probabilities: study {rows[UID].to_numpy()[wrong][0]}: expected numbers in [0, 1]")
    grouped = rows.groupby(UID, sort=True)
    return grouped[list(LABELS)].mean().assign(models=grouped.size())


def fill_sample(
    sample: pd.DataFrame, studies: pd.DataFrame, tables: list[pd.DataFrame], config: SubmissionConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The submission (row_id, fractured) and the reason of every study that the models did not (all) predict.

    Args:
        sample: from ``read_sample``.
        studies: index/studies.parquet, for the prior and for what was wrong with a study.
        tables: study_probabilities of each fold run; their mean is submitted.
        config: see SubmissionConfig.
    """
    means = mean_of_folds(tables, "test")
    prior = training_prior(studies, config.normalisation, config.prior_clip)
    table, absent = filled(sample, means[list(LABELS)], prior, config.clip)
    reasons = [(uid, *_why_prior(uid, studies)) for uid in absent]
    asked = pd.Index(sample[UID].unique())
    partly = means.index[means["models"] < len(tables)].intersection(asked)
    reasons += [(uid, "some-folds", f"{means['models'][uid]} of {len(tables)} models predicted it") for uid in partly]
    counts = sample[UID].value_counts()
    found = pd.DataFrame([(*r, int(counts[r[0]])) for r in reasons], columns=REASONS)
    return table, found.astype({"rows": np.int32}).sort_values([UID, "code"], ignore_index=True)


def filled(sample: pd.DataFrame, known: pd.DataFrame, prior: Floats, clip: float) -> tuple[pd.DataFrame, list[str]]:
    """The sample's rows (row_id, fractured), in its order; and the studies that were given the prior.

    Args:
        sample: from ``read_sample``.
        known: LABELS of the predicted studies, by StudyInstanceUID.
        prior: (8,) in the order of LABELS, of all others.
        clip: every probability is kept this far from 0 and 1.
    """
    asked = pd.Index(sample[UID].unique())
    predicted = known.reindex(asked)
    absent = predicted["patient_overall"].isna().to_numpy()
    predicted.loc[absent] = prior
    rows = predicted.index.get_indexer(pd.Index(sample[UID]))
    columns = predicted.columns.get_indexer(pd.Index(sample["prediction_type"]))
    values = np.clip(predicted.to_numpy()[rows, columns], clip, 1 - clip)
    return pd.DataFrame({"row_id": sample["row_id"], "fractured": values}), list(asked[absent])


def write_submission_file(path: Path, table: pd.DataFrame, sample: pd.DataFrame) -> None:
    """Put the rows at ``path`` by one rename, after they were read back and found right."""
    written = path.with_name(f"{path.name}.part")
    table.to_csv(written, index=False, float_format="%.6f", lineterminator="\n")
    check_submission(written, sample)
    written.replace(path)


def check_submission(path: Path, sample: pd.DataFrame) -> None:
    """Read the written file back: the sample's row ids in the sample's order, finite numbers in [0, 1].

    Raises:
        CspineError: anything else; names the first row that is wrong.
    """
    written = pd.read_csv(path, dtype={"row_id": "str"})
    if list(written.columns) != ["row_id", "fractured"] or len(written) != len(sample):
        raise CspineError(
            f"{path.name}: {len(written)} rows of {', '.join(written.columns)}; the sample has {len(sample)}"
        )
    values = written["fractured"].to_numpy(dtype=np.float64)
    wrong = (written["row_id"] != sample["row_id"].to_numpy()) | ~((values >= 0) & (values <= 1))
    if wrong.any():
        raise CspineError(f"{path.name}: {_line(written, wrong)}: not the sample's row, or no number in [0, 1]")


def _why_prior(uid: str, studies: pd.DataFrame) -> tuple[str, str]:
    rows = studies[(studies[UID] == uid) & (studies["cohort"] == "test")]
    if rows.empty or not rows["has_folder"].iloc[0]:
        return "no-folder", "no folder in test_images; the training prior is submitted"
    if not rows["readable"].iloc[0]:
        return (
            "unreadable",
            f"{rows['reason'].iloc[0] or 'no readable slice'}; the training prior is submitted",
        )
    return "no-prediction", "readable, but no model predicted it; the training prior is submitted"


def _line(rows: pd.DataFrame, wrong: pd.Series) -> str:
    at = int(np.flatnonzero(wrong)[0])
    return f"line {at + 2}, {rows['row_id'].iloc[at]!r}"  # line 1 is the header

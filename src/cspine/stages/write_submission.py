"""results/submission.csv: the sample's rows, filled."""

from __future__ import annotations

import pandas as pd

from cspine.progress import say
from cspine.stage import InPath, OutCopy, OutPath
from cspine.submission import SubmissionConfig, fill_sample, read_sample, write_submission_file
from cspine.tables import read_table, write_table


def write_submission(
    sample_submission: InPath,
    studies: InPath,
    study_probabilities: list[InPath],
    submission: OutCopy,
    reasons: OutPath,
    *,
    config: SubmissionConfig,
) -> None:
    """Fill the sample with the mean of the fold models, or the training prior where there is no prediction.

    Args:
        sample_submission: the snapshot of sample_submission.csv: which rows, and in which order.
        studies: index/studies.parquet.
        study_probabilities: one table for each fold run.
        submission: row_id, fractured; put in its place only after it was read back and found right.
        reasons: StudyInstanceUID, code, detail, rows: the studies that were not predicted (by all folds).
        config: see SubmissionConfig.
    """
    sample = read_sample(sample_submission)
    table, found = fill_sample(sample, read_table(studies), [read_table(p) for p in study_probabilities], config)
    write_submission_file(submission, table, sample)
    write_table(found, reasons)
    say(
        f"write_submission: {len(table)} rows, mean of {len(study_probabilities)} models; "
        f"studies given the prior: {_by_prior(found)}"
    )


def _by_prior(found: pd.DataFrame) -> str:
    counts = found.loc[found["code"] != "some-folds", "code"].value_counts().sort_index()
    return ", ".join(f"{count} {code}" for code, count in counts.items()) or "none"

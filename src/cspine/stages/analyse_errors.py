"""analyse_errors: what a method gets wrong, at which level, by how much and in which studies."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cspine.analysis.cohorts import (
    Answers,
    Cohort,
    as_submitted,
    choose_points,
    heldout_cohort,
    points_table,
    slices_said,
    test_cohort,
)
from cspine.analysis.confusion import confusion_rows, threshold_table
from cspine.analysis.curves import curve_table
from cspine.analysis.properties import properties_of, property_table
from cspine.analysis.reliability import calibration_row, reliability_table
from cspine.analysis.slice_figures import slice_auc_table
from cspine.analysis.slice_truth import truth_of_boxes, truth_of_phantom
from cspine.analysis.texts import Tables, error_text, sentence_of
from cspine.bootstrap import Floats, resample_counts
from cspine.errors import CspineError
from cspine.progress import say
from cspine.scores import ScoreConfig, read_truth, score_heldout_studies, score_test_studies
from cspine.stage import InPath, OutPath
from cspine.tables import read_table, write_table

SLICE_COLUMNS = ["cohort", "StudyInstanceUID", "rows", "row_spacing"]


@dataclass(frozen=True)
class ErrorConfig:
    """Whose errors are counted, and how."""

    method: str  # the name of the method, as in the config
    folds_run: list[int]  # the folds of the tables, in the order of the files
    phantom: bool = True  # the data are synthetic: said in the text
    size: str = "demo"  # smoke | demo | study: what a result of this size may claim
    bootstrap: int = 1000  # resamples of studies behind each interval
    seed: int = 0
    normalisation: str = "per_exam"  # of the prior that a test study without prediction is given
    prior_clip: float = 0.01  # that prior is kept this far from 0 and 1

    def of_scores(self) -> ScoreConfig:
        """The same for ``cspine.scores``, which says which studies are scored by what."""
        return ScoreConfig(
            self.method, self.folds_run, self.phantom, self.size, self.bootstrap, self.seed, self.prior_clip,
            self.normalisation,
        )  # fmt: skip


def analyse_errors(
    studies: InPath,
    slices: InPath,
    findings: InPath,
    folds: InPath,
    labels: InPath,
    presence: InPath,
    study_probabilities: list[InPath],
    predictions: list[InPath],
    points: OutPath,
    confusion: OutPath,
    thresholds: OutPath,
    curves: OutPath,
    areas: OutPath,
    reliability: OutPath,
    calibration: OutPath,
    properties: OutPath,
    slice_aucs: OutPath,
    text: OutPath,
    *,
    truth: InPath | None = None,
    slice_truth: InPath | None = None,
    submission: InPath | None = None,
    config: ErrorConfig,
) -> None:
    """Count the errors on the held-out studies of the folds run, and on the test studies where their truth is known.

    docs/errors.md says what is in which table; all of them have a column cohort.

    Args:
        studies: index/studies.parquet.
        slices: index/slices.parquet.
        findings: index/findings.parquet.
        folds: folds.parquet.
        labels: labels/slices.parquet.
        presence: labels/presence.parquet.
        study_probabilities: one table for each of config.folds_run, in its order.
        predictions: of the same models, likewise; of a method that judges no slices nothing is said of slices.
        points: the thresholds chosen on the select studies, per fold.
        confusion: counts and rates at 0.5 and at these.
        thresholds: accuracy and F1 against threshold.
        curves: ROC and precision-recall.
        areas: AUC and average precision.
        reliability: equal-count bins of probability.
        calibration: Brier score and calibration error.
        properties: loss, sensitivity and specificity by what is known of a study.
        slice_aucs: fracture AUC over slices.
        text: the same for the person, plain text of at most 100 columns.
        truth: a CSV like train.csv for the test studies; the phantom has one.
        slice_truth: the phantom's slices.parquet.
        submission: results/submission.csv; then its rows are analysed, and nothing else.
        config: see ErrorConfig.

    Raises:
        CspineError: a submission without the truth of its studies; tables that are not those of the folds run.
    """
    study_table, fold_table = read_table(studies), read_table(folds)
    answers = Answers(
        config.folds_run,
        [read_table(p) for p in study_probabilities],
        [slices_said(read_table(p)) for p in predictions],
    )
    boxed = truth_of_boxes(read_table(labels), read_table(presence), study_table)
    chosen = choose_points(answers, study_table, fold_table, boxed)
    cohorts: list[Cohort] = []
    if submission is None:
        scored = score_heldout_studies(study_table, fold_table, answers.studies, config.of_scores())
        cohorts.append(heldout_cohort(scored, fold_table, answers, chosen, boxed))
    if truth is not None and slice_truth is not None:
        scored = score_test_studies(study_table, fold_table, answers.studies, read_truth(truth), config.of_scores())
        scored = scored if submission is None else as_submitted(scored, submission)
        cohorts.append(test_cohort(scored.cohort, scored, answers, chosen, truth_of_phantom(read_table(slice_truth))))
    if not cohorts:
        raise CspineError(
            "errors: a submission is analysed where the truth of the test studies is known; none was given"
        )
    groups = [
        properties_of(
            c.uids, c.truth, _in_index(c), study_table, read_table(slices, SLICE_COLUMNS), read_table(findings)
        )
        for c in cohorts
    ]
    tables = analyse(cohorts, groups, config)
    places = dict(
        confusion=confusion, thresholds=thresholds, curves=curves, areas=areas, reliability=reliability,
        calibration=calibration, properties=properties, slice_aucs=slice_aucs,
    )  # fmt: skip
    for name, place in places.items():
        write_table(tables[name], place)
    write_table(points_table(chosen), points)
    text.write_text(error_text(cohorts, tables, points_table(chosen), config), encoding="utf-8")
    for cohort in cohorts:
        say("analyse_errors: " + sentence_of(cohort, tables))


def analyse(cohorts: list[Cohort], groups: list[pd.DataFrame], config: ErrorConfig) -> Tables:
    """Every table of ``analyse_errors`` but the points, by name."""
    found: dict[str, list[pd.DataFrame]] = {}
    for cohort, of_studies in zip(cohorts, groups, strict=True):
        counts = resample_counts(len(cohort.uids), config.bootstrap, config.seed)
        for name, table in _tables_of(cohort, of_studies, counts).items():
            table.insert(0, "cohort", cohort.name)
            found.setdefault(name, []).append(table)
    return {name: pd.concat(tables, ignore_index=True) for name, tables in found.items()}


def _tables_of(cohort: Cohort, groups: pd.DataFrame, counts: Floats) -> Tables:
    levels, of_slices = cohort.levels(), cohort.slice_levels()
    curves = [curve_table(cells, counts) for cells in levels]
    return {
        "confusion": pd.DataFrame([row for cells in [*levels, *of_slices] for row in confusion_rows(cells, counts)]),
        "thresholds": pd.concat([threshold_table(cells, counts) for cells in [*levels[:2], *of_slices]]),
        "curves": pd.concat([table for table, _ in curves], ignore_index=True),
        "areas": pd.DataFrame([row for _, row in curves]),
        "reliability": pd.concat([reliability_table(cells, counts) for cells in levels]),
        "calibration": pd.DataFrame([calibration_row(cells, counts) for cells in levels]),
        "properties": property_table(groups, cohort.truth, cohort.probability, levels[0], counts),
        "slice_aucs": slice_auc_table(cohort.slices, counts),
    }


def _in_index(cohort: Cohort) -> str:
    return "train" if cohort.name == "heldout" else "test"

"""weigh_evidence: ways of teaching the same network, side by side on the phantom's test studies."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from cspine.bootstrap import resample_counts
from cspine.errors import CspineError
from cspine.evidence import Arm, Taught, TestSet, evidence_table, measure_arms, taught_of
from cspine.evidence_texts import EvidenceConfig, evidence_text, sentence
from cspine.progress import say
from cspine.scores import constants_of_folds
from cspine.stage import InPath, OutPath
from cspine.studies import LABELS, UID, VERTEBRAE
from cspine.submission import mean_of_folds
from cspine.tables import read_table, write_table

SLICE = [UID, "slice_number"]


def weigh_evidence(
    studies: InPath,
    folds: InPath,
    test_truth: InPath,
    slice_truth: InPath,
    study_probabilities: list[InPath],
    predictions: list[InPath],
    training_sets: list[InPath],
    evidence: OutPath,
    table: OutPath,
    *,
    config: EvidenceConfig,
) -> None:
    """Measure every arm, and the best constant, on the phantom's test studies.

    Args:
        studies: index/studies.parquet.
        folds: folds.parquet.
        test_truth: the phantom's hidden test.csv.
        slice_truth: its slices.parquet.
        study_probabilities: one for each arm and fold run, all folds of the first arm first.
        predictions: the same of its slices.
        training_sets: what each was taught.
        evidence: arm, than ("" or the arm it is compared with), measure, value, low, high.
        table: the same for the person, Markdown.
        config: see EvidenceConfig.
    """
    truth = read_table(slice_truth)
    labels = pd.read_csv(test_truth, dtype={UID: "str"}).sort_values(UID, ignore_index=True)
    slices = _test_slices(truth, read_table(predictions[0]), labels)
    test = _test_set(labels, slices)
    constants = constants_of_folds(read_table(studies), read_table(folds), config.folds_run, config.constant_clip)
    arms = {"constant": Arm(np.tile(constants["per_exam"], (len(labels), 1)), np.zeros(test.present.shape))}
    taught: dict[str, Taught] = {}
    for name, files in _by_arm(config, study_probabilities, predictions, training_sets).items():
        arms[name] = _arm(name, files[0], files[1], labels, slices)
        taught[name] = taught_of([read_table(path) for path in files[2]], truth)
    measured = measure_arms(test, arms, resample_counts(len(labels), config.bootstrap, config.seed))
    write_table(evidence_table(measured, config.compare), evidence)
    table.write_text(evidence_text(measured, taught, test, config), encoding="utf-8")
    say("evidence: " + sentence(measured))


def _by_arm(config: EvidenceConfig, *files: list[InPath]) -> dict[str, list[list[InPath]]]:
    """The files of each kind that belong to each arm."""
    folds, names = len(config.folds_run), config.names
    wrong = [len(kind) for kind in files if len(kind) != folds * len(names)]
    if wrong:
        raise CspineError(f"evidence: {wrong[0]} files for {len(names)} arms of {folds} folds; expected one for each")
    return {name: [kind[i * folds : (i + 1) * folds] for kind in files] for i, name in enumerate(names)}


def _test_slices(truth: pd.DataFrame, predictions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """The truth of every readable slice of the labelled test studies, by study and slice number.

    A folder in test_images that test.csv does not ask for is predicted, but has no labels to be measured by.
    """
    read = predictions.loc[(predictions["cohort"] == "test") & predictions[UID].isin(labels[UID]), SLICE]
    known = truth[truth["cohort"] == "test"].merge(read, on=SLICE, validate="1:1")
    return known.sort_values(SLICE, ignore_index=True)


def _test_set(labels: pd.DataFrame, slices: pd.DataFrame) -> TestSet:
    place = pd.Index(labels[UID]).get_indexer(pd.Index(slices[UID])).astype(np.int64)
    present, fractured = (
        slices[[f"{what}_{v}" for v in VERTEBRAE]].to_numpy(dtype=bool) for what in ("present", "fractured")
    )
    return TestSet(labels[list(LABELS)].to_numpy(dtype=np.float64), place, present, fractured)


def _arm(
    name: str,
    probabilities: Iterable[InPath],
    predictions: Iterable[InPath],
    labels: pd.DataFrame,
    slices: pd.DataFrame,
) -> Arm:
    """An arm's mean over its folds, in the order of the test set."""
    means = mean_of_folds([read_table(p) for p in probabilities], "test").reindex(labels[UID])
    tables = [read_table(p) for p in predictions]
    merged = [slices[SLICE].merge(t[t["cohort"] == "test"], on=SLICE, how="left", validate="1:1") for t in tables]
    values = np.mean([t[list(VERTEBRAE)].to_numpy(dtype=np.float64) for t in merged], axis=0)
    if means["patient_overall"].isna().any() or np.isnan(values).any():
        raise CspineError(f"evidence: {name} has not predicted every test study and slice of the phantom")
    return Arm(means[list(LABELS)].to_numpy(dtype=np.float64), values)

"""weigh_evidence: teacher, student and a network taught the phantom's truth, side by side on the test studies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cspine.bootstrap import Estimate, multiplicities, resamples
from cspine.errors import CspineError
from cspine.evidence import MEASURES, Arm, Measured, TestSet, evidence_table, gap_closed, measure_arms
from cspine.progress import say
from cspine.scores import LEAST_STUDIES, constants_of_folds
from cspine.stage import InPath, OutPath
from cspine.studies import LABELS, UID, VERTEBRAE
from cspine.submission import mean_of_folds
from cspine.tables import read_table, write_table

ARMS = {
    "constant": "best constant",
    "teacher": "boxes only (teacher)",
    "student": "boxes + pseudo-labels (student)",
    "truth": "taught the truth",
}
DIFFERENCES = [("teacher", "constant"), ("student", "teacher"), ("truth", "teacher"), ("truth", "student")]
HEADINGS = {
    "loss": "weighted log loss (lower is better)",
    "patient_auc": "patient AUC",
    "vertebra_auc": "study AUC per vertebra",
    "slice_auc": "slice AUC, vertebra in view",
    "slice_auc_all": "slice AUC, all slices",
}
SLICE = [UID, "slice_number"]


@dataclass(frozen=True)
class EvidenceConfig:
    """What is weighed."""

    folds_run: list[int]  # the folds of the tables, in the order of the files
    steps: int  # optimiser steps of every arm
    bootstrap: int = 1000  # resamples of the test studies
    seed: int = 0
    constant_clip: float = 0.01  # the constant is kept this far from 0 and 1
    size: str = "demo"  # smoke: contracts only, nothing is claimed


def weigh_evidence(
    studies: InPath,
    folds: InPath,
    test_truth: InPath,
    slice_truth: InPath,
    teacher_studies: list[InPath],
    teacher_slices: list[InPath],
    student_studies: list[InPath],
    student_slices: list[InPath],
    truth_studies: list[InPath],
    truth_slices: list[InPath],
    evidence: OutPath,
    table: OutPath,
    *,
    config: EvidenceConfig,
) -> None:
    """Measure the four arms on the phantom's test studies.

    Args:
        studies: index/studies.parquet.
        folds: folds.parquet.
        test_truth: the phantom's hidden test.csv.
        slice_truth: its slices.parquet.
        teacher_studies: study_probabilities.parquet of the teacher, one for each fold run.
        teacher_slices: its predictions.parquet.
        student_studies: the same of the student.
        student_slices: its predictions.
        truth_studies: the same of the network taught the truth.
        truth_slices: its predictions.
        evidence: arm, than ("" or the arm it is compared with), measure, value, low, high.
        table: the same for the person, Markdown.
        config: see EvidenceConfig.
    """
    labels = pd.read_csv(test_truth, dtype={UID: "str"}).sort_values(UID, ignore_index=True)
    slices = _test_slices(read_table(slice_truth), read_table(teacher_slices[0]), labels)
    test = _test_set(labels, slices)
    constants = constants_of_folds(read_table(studies), read_table(folds), config.folds_run, config.constant_clip)
    constant = constants["per_exam"]
    arms = {"constant": Arm(np.tile(constant, (len(labels), 1)), np.zeros(test.present.shape))}
    given = {
        "teacher": (teacher_studies, teacher_slices),
        "student": (student_studies, student_slices),
        "truth": (truth_studies, truth_slices),
    }
    for name, (probabilities, predictions) in given.items():
        arms[name] = _arm(name, probabilities, predictions, labels, slices)
    counts = multiplicities(resamples(len(labels), config.bootstrap, config.seed))
    measured = measure_arms(test, arms, counts)
    write_table(evidence_table(measured, DIFFERENCES), evidence)
    table.write_text(evidence_text(measured, test, config), encoding="utf-8")
    say("evidence: " + _sentence(measured))


def evidence_text(measured: dict[str, dict[str, Measured]], test: TestSet, config: EvidenceConfig) -> str:
    """The tables for the person, as Markdown."""
    fractured, positive = int(test.labels[:, 0].sum()), int(test.fractured.any(axis=1).sum())
    gain = measured["student"]["loss"].minus(measured["teacher"]["loss"]).estimate()
    half = (gain.high - gain.low) / 2
    lines = [
        *(["**smoke size: checks that it runs, measures nothing.**", ""] if config.size == "smoke" else []),
        f"On the PHANTOM (synthetic: says nothing about patients): {len(test.labels)} test studies that no model saw, "
        f"{fractured} of them fractured, {len(test.study)} slices, {positive} with a visible fracture. Every network "
        f"had {config.steps} optimiser steps. [95 % interval] over {config.bootstrap} resamples of studies, paired in "
        f"the second table; the smallest difference in loss it can show between teacher and student is {half:.3f}.",
        "",
        "| taught by | " + " | ".join(HEADINGS.values()) + " |",
        "|---|" + "---|" * len(HEADINGS),
    ]
    for arm, name in ARMS.items():
        cells = [_cell(measured[arm][key].estimate(), signed=False) for key in MEASURES]
        if arm == "constant":
            cells = [cells[0], *["0.500"] * (len(cells) - 1)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| difference | " + " | ".join(HEADINGS.values()) + " |", "|---|" + "---|" * len(HEADINGS)]
    for arm, than in DIFFERENCES:
        cells = [_cell(measured[arm][key].minus(measured[than][key]).estimate(), signed=True) for key in MEASURES]
        lines.append(f"| {arm} - {than} | " + " | ".join(cells) + " |")
    lines.append("| " + " | ".join(["share of the way from teacher to truth", *_shares(measured)]) + " |")
    if len(test.labels) < LEAST_STUDIES:
        lines += ["", f"Too few to measure: {len(test.labels)} test studies, {LEAST_STUDIES} are needed."]
    return "\n".join(lines) + "\n"


def _shares(measured: dict[str, dict[str, Measured]]) -> list[str]:
    """How much of the way the student goes, where there is a way: the truth is clearly better than the teacher."""
    cells = []
    for key in MEASURES:
        teacher, student, truth = (measured[arm][key] for arm in ("teacher", "student", "truth"))
        gap = truth.minus(teacher).estimate()
        closed = gap_closed(student, teacher, truth).estimate()
        clear = gap.low > 0 or gap.high < 0
        cells.append(f"{closed.value:.0%} [{closed.low:.0%}, {closed.high:.0%}]" if clear else "no clear gap")
    return cells


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
    name: str, probabilities: list[InPath], predictions: list[InPath], labels: pd.DataFrame, slices: pd.DataFrame
) -> Arm:
    """An arm's mean over its folds, in the order of the test set."""
    means = mean_of_folds([read_table(p) for p in probabilities], "test").reindex(labels[UID])
    tables = [read_table(p) for p in predictions]
    merged = [slices[SLICE].merge(t[t["cohort"] == "test"], on=SLICE, how="left", validate="1:1") for t in tables]
    values = np.mean([t[list(VERTEBRAE)].to_numpy(dtype=np.float64) for t in merged], axis=0)
    if means["patient_overall"].isna().any() or np.isnan(values).any():
        raise CspineError(f"evidence: {name} has not predicted every test study and slice of the phantom")
    return Arm(means[list(LABELS)].to_numpy(dtype=np.float64), values)


def _cell(estimate: Estimate, signed: bool) -> str:
    if np.isnan(estimate.value):
        return "too few"
    sign = "+" if signed else ""
    return f"{estimate.value:{sign}.3f} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"


def _sentence(measured: dict[str, dict[str, Measured]]) -> str:
    return "; ".join(
        f"{arm} loss {m['loss'].value:.4f}, slice AUC {m['slice_auc'].value:.3f}" for arm, m in measured.items()
    )

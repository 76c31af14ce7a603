"""choose_cases: the vertebrae that a method got most wrong, and the studies that can be browsed in the report."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pandas as pd

from cspine.analysis.cohorts import Answers, slices_said
from cspine.errors import CspineError
from cspine.progress import say
from cspine.report.choosing import Known, judged_vertebrae, with_key_slices, worst
from cspine.report.shown_studies import Pool, shown_studies
from cspine.report.study_words import in_index
from cspine.scores import read_truth
from cspine.stage import InPath, OutPath
from cspine.studies import UID
from cspine.tables import read_table, write_table

STUDY_COLUMNS = ["slices", "thickness", "boxed", "segmented"]


@dataclass(frozen=True)
class CaseConfig:
    """Whose errors, and how many."""

    method: str  # the name of the method, as in the config
    folds_run: list[int]  # the folds of the tables, in the order of the files
    cases: int = 4  # of each kind of error
    studies: int = 6  # to browse, those of the worst cases among them
    seed: int = 0  # of the studies that are drawn


def choose_cases(
    studies: InPath,
    slices: InPath,
    findings: InPath,
    folds: InPath,
    points: InPath,
    study_probabilities: list[InPath],
    predictions: list[InPath],
    choices: list[InPath],
    cases: OutPath,
    shown: OutPath,
    *,
    truth: InPath | None = None,
    pseudo_labels: list[InPath] = [],  # noqa: B006 - never changed; the signature is read as text
    config: CaseConfig,
) -> None:
    """Choose the worst false negatives and false positives, and the studies to browse.

    Args:
        studies: index/studies.parquet.
        slices: index/slices.parquet.
        findings: index/findings.parquet.
        folds: folds.parquet.
        points: the thresholds chosen on select (stage analyse_errors).
        study_probabilities: one table for each of config.folds_run, in its order.
        predictions: of the same models, likewise; a method of whole studies or vertebrae has no key slices.
        choices: aggregation.json of each, which says what counts of a slice.
        cases: cohort (heldout | test), StudyInstanceUID, fold, label (C1..C7), kind (false negative | false positive),
            rank (1 = worst of its kind), truth, probability, threshold, assumed (why that was not chosen), z_index and
            slice_number of the key slice (-1: none), vertebra (whose answer is explained), and of the study slices,
            thickness (mm), rows, row_spacing (mm), boxed, segmented, findings (reason codes).
        shown: cohort (heldout | test, or the role of a training study in the fold), StudyInstanceUID, fold (whose
            models' predictions are shown), why.
        truth: a CSV like train.csv for the test studies; the phantom has one.
        pseudo_labels: the last pseudo-labels that were taught, one table for each fold run; none of a method without.
        config: see CaseConfig.

    Raises:
        CspineError: as many tables as folds are expected, and thresholds of all of them.
    """
    study_table, said = read_table(studies), [slices_said(read_table(path)) for path in predictions]
    answers = Answers(config.folds_run, [read_table(path) for path in study_probabilities], said)
    known = Known(study_table, read_table(points), read_truth(truth) if truth is not None else None)
    judged = judged_vertebrae(answers, known)
    _one_for_each(config.folds_run, choices=choices, **({"pseudo_labels": pseudo_labels} if pseudo_labels else {}))
    evidence = [json.loads(path.read_text(encoding="utf-8")).get("evidence", "fracture") for path in choices]
    found = with_key_slices(worst(judged, config.cases), answers, evidence)
    codes = read_table(findings, [UID, "code"])
    write_table(
        _with_facts(found, study_table, read_table(slices, ["cohort", UID, "rows", "row_spacing"]), codes), cases
    )
    taught = [set(read_table(path, [UID])[UID]) for path in pseudo_labels] or [set() for _ in config.folds_run]
    pool = Pool(study_table, read_table(folds), config.folds_run, judged, taught, config.seed)
    browsed = shown_studies(pool, found, config.studies)
    write_table(browsed, shown)
    kinds = found["kind"].value_counts()
    counted = ", ".join(
        f"{kinds.get(kind, 0)} of {(judged['kind'] == kind).sum()} {kind}s" for kind in sorted(kinds.index)
    )
    say(f"choose_cases: {config.method}: {counted or 'no error'}; {len(browsed)} studies to browse")


def _one_for_each(folds_run: list[int], **files: list[InPath]) -> None:
    for name, paths in files.items():
        if len(paths) != len(folds_run):
            raise CspineError(f"choose_cases: {len(paths)} {name} for folds {folds_run}; expected one for each")


def _with_facts(
    cases: pd.DataFrame, studies: pd.DataFrame, slices: pd.DataFrame, findings: pd.DataFrame
) -> pd.DataFrame:
    """``cases`` with what is known of their studies."""
    of_study = studies.set_index(["cohort", UID])[STUDY_COLUMNS]
    sizes = slices.groupby(["cohort", UID])[["rows", "row_spacing"]].median()
    codes = findings.groupby(UID)["code"].agg(lambda found: ", ".join(sorted(set(found))))
    keys = pd.MultiIndex.from_arrays([cases["cohort"].map(in_index), cases[UID]])
    facts = pd.concat([of_study.reindex(keys), sizes.reindex(keys).astype({"rows": "float32"})], axis=1)
    facts = facts.astype({"slices": "int32", "boxed": "bool", "segmented": "bool"}).reset_index(drop=True)
    told = cases.reset_index(drop=True).astype({"truth": "int8"})
    return pd.concat([told, facts], axis=1).assign(findings=cases[UID].map(codes).fillna("").astype("str").to_numpy())

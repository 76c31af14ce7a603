"""A bundle's models on the labelled studies of a data folder that they have not seen: nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cspine.bundles.manifest import read_bundle
from cspine.bundles.seen import unseen
from cspine.errors import CspineError
from cspine.findings import Finding, findings_table
from cspine.prediction.answers import Options, resumed
from cspine.prediction.inputs import StudyInput
from cspine.prediction.parts import Parts
from cspine.prediction.results import labels_of, without_folder
from cspine.prediction.tables import write_predictions
from cspine.progress import report, say
from cspine.raw_folder import COHORTS, files_by_study, read_rows
from cspine.runtime import runtime, workers
from cspine.stage import InPath, OutPath, RawFolder, Scratch
from cspine.studies import UID
from cspine.tables import write_table

USES_GPU = True


@dataclass(frozen=True)
class PredictWithBundleConfig:
    """What the key must know of the bundle's code."""

    family: str  # of its models, see cspine.methods.registry


def predict_with_bundle(
    root: RawFolder,
    manifest: InPath,
    train: InPath,
    train_shards: list[InPath],
    study_probabilities: OutPath,
    predictions: OutPath,
    findings: OutPath,
    parts: Scratch,
    *,
    config: PredictWithBundleConfig,
) -> None:
    """Read and predict the studies of train.csv; finished studies outlive a kill.

    Args:
        root: the raw folder; studies lie in its train_images.
        manifest: bundle.json, beside its files; they are compared with it.
        train: the inventory's snapshot of train.csv; which studies.
        train_shards: the inventory's lists of their files.
        study_probabilities: StudyInstanceUID, patient_overall, C1..C7, reason ("" = predicted, else the prior).
        predictions: as `cspine predict` writes them.
        findings: what was wrong with the input.
        parts: a folder for the finished studies.
        config: see PredictWithBundleConfig.

    Raises:
        CspineError: no bundle, or its models have seen every study.
    """
    bundle = read_bundle(manifest.parent)
    if bundle.family != config.family:
        raise CspineError(
            f"submission.method: its family is {config.family}, the bundle in {manifest.parent} is of {bundle.family}; "
            "expected a method of that family"
        )
    listed = [row[UID] for _, row in read_rows(train, (UID,))]
    uids = unseen(listed, bundle.manifest["seen"])
    say(f"{bundle.name()}; {len(listed) - len(uids)} of {len(listed)} studies it was taught by are left out")
    if not uids:
        raise CspineError(
            f"{train}: the models of the bundle in {manifest.parent} have seen all {len(listed)} labelled studies; "
            "expected studies that are new to them (data.root), or a bundle of folds that hold some out"
        )
    with_files, images = set(files_by_study(train_shards)), root / COHORTS["train"]
    studies = [StudyInput(uid, images / uid if uid in with_files else None) for uid in uids]
    kept, rows, found = Parts(parts, bundle.id), {}, _seen(set(listed) - set(uids))
    for answer in resumed(studies, bundle, Options(runtime().device, workers=workers()), kept):
        rows[answer.uid] = {UID: answer.uid, **labels_of(answer), "reason": answer.reason}
        found += answer.findings
        report("predict_with_bundle", len(rows), len(studies), "studies")
    write_table(pd.DataFrame([rows[uid] for uid in uids]), study_probabilities)
    write_predictions(predictions, (kept.get(s.uid) if s.folder else without_folder(s.uid, bundle) for s in studies))
    write_table(findings_table(found), findings)


def _seen(uids: set[str]) -> list[Finding]:
    return [
        Finding(uid, "seen-in-training", "", "a model of the bundle learnt from it", "not evaluated")
        for uid in sorted(uids)
    ]

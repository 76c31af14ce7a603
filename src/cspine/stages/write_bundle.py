"""results/bundle/: all that `cspine predict` needs where neither the workflow nor the training data are."""

from __future__ import annotations

import json
import shutil
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cspine.bundles.layout import CONFIG, README, model_name
from cspine.bundles.manifest import write_manifest
from cspine.bundles.needs import needed_of, versions
from cspine.bundles.points import Point, point_of
from cspine.bundles.readme import readme_of
from cspine.bundles.seen import seen_by
from cspine.cache.encodings import read_encoding
from cspine.errors import CspineError
from cspine.metric import check_normalisation
from cspine.model_headers import read_header
from cspine.partial_labels import truth_of
from cspine.progress import say
from cspine.project_files import wheel_name
from cspine.stage import InPath, OutCopy
from cspine.studies import LABELS, UID
from cspine.submission import training_prior
from cspine.tables import read_table


@dataclass(frozen=True)
class BundleConfig:
    """Whose models are bundled, and how they were made and are to be used."""

    method: str  # its name in the config
    folds_run: list[int]  # of models, choices and study_probabilities, in the order of the files
    block: dict[str, Any]  # the method's block of the last round, for the reader
    view: dict[str, Any]  # centre and window of the pixels; size and codec are the size plan's
    prediction: dict[str, Any]  # family, batch_size, precision, threads: what predict_slices was told
    normalisation: str  # the form of the metric that prior and choices aim at
    clip: float  # every submitted probability is kept this far from 0 and 1 ...
    prior_clip: float  # ... and the prior this far
    sensitivity: float  # share of the select studies' fractures that the points find
    phantom: bool
    size: str  # smoke | demo | study: what a result of this size may claim

    def __post_init__(self) -> None:
        check_normalisation(self.normalisation)
        if not 0 < self.sensitivity <= 1:
            raise CspineError(f"bundle.sensitivity: found {self.sensitivity}, expected a share above 0, up to 1")


def write_bundle(
    models: list[InPath],
    choices: list[InPath],
    study_probabilities: list[InPath],
    form: InPath,
    studies: InPath,
    folds: InPath,
    project: InPath,
    wheel: InPath,
    weights: list[OutCopy],
    settings: OutCopy,
    readme: OutCopy,
    manifest: OutCopy,
    *,
    config: BundleConfig,
) -> None:
    """Gather the fold models, what was chosen for them, priors and points, and list all with digests and versions.

    Args:
        models: model.safetensors of each fold run, of the last round.
        choices: aggregation.json of each.
        study_probabilities: study_probabilities.parquet of each; the select studies' are looked at.
        form: the size plan's encoding of the view.
        studies: index/studies.parquet; for prior and points.
        folds: folds.parquet.
        project: pyproject.toml, for the ranges of the libraries.
        wheel: cspine itself, which lies in the bundle under its own name.
        weights: the models' copies.
        settings: JSON with everything the config says of them.
        readme: how to use the bundle.
        manifest: bundle.json.
        config: see BundleConfig.
    """
    study_table, fold_table = read_table(studies), read_table(folds)
    for source, target in zip(models, weights, strict=True):
        shutil.copyfile(source, target)
    settings.write_text(json.dumps(asdict(config), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    points = _points([read_table(path) for path in study_probabilities], study_table, config.sensitivity)
    prior = training_prior(study_table, config.normalisation, config.prior_clip)
    content = {
        "method": config.method,
        "phantom": config.phantom,
        "size": config.size,
        **config.prediction,
        "view": {**config.view, **asdict(read_encoding(form))},
        "models": [
            _model(fold, model, choice) for fold, model, choice in zip(config.folds_run, models, choices, strict=True)
        ],
        "prior": dict(zip(LABELS, prior.tolist(), strict=True)),
        "clip": config.clip,
        "points": {kind: asdict(point) for kind, point in points.items()},
        "seen": seen_by(fold_table, config.folds_run),
        "wheel": wheel_name(project),
        "requires": needed_of(_dependencies(project)),
        "versions": versions(),
    }
    readme.write_text(readme_of(content), encoding="utf-8")
    files = {model_name(fold): path for fold, path in zip(config.folds_run, weights, strict=True)}
    files |= {CONFIG: settings, README: readme, content["wheel"]: wheel}
    made = write_manifest(manifest, content, files)
    size = sum(entry["bytes"] for entry in made["files"].values())
    say(f"write_bundle: {len(models)} models, {size / 1e6:.1f} MB in {len(files) + 1} files; id {made['id']}")


def _points(tables: list[pd.DataFrame], studies: pd.DataFrame, sensitivity: float) -> dict[str, Point]:
    """By each fold's model on its own select studies, all folds together."""
    chosen = pd.concat([table[table["cohort"] == "select"] for table in tables])
    labels = studies[studies["cohort"] == "train"].set_index(UID).loc[chosen[UID]]
    truth, probability = truth_of(labels), chosen[list(LABELS)].to_numpy(np.float64)
    patient = point_of(truth[:, 0], probability[:, 0], sensitivity)
    suspicious = probability[:, 0] >= patient.threshold  # only their vertebrae are asked about
    cells = truth[suspicious, 1:].ravel(), probability[suspicious, 1:].ravel()
    return {"patient": patient, "vertebra": point_of(*cells, sensitivity)}


def _model(fold: int, model: Path, choice: Path) -> dict[str, Any]:
    aggregation = json.loads(choice.read_text(encoding="utf-8"))
    kept = {key: value for key, value in aggregation.items() if key != "tried"}
    network = read_header(model)["network"]["name"]
    return {"file": model_name(fold), "fold": fold, "network": network, "aggregation": kept}


def _dependencies(project: Path) -> list[str]:
    return list(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"])

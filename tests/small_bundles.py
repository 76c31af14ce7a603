"""A bundle of untrained networks, made in a moment by the stage that makes real ones; and studies for it to predict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cspine.bundles.layout import CONFIG, MANIFEST, README, model_name
from cspine.bundles.manifest import id_of
from cspine.cache.encodings import Encoding
from cspine.methods import slice_cnn
from cspine.models import save_model
from cspine.project_files import wheel_name
from cspine.slice_evidence import columns_for
from cspine.stages.aggregate_studies import aggregate_studies
from cspine.stages.write_bundle import BundleConfig, write_bundle
from cspine.tables import write_table
from dicom_makers import write_study
from small_cohort import folds_of, many_studies, predictions_table
from small_trainings import NETWORK
from smoke_projects import ROOT

PROJECT = ROOT / "pyproject.toml"
PIXELS, SLICES = 32, 5
VIEW: dict[str, Any] = {"centre": 0.8, "window_center": 400.0, "window_width": 2000.0}
PREDICTION: dict[str, Any] = {"family": "slice_cnn", "batch_size": 4, "precision": "auto", "threads": 1}


def small_bundle(
    folder: Path,
    folds: Sequence[int] = (0, 1),
    codec: str = "zstd-delta",
    network: dict[str, Any] | None = None,
    evidence: str = "fracture",
    **changes: object,
) -> Path:
    """A bundle in ``folder``: models of random weights, choices made on a made-up cohort; returns the folder.

    Args:
        folder: is made.
        folds: of models.
        codec: of the cached slices.
        network: what differs from NETWORK.
        evidence: with "localized" the networks also say what a slice shows.
        changes: what differs in the stage's config.
    """
    settings, outputs = {**NETWORK, **(network or {})}, tuple(columns_for([evidence]))
    beside = folder.parent / f"{folder.name}-beside"
    beside.mkdir(parents=True)
    folder.mkdir()
    studies = many_studies(60)
    table = folds_of(studies)
    write_table(studies, beside / "studies.parquet")
    write_table(table, beside / "folds.parquet")
    Encoding(PIXELS, codec).write(beside / "form.json")
    (wheel := beside / wheel_name(PROJECT)).write_bytes(b"a wheel")
    for fold in folds:
        (beside / str(fold)).mkdir()
        description = {"family": "slice_cnn", "network": settings, "outputs": list(outputs)}
        save_model(_network(fold, settings, len(outputs)), beside / str(fold) / "model.safetensors", description)
        predictions = predictions_table(studies, seed=fold).assign(**dict.fromkeys(outputs[7:], np.float32(0.75)))
        write_table(predictions, beside / str(fold) / "predictions.parquet")
        _aggregate(beside, fold, evidence)
    made = [beside / str(fold) for fold in folds]
    config = BundleConfig(
        **{
            "method": "semi_supervised", "folds_run": list(folds), "block": {"rounds": 2}, "view": VIEW,
            "prediction": PREDICTION, "normalisation": "per_exam", "clip": 0.001, "prior_clip": 0.01,
            "sensitivity": 0.9, "phantom": True, "size": "smoke", **changes,
        }  # type: ignore[arg-type]
    )  # fmt: skip
    write_bundle(
        [one / "model.safetensors" for one in made],
        [one / "aggregation.json" for one in made],
        [one / "study_probabilities.parquet" for one in made],
        beside / "form.json", beside / "studies.parquet", beside / "folds.parquet", PROJECT, wheel,
        [folder / model_name(fold) for fold in folds], folder / CONFIG, folder / README, folder / MANIFEST,
        config=config,
    )  # fmt: skip
    (folder / wheel.name).write_bytes(wheel.read_bytes())
    return folder


def write_studies(root: Path, uids: Sequence[str], slices: int = SLICES) -> Path:
    """A folder of studies, no two alike."""
    for number, uid in enumerate(uids):
        write_study(root / uid, [10.0 * number - float(z) for z in range(slices)])
    return root


def write_sample(path: Path, uids: Sequence[str]) -> Path:
    """A sample submission: the labels in an order of their own, the rows of the studies mixed."""
    rows = [f"{uid}_{label}" for label in ("C3", "patient_overall", "C1", "C7") for uid in uids]
    path.write_text("row_id,fractured\n" + "".join(f"{row},0.5\n" for row in rows), encoding="utf-8")
    return path


def rewrite_manifest(folder: Path, **changes: object) -> None:
    """Change entries of a bundle's manifest and leave its id as it was."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps(manifest | changes), encoding="utf-8")


def resign(folder: Path, content: dict[str, Any]) -> None:
    """Write a manifest with the id that belongs to it: another bundle, not a tampered one."""
    content["id"] = id_of(content)
    (folder / MANIFEST).write_text(json.dumps(content), encoding="utf-8")


def _network(seed: int, settings: dict[str, Any], outputs: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    network = slice_cnn.build(slice_cnn.NetworkConfig(**settings), outputs=outputs)
    for module in network.modules():  # statistics as after a training, so that slices differ in their answers
        if isinstance(module, torch.nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.1)
    return network


def _aggregate(beside: Path, fold: int, evidence: str) -> None:
    from cspine.predictions import AggregateConfig

    aggregate_studies(
        beside / str(fold) / "predictions.parquet", beside / "studies.parquet", beside / "folds.parquet",
        beside / str(fold) / "study_probabilities.parquet", beside / str(fold) / "aggregation.json",
        config=AggregateConfig(fold=fold, evidence=[evidence]),
    )  # fmt: skip


def random_pixels(slices: int, seed: int = 0) -> np.ndarray:
    """A study as a network sees it."""
    return np.random.default_rng(seed).integers(0, 256, (slices, PIXELS, PIXELS)).astype(np.uint8)

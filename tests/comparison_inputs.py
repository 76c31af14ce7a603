"""Methods made up for the comparison: tables of noise with more or less skill, written as the workflow has them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from cspine.comparison.config import CompareConfig, ComparedMethod, Published
from cspine.comparison.figures import Studies
from cspine.model_headers import METADATA
from cspine.predictions import AggregateConfig, study_probabilities_of
from cspine.stages.compare_methods import compare_methods
from cspine.studies import LABELS, UID
from cspine.tables import write_table
from small_cohort import folds_of, many_studies, predictions_table

STUDIES = many_studies(96, seed=9, test=30)
FOLDS = folds_of(STUDIES)
TRUTH = many_studies(30, seed=10)[[UID, *LABELS]].assign(**{UID: [f"test-{i:04d}" for i in range(30)]})
KNOWN = Studies(STUDIES, FOLDS, TRUTH)
FOLDS_RUN = [0, 2]
SKILL = {"semi_supervised": 1.5, "guessing": 0.0, "knowing": 5.0}
METHODS = [ComparedMethod(name, "slice_cnn", "slice", ["max", "mean_of_3"]) for name in SKILL]
PREDICTIONS = {
    name: [predictions_table(STUDIES, seed=fold, skill=skill) for fold in FOLDS_RUN] for name, skill in SKILL.items()
}
PLAIN = {"vertebra": ["max"], "patient": ["max"], "calibration": ["none"], "clip": [0.001]}
TABLES = {
    name: [
        study_probabilities_of(table, STUDIES, FOLDS, AggregateConfig(fold, **PLAIN))[0]  # type: ignore[arg-type]
        for fold, table in zip(FOLDS_RUN, tables, strict=True)
    ]
    for name, tables in PREDICTIONS.items()
}


def config_of(methods: Sequence[ComparedMethod] = METHODS, **changes: object) -> CompareConfig:
    """A comparison of these methods, held against the first of them."""
    published = {"guessing": Published(0.6048, "private part")}
    given = {"folds_run": FOLDS_RUN, "published": published, "bootstrap": 60, **changes}
    return CompareConfig(list(methods), methods[0].name, **given)  # type: ignore[arg-type]


def model(path: Path, weights: int = 10) -> Path:
    """A finished model of so many weights, and numbers that are none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"layer.weight": np.zeros((weights, 2), np.float32), "norm.running_mean": np.zeros(7, np.float32)}
    save_file(tensors, path, {METADATA: json.dumps({})})
    return path


@dataclass
class Compared:
    """What a run of the stage wrote."""

    folder: Path

    def csv(self, name: str = "comparison") -> pd.DataFrame:
        return pd.read_csv(self.folder / f"{name}.csv")

    def row(self, method: str, cohort: str = "heldout") -> pd.Series:
        table = self.csv()
        rows = table[(table["method"] == method) & (table["cohort"] == cohort)]
        assert len(rows) == 1
        return rows.iloc[0]

    def text(self, suffix: str = "txt") -> str:
        return (self.folder / f"comparison.{suffix}").read_text(encoding="utf-8")

    def everything(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.glob("comparison*"))}


def run_stage(
    folder: Path,
    config: CompareConfig | None = None,
    tables: dict[str, list[pd.DataFrame]] = TABLES,
    truth: pd.DataFrame | None = TRUTH,
) -> Compared:
    """Write the inputs below ``folder`` and compare the methods."""
    config = config or config_of()

    def written(some: Sequence[pd.DataFrame], name: str) -> list[Path]:
        paths = [folder / "in" / f"{name}-{number}.parquet" for number in range(len(some))]
        for table, path in zip(some, paths, strict=True):
            write_table(table, path)
        return paths

    names = [method.name for method in config.methods]
    studies, folds = written([STUDIES, FOLDS], "index")
    if truth is not None:
        truth.to_csv(folder / "in/truth.csv", index=False)
    files = [f"{m.name}-{fold}-{n}" for m in config.methods for fold in FOLDS_RUN for n in range(m.members)]
    asked = [f"{name}-{fold}-{n}" for name in config.localizers for fold in FOLDS_RUN for n in range(config.inner)]
    out = [folder / name for name in ("comparison.csv", "comparison_aggregation.csv")]
    out += [folder / f"comparison.{suffix}" for suffix in ("png", "html", "txt")]
    compare_methods(
        studies,
        folds,
        written([table for name in names for table in tables[name]], "said"),
        written([table for name in names for table in PREDICTIONS[name]], "slices"),
        [model(folder / "in" / f"{name}.safetensors") for name in files],
        *out,
        localizer_models=[model(folder / "in" / f"{name}.safetensors", weights=3) for name in asked],
        truth=folder / "in/truth.csv" if truth is not None else None,
        config=config,
    )
    return Compared(folder)

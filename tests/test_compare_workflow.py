"""`snakemake compare` at smoke size: every system by the same workflow, and no fold sees what it holds out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from chains import Chain, at_work
from cspine.studies import UID
from smoke_projects import Project, smoke_project

SMOKE = Path(__file__).parent.parent / "presets/smoke.yaml"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The workflow's own commands, all in this process: a start of Python and torch for each would take minutes."""
    folder = tmp_path_factory.mktemp("compare") / "run"
    with at_work(Chain(folder, SMOKE.read_text(encoding="utf-8"), "compare")) as chain:
        yield chain.project


def check_table(folder: Path) -> None:
    """Every system has its row, and smoke claims nothing."""
    table = pd.read_csv(folder / "results/comparison.csv")
    found = set(table["method"])
    assert {"semi_supervised", "cnn_3d", "single_head", "multi_head", "cnn_lstm", "densenet_baseline"} <= found
    assert {"efficientnet_pair", "torchio_cnn", "resnet_per_vertebra", "localized_ensemble"} <= found
    assert set(table["cohort"]) == {"heldout", "test"} and len(table) == 2 * len(found)
    assert table["parameters"].gt(0).all() and table["training_seconds"].gt(0).all()
    assert "measures nothing" in (folder / "results/comparison.txt").read_text()


def test_every_system_has_its_row_and_smoke_claims_nothing(project: Project) -> None:
    check_table(project.folder)


@pytest.mark.slow
@pytest.mark.workflow
def test_snakemake_compares_all_systems_and_finds_everything_the_second_time(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    project = smoke_project(tmp_path_factory, "compare_by_snakemake")
    project.run("compare")
    check_table(project.folder)
    before = project.segments()
    project.forget()
    project.run("compare")
    assert project.executed(before) == set()


def test_what_systems_share_is_made_once(project: Project) -> None:
    made = [path.split("/")[0] for path in project.segments()]
    localizers = {"presence", "box_ratio", "segmentation"}
    assert made.count("localize_slices") == len(localizers)
    assert made.count("ingest") == 4 and made.count("ingest_crops") == made.count("ingest_volumes") == 4
    assert made.count("place_crops") == 1 and made.count("assign_folds") == 1


def test_no_table_that_a_model_came_from_holds_a_study_of_its_fold_that_is_held_out(project: Project) -> None:
    """Walked through done.json from every model upstream: what any stage of the way was taught, whichever it was."""
    folds = project.table("results/folds.parquet")
    heldout = set(folds.loc[(folds["fold"] == 0) & (folds["role"] == "heldout"), UID])
    models = sorted((project.folder / "results").glob("**/model.safetensors"))
    assert len(models) >= 15 and heldout
    taught = set().union(*(taught_tables(model) for model in models))
    assert len(taught) >= 15
    for table in taught:
        found = pd.read_parquet(table, columns=[UID])
        assert len(found) and not heldout & set(found[UID]), table


def taught_tables(path: Path) -> set[Path]:
    """Every training set and table of pseudo-labels upstream of a result."""
    found: set[Path] = set()
    waiting, seen = [path.resolve().parent], set()
    while waiting:
        folder = waiting.pop()
        if folder in seen:
            continue
        seen.add(folder)
        done = json.loads((folder / "done.json").read_text())
        if done["stage"].startswith("build_") or done["stage"] == "pseudo_label":
            found |= {
                folder / name for name in ("training_set.parquet", "pseudo_labels.parquet") if (folder / name).exists()
            }
        waiting += [place for place in map(folder_of, inputs_of(done, path)) if place is not None]
    return found


def inputs_of(done: dict[str, Any], path: Path) -> list[Path]:
    root = next(parent for parent in path.parents if (parent / "work").is_dir())
    return [root / recorded["path"] for listed in done["inputs"].values() for recorded in listed]


def folder_of(path: Path) -> Path | None:
    """The store folder that a declared path is linked into; None for raw files."""
    real = path.resolve()
    return real.parent if (real.parent / "done.json").exists() else None

"""docs/methods.md adds a method in one file, one registry line and one config block: exactly that is done here."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from smoke_projects import Project, smoke_project

PAGE = (Path(__file__).parent.parent / "docs/methods.md").read_text(encoding="utf-8")
OWN = "own.yaml"
ASKED = ("results/sagittal/score.txt", "--configfile", "presets/smoke.yaml", OWN)


def block_under(heading: str, language: str) -> str:
    """The first block of code under a heading of the page."""
    part = PAGE.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    found = re.search(rf"```{language}\n(.*?)```", part, re.DOTALL)
    assert found, heading
    return found[1]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished smoke run, to which the page's three pieces are added."""
    project = smoke_project(tmp_path_factory, "own_method")
    source = project.folder / "src/cspine"
    (source / "methods/sagittal_cnn.py").write_text(block_under("1. One file", "python"))
    registry = source / "methods/registry.py"
    registry.write_text(
        registry.read_text().replace("FAMILIES = {\n", "FAMILIES = {\n" + block_under("2. One line", "python"))
    )
    (project.folder / OWN).write_text(block_under("3. One block", "yaml"))
    return project


def test_the_walk_of_the_page_ends_in_a_score_and_runs_nothing_of_others_again(project: Project) -> None:
    before = project.segments()
    project.run(*ASKED)
    ran = project.executed(before)
    own = {"build_study_set", "train", "predict_studies", "aggregate_studies", "score"}
    assert own <= ran
    assert not ran & {"ingest", "index", "label_slices", "assign_folds", "build_training_set", "predict_slices"}
    found = project.table("results/sagittal/fold-0/round-0/study_probabilities.parquet")
    submitted = project.table("results/semi_supervised/fold-0/round-1/study_probabilities.parquet")
    pd.testing.assert_frame_equal(found[["cohort", "StudyInstanceUID"]], submitted[["cohort", "StudyInstanceUID"]])
    assert "sagittal on the PHANTOM" in (project.folder / "results/sagittal/score.txt").read_text()


def test_a_mistyped_key_of_the_new_family_is_answered_with_its_own_keys(project: Project) -> None:
    for wrong, words in {
        "methods.sagittal.network.plane=5": "methods.sagittal.network.plane: unknown key; did you mean planes?",
        "methods.sagittal.augment.shift_by=2": "known here: shift",
        "methods.sagittal.view=volumes": "methods.sagittal.view",
    }.items():
        printed = project.run(*ASKED, "--dry-run", "--config", f"set={wrong}", ok=False)
        assert words in printed, printed[-3000:]

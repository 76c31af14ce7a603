"""The Kaggle notebooks run as they are, without network: a training in two sessions, and the submission."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from cspine.store import archives
from notebook_runs import COMPETITION, SUBMISSION, TRAIN, Image, image, mounted_inputs
from sessions import look, mount
from smoke_projects import ROOT, Project, smoke_project

pytestmark = pytest.mark.workflow


@dataclass(frozen=True)
class Session:
    """One run of the training notebook."""

    printed: str
    working: Path  # its /kaggle/working

    def finished(self) -> set[str]:
        """Folders of the store that hold a result."""
        return {str(p.parent.relative_to(self.working / "work")) for p in self.working.glob("work/*/*/done.json")}

    def ran(self) -> dict[str, int]:
        """Folder of the store -> in how many segments a stage ran in it, those of earlier sessions included."""
        segments = [path.parents[1] for path in self.working.glob("work/*/*/segments/*.json")]
        return {str(folder.relative_to(self.working / "work")): segments.count(folder) for folder in segments}


@dataclass(frozen=True)
class Sessions:
    """A training that was cut off in its first session."""

    first: Session
    second: Session
    mounted_untouched: bool
    whole: bytes  # submission.csv of a run without a pause


def settings(folder: Path, targets: str = "submission bundle", also: str = "") -> str:
    """What replaces the first cell's values: the smallest size, on the CPU, in a folder of the test's own."""
    preset = folder / "preset.yaml"
    smoke = (ROOT / "presets/smoke.yaml").read_text(encoding="utf-8")
    preset.write_text(f"{smoke}\ndata: {{root: data/{COMPETITION}}}\n", encoding="utf-8")
    own = f'PRESET, PROJECT, TARGETS, DEVICE = "{preset}", Path("{folder}/project"), "{targets}".split(), "auto"'
    return f'{own}\nSETTINGS += " store.copy_mb=0.02 {also}"'


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return image(tmp_path_factory)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return smoke_project(tmp_path_factory, "for-notebooks")


def session(kaggle: Image, folder: Path, inputs: Path, **environment: str) -> Session:
    (folder / "working").mkdir(parents=True)
    printed = kaggle.execute(TRAIN, inputs, folder / "working", settings(folder), **environment)
    return Session(printed, folder / "working")


@pytest.fixture(scope="module")
def sessions(kaggle: Image, smoke: Project, tmp_path_factory: pytest.TempPathFactory) -> Sessions:
    base = tmp_path_factory.mktemp("sessions")
    inputs = mounted_inputs(base / "input", kaggle.installed.wheel, smoke.folder / "data/phantom")
    first = session(kaggle, base / "1", inputs, CSPINE_FAULT="train-step:2:deadline")
    shutil.rmtree(base / "1/project")
    mount(Path(shutil.copytree(first.working, inputs / "cspine-1", symlinks=True)))
    before = look(inputs)
    second = session(kaggle, base / "2", inputs)
    return Sessions(first, second, look(inputs) == before, smoke.read("results/submission.csv"))


def test_a_session_that_runs_out_of_time_succeeds_and_says_what_to_do(sessions: Sessions) -> None:
    assert "PAUSED: the time budget is used up" in sessions.first.printed
    assert sessions.first.printed.rstrip().endswith("add this version's output to the inputs, and run the next one")
    assert not (sessions.first.working / "submission.csv").exists()


def test_the_next_session_makes_nothing_again_and_goes_on_inside_the_training(sessions: Sessions) -> None:
    first, second = sessions.first, sessions.second
    assert {"inventory", "ingest", "index", "assign_folds"} <= {path.split("/")[0] for path in first.finished()}
    assert not first.finished() & second.ran().keys()
    (cut_off,) = first.ran().keys() - first.finished()
    assert cut_off.startswith("train/") and second.ran()[cut_off] == 2
    assert "(2 steps done)" in second.printed and second.printed.rstrip().endswith("finished")


def test_two_sessions_end_in_the_bytes_of_one(sessions: Sessions) -> None:
    assert (sessions.second.working / "submission.csv").read_bytes() == sessions.whole


def test_the_inputs_are_only_read(sessions: Sessions) -> None:
    assert sessions.mounted_untouched and f"goes on from:\n  {sessions.second.working.parents[1]}" in (
        sessions.second.printed
    )


def test_an_output_holds_no_links_and_what_the_next_session_needs(sessions: Sessions, kaggle: Image) -> None:
    for one in (sessions.first, sessions.second):
        assert not [path for path in one.working.rglob("*") if path.is_symlink()]
        assert {path.name for path in one.working.iterdir()} - {"submission.csv", "bundle"} == {
            "work",
            "cspine-work.tar",
            kaggle.installed.wheel.name,
        }
        packed = archives.names_below(one.working / "cspine-work.tar", "work")
        assert "assign_folds" in {name.split("/")[0] for name in packed}
        assert "ingest" not in {name.split("/")[0] for name in packed}


@pytest.mark.slow
def test_a_run_that_fails_fails_the_version_after_the_output_is_saved(
    kaggle: Image, smoke: Project, tmp_path: Path
) -> None:
    inputs = mounted_inputs(tmp_path / "input", kaggle.installed.wheel, smoke.folder / "data/phantom")
    (tmp_path / "working").mkdir()
    with pytest.raises(CellExecutionError, match="the run failed with status 1"):
        kaggle.execute(TRAIN, inputs, tmp_path / "working", settings(tmp_path, also="folds.cuont=3"))


def test_without_data_the_notebook_says_what_to_add(kaggle: Image, tmp_path: Path) -> None:
    wheel = tmp_path / "input/cspine"
    wheel.mkdir(parents=True)
    shutil.copy(kaggle.installed.wheel, wheel)
    (tmp_path / "working").mkdir()
    with pytest.raises(CellExecutionError, match="expected one of: the competition's data; found none"):
        kaggle.execute(TRAIN, tmp_path / "input", tmp_path / "working", settings(tmp_path))


def test_the_submission_notebook_gives_the_trainings_own_submission_offline(
    kaggle: Image, smoke: Project, sessions: Sessions, tmp_path: Path
) -> None:
    phantom = smoke.folder / "data/phantom"
    inputs = mounted_inputs(tmp_path / "input", kaggle.installed.wheel, phantom)
    shutil.rmtree(inputs / "datasets")
    mount(Path(shutil.copytree(sessions.second.working / "bundle", inputs / "cspine-2/bundle")))
    (tmp_path / "working").mkdir()
    printed = kaggle.execute(SUBMISSION, inputs, tmp_path / "working", "")
    assert "studies were given the prior" in printed and "ended with status" not in printed
    assert (tmp_path / "working/submission.csv").read_bytes() == sessions.whole


def cells(notebook: Path) -> dict[str, str]:
    return {cell.id: cell.source for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"}


@pytest.mark.parametrize("notebook", [TRAIN, SUBMISSION], ids=lambda path: path.stem)
def test_a_notebook_is_valid_runs_everywhere_and_has_no_output(notebook: Path) -> None:
    content = json.loads(notebook.read_text(encoding="utf-8"))
    nbformat.validate(content)
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    for cell in content["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
        if cell["cell_type"] == "code":
            compile("".join(cell["source"]), cell["id"], "exec")


def test_what_both_notebooks_need_is_the_same_in_both() -> None:
    assert cells(TRAIN)["helpers"] == cells(SUBMISSION)["helpers"]

"""What `why`, `status`, `gc` and `adopt` say of a whole run, and that the run then does just that."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest

from cspine.planning import HIT, IN_PLACE, RESUME, RUN, UNKNOWN
from cspine.store import locks
from smoke_projects import Project, clean, smoke_project

SMOKE = ("--configfile", "presets/smoke.yaml")
BOOTSTRAP = "set=score.bootstrap=50"
SUBMISSION = "results/submission.csv"
METHOD = "results/semi_supervised"

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return smoke_project(tmp_path_factory, "asked")


def call(project: Project, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m cspine …`` in the project."""
    return subprocess.run(
        [sys.executable, "-m", "cspine", *words], cwd=project.folder, capture_output=True, text=True,
        env=clean({"PYTHONPATH": str(project.folder / "src"), **environment}),
    )  # fmt: skip


def ask(project: Project, *words: str) -> str:
    """What ``python -m cspine …`` prints when it ends well."""
    done = call(project, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def marks(project: Project, *settings: str) -> dict[str, set[str]]:
    """Mark -> stages, as ``status --plan`` shows them."""
    words = ("submission", *SMOKE, "--config", *settings) if settings else ()
    printed = ask(project, "status", "--plan", *words).splitlines()
    start = next(i for i, line in enumerate(printed) if line.startswith("stage "))
    end = next(i for i, line in enumerate(printed) if line.startswith("total "))
    columns = {kind: printed[start].index(kind) + len(kind) for kind in (IN_PLACE, HIT, RESUME, RUN, UNKNOWN)}
    rows = printed[start + 1 : end]
    return {
        kind: stages
        for kind, column in columns.items()
        if (stages := {row.split()[0] for row in rows if row[:column][-1:].isdecimal() and len(row) >= column})
    }


def edited(project: Project, module: str, text: str = "\nEDITED = 1\n") -> Path:
    path = project.folder / "src/cspine" / module
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    return path


def test_after_a_run_the_watch_shows_its_jobs_done_and_ends_where_there_is_no_terminal(project: Project) -> None:
    lines = ask(project, "status", "--watch", "60").splitlines()
    assert "no run is at work; the last one began" in lines[0]
    start, end = (next(i for i, line in enumerate(lines) if line.startswith(word)) for word in ("stage ", "total "))
    rows = {line.split()[0]: line.split()[2:5] for line in lines[start + 1 : end]}
    assert rows["ingest"] == ["4", "4", "4"] and rows["train"] == rows["predict_slices"] == ["2", "2", "2"]
    assert all(done == jobs == made for done, jobs, made in rows.values())


def test_after_a_run_all_is_in_place_and_status_fits_a_screen(project: Project) -> None:
    assert set(marks(project)) == {IN_PLACE}
    printed = ask(project, "status")
    assert printed.startswith("compared with config.yaml, presets/smoke.yaml (as the last run)\n")
    assert re.search(r"^train +2 ", printed, re.MULTILINE) and re.search(r"^ingest +4 ", printed, re.MULTILINE)
    assert "cut off" not in printed and "mixed" not in printed and len(printed.splitlines()) <= 24


def test_why_names_the_config_value_the_module_and_the_input(project: Project) -> None:
    setting = "set=methods.semi_supervised.training.learning_rate=0.001"
    printed = ask(project, "why", SUBMISSION, *SMOKE, "--config", setting)
    value = "config: training.learning_rate 0.005 -> 0.001"
    assert f"train (semi_supervised fold 0 round 0): {value}\n" in printed and f"({setting}" not in printed
    assert f"compared with config.yaml, presets/smoke.yaml, {setting} (as given)" in printed
    source, table = project.folder / "src/cspine/labels.py", project.folder / "data/phantom/train.csv"
    before = source.read_text(encoding="utf-8"), table.read_bytes()
    edited(project, "labels.py")
    table.write_bytes(before[1] + b"\n")
    printed = ask(project, "why", SUBMISSION)
    source.write_text(before[0], encoding="utf-8")
    table.write_bytes(before[1])
    first = [line.strip() for line in printed.splitlines()[2:]]
    assert "label_slices: code: cspine.labels" in first and "inventory: data/phantom changed" in first
    assert {line.split(":")[0].split(" ")[0] for line in first} <= {
        "label_slices",
        "inventory",
        "build_training_set",
        "make_phantom",
    }


def test_why_knows_of_a_model_to_start_from_that_no_block_names(project: Project) -> None:
    setting = "set=methods.semi_supervised.student.init_from=none"
    printed = ask(project, "why", f"{METHOD}/fold-0/round-1", *SMOKE, "--config", setting)
    assert "nothing instead of results/semi_supervised/fold-0/round-0/model.safetensors" in printed
    assert "results/semi_supervised/fold-0/round-1/training_set.parquet: up to date" in printed


def test_the_marks_of_a_plan_are_what_the_run_then_does(project: Project) -> None:
    folder = (project.folder / "results/labels/slices.parquet").resolve().parent
    shutil.rmtree(folder)
    planned = marks(project)
    assert planned[RUN] == {"label_slices"} and HIT not in planned and RESUME not in planned
    assert "build_training_set" in planned[UNKNOWN] and "ingest" in planned[IN_PLACE]
    printed = ask(project, "why", SUBMISSION)
    assert "results/submission.csv: made again" in printed and "results/labels/slices.parquet: it is gone" in printed
    before = project.segments()
    project.run()
    assert project.executed(before) == {"label_slices"}  # the same content: what was unknown is found

    planned = marks(project, BOOTSTRAP)
    assert planned[RUN] == {"score"} and UNKNOWN not in planned
    before = project.segments()
    project.run("submission", "--config", BOOTSTRAP)
    assert project.executed(before) == {"score"}
    back = marks(project, "size=smoke")
    assert back[HIT] == {"score"} and set(back) == {HIT, IN_PLACE}


def test_a_clean_up_frees_the_flipped_config_and_the_run_after_it_makes_nothing(project: Project) -> None:
    printed = ask(project, "gc", "--dry-run")
    assert re.search(r"^score +2 .* kB  (1 in use, 1 recent|1 recent, 1 in use)$", printed, re.MULTILINE)
    with chdir(project.folder), locks.run_alone():
        refused = call(project, "gc", "--keep-days", "0")
        assert refused.returncode == 1 and "a run is at work in this folder" in refused.stderr
    printed = ask(project, "gc", "--keep-days", "0")
    assert re.search(r"^score +1 +\S+ kB +1 ", printed, re.MULTILINE)
    before = project.segments()
    project.run("submission", "--config", BOOTSTRAP)
    assert project.executed(before) == set()


def test_after_a_code_edit_an_adopted_result_is_found_and_nothing_executes(project: Project) -> None:
    edited(project, "scores.py")
    assert "score (semi_supervised): work/score/" in ask(project, "adopt", "score", "--at", "method=semi_supervised")
    assert marks(project)[HIT] == {"score"}  # with the last run's settings
    before = project.segments()
    project.run("submission", "--config", BOOTSTRAP)
    assert project.executed(before) == set()
    assert re.search(
        r"score.txt: up to date .* adopted .* \(changed: cspine.scores\)", ask(project, "why", f"{METHOD}/score.txt")
    )
    assert "adopted from other code:\n  score (semi_supervised)" in ask(project, "status")


def test_a_training_cut_off_goes_on_under_edited_code_once_adopted(project: Project) -> None:
    old = (project.folder / METHOD / "fold-0/round-0/model.safetensors").resolve().parent
    words = shlex.split((old / "log.txt").read_text(encoding="utf-8").splitlines()[0])[5:]
    (old / "done.json").unlink()
    often = {"CSPINE_RUNTIME": '{"device": "cpu", "checkpoint_steps": 2}'}
    killed = call(project, *words, **often, CSPINE_FAULT="train-step:5")
    assert killed.returncode == -signal.SIGKILL and any((old / "scratch").glob("step-*.pt"))
    edited(project, "losses.py")
    killed = call(project, *words, **often, CSPINE_FAULT="train-step:1")
    hint = "checkpoints, made by other code (changed: cspine.losses): stop this run and `python -m cspine adopt train`"
    assert f"work/train/{old.name} holds {hint} lets it go on" in killed.stderr
    assert "train (semi_supervised fold 0 round 0): work/train/" in ask(project, "adopt", "train", "--at", "round=0")
    printed = ask(project, "status")
    assert "cut off or paused:\n  train (semi_supervised fold 0 round 0)" in printed
    done = call(project, *words, **often)
    assert done.returncode == 0 and re.search(r"train: goes on at epoch 1, step [45]", done.stderr), done.stderr
    model = (project.folder / METHOD / "fold-0/round-0/model.safetensors").resolve()
    note = json.loads((model.parent / "done.json").read_text(encoding="utf-8"))["adopted"]
    assert [(n["key"], n["changed"]) for n in note] == [(old.name, ["cspine.losses"])]

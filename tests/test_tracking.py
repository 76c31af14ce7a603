"""Weights & Biases behind one module: off by default, what it may know, never more than a line when it fails."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wandb

from cspine import runtime, tracking
from cspine.checkpoint import Checkpoints
from cspine.losses import FractureLoss
from cspine.scores import ScoreConfig, Scored
from cspine.stages.score import _track
from cspine.store import write_json
from cspine.studies import UID
from cspine.tables import read_table
from cspine.tracked import MOST_SLICES, class_counts, example_image, score_figures
from cspine.tracking import Silent, WeightsAndBiases, tracker, without_paths
from cspine.training import Task, fit
from small_trainings import trained, write_files
from stand_in_server import stand_in_server
from tracked_runs import OfflineRun, offline_runs
from training_makers import Noise, config_of, network

UIDS = ["1.2.826.0.1.3680043.9", "1.2.826.0.1.3680043.1", "1.2.826.0.1.3680043.5"]
Set = Callable[..., None]


@pytest.fixture
def tracked(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Set]:
    """Set the ``tracking`` block; the person's home is the test's, and the client's own process ends with it."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("CACHE", "DATA"):  # the module sets them where nobody has; this undoes it
        monkeypatch.setenv(f"WANDB_{name}_DIR", "")
        monkeypatch.delenv(f"WANDB_{name}_DIR")
    monkeypatch.setenv("HOME", str(workplace / "home"))
    yield lambda **block: monkeypatch.setenv(tracking.VARIABLE, json.dumps({"mode": "offline", **block}))
    wandb.teardown()


def folder_of(stage: str, key: str = "0" * 20, at: str = "") -> Path:
    """A folder of the store in which a stage is at work."""
    folder = Path("work") / stage / key
    folder.mkdir(parents=True)
    write_json(folder / "request.json", {"at": at, "inputs": {}})
    return folder


# -- off, and failing --------------------------------------------------------------------------------------------------


def test_nothing_is_tracked_unless_the_config_says_so(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tracking.VARIABLE, raising=False)
    run = tracker("train", workplace, {})
    assert isinstance(run, Silent)
    run.log({"train_loss": 1.0}, step=0)
    run.table("t", lambda: pytest.fail("made for nobody"))
    run.show(lambda: pytest.fail("made for nobody"))
    run.finish()
    assert not run.images and not run.names_studies and list(workplace.iterdir()) == []


def refused(**_: Any) -> None:
    raise OSError("no network\nand a long story")


@pytest.mark.parametrize(
    ("block", "missing", "said"),
    [
        ({"mode": "offline"}, "wandb", "import of wandb halted; None in sys.modules"),
        ({"mode": "offline"}, "folder", "[Errno 20] Not a directory: 'logs/wandb'"),
        ({"mode": "offline"}, "init", "no network"),
        ({"mode": "sometimes"}, "", None),
        ({"mode": "online"}, "key", "no API key; set WANDB_API_KEY, or call `wandb login` once, or set"),
    ],
)
def test_a_tracker_that_cannot_start_is_one_line_and_no_error(
    tracked: Set,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    block: dict[str, str],
    missing: str,
    said: str | None,
) -> None:
    tracked(**block)
    if missing == "wandb":
        monkeypatch.setitem(sys.modules, "wandb", None)
    if missing == "folder":
        Path("logs").write_text("a file")
    if missing == "init":
        monkeypatch.setattr(wandb, "init", refused)
    run = tracker("train", Path("work/train/key"), {})
    run.log({"train_loss": 1.0}, step=0)
    run.table("t", pd.DataFrame)
    run.finish()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tracking is off for this stage: " + (said or ""))


def test_a_torn_tracking_block_is_one_line(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(tracking.VARIABLE, '{"mode"')
    assert isinstance(tracker("train", workplace, {}), Silent)
    assert capsys.readouterr().err.startswith("tracking is off for this stage: CSPINE_TRACKING: ")


KILLED = """
import os, signal, subprocess
from pathlib import Path
from cspine.tracking import tracker
run = tracker("train", Path("work/train/key"), {})
run.log({"loss": 1.0}, step=0)
listed = subprocess.run(["ps", "-ww", "-eo", "pid,ppid,comm"], capture_output=True, text=True).stdout.splitlines()
children = [words for words in map(str.split, listed) if words[1] == str(os.getpid())]
ours = [words[0] for words in children if words[2].endswith("wandb-core")]
assert len(ours) == 1, (children, run.run)
os.kill(int(ours[0]), signal.SIGKILL)
step = 0
while run.run is not None:
    step += 1
    run.log({"loss": 0.5}, step=step)
run.finish()
print("trained")
"""


def test_a_client_whose_process_is_killed_is_one_line_and_the_stage_goes_on(tracked: Set, workplace: Path) -> None:
    tracked()
    source = str(Path(tracking.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", KILLED], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": source}
    )
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("tracking is off from here on: ")


def test_a_table_that_cannot_be_made_ends_the_tracking_and_not_the_stage(
    tracked: Set, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wandb, "init", lambda **_: SimpleNamespace(starting_step=0))
    tracked()
    run = tracker("score", Path("work/score/key"), {})
    run.table("t", lambda: 1 / 0)
    run.table("t", lambda: pytest.fail("asked again"))
    assert capsys.readouterr().err == "tracking is off from here on: division by zero\n"


# -- what the real client holds ----------------------------------------------------------------------------------------


def names_of_this_place(workplace: Path) -> list[str]:
    return [os.uname().nodename, getpass.getuser(), str(workplace), str(Path.home()), ".parquet", ".safetensors"]


def assert_anonymous(run: OfflineRun, workplace: Path, allowed: tuple[str, ...] = ()) -> None:
    sent = run.uploaded()
    for name in [*names_of_this_place(workplace), *UIDS]:
        if len(name) > 3 and name not in allowed:
            assert name.encode() not in sent, name
    assert run.run.host == "none"


@pytest.mark.filterwarnings("default")  # the client's own
def test_an_offline_training_holds_config_curve_and_counts_and_its_history_is_the_same_without(
    tracked: Set, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(runtime.VARIABLE, '{"device": "cpu"}')
    write_files(workplace)
    silent = trained(workplace, "silent", epochs=2, epoch_steps=1)
    tracked(project="p", images=2)
    model = trained(workplace, "0" * 20, epochs=2, epoch_steps=1)
    histories = [path.with_name("history.parquet").read_bytes() for path in (silent, model)]
    assert histories[0] == histories[1] and model.read_bytes() == silent.read_bytes()
    (run,) = offline_runs(workplace)
    assert (run.run.run_id, run.run.project, run.run.job_type) == ("train-" + "0" * 20, "p", "train")
    assert run.config["training"]["epochs"] == 2 and run.config["family"] == "slice_cnn"
    expected = read_table(model.with_name("history.parquet")).drop(columns="part").to_dict("records")
    assert [row.pop("_step") for row in run.history] == [0, 1]
    for row, figures in zip(run.history, expected, strict=True):
        assert {name: float(row[str(name)]) for name in figures} == pytest.approx(figures, nan_ok=True, rel=0, abs=0)
    counts = {(row["role"], row["source"]): row for row in run.table("training_set")}
    assert counts["train", "box"]["studies"] == 5 and counts["train", "box"]["C3_positive"] == 4
    assert len(list(run.folder.glob("files/media/images/*.png"))) == 2
    assert_anonymous(run, workplace)
    assert not (workplace / "home").exists() and not (workplace / "wandb").exists()


def cohort(name: str) -> Scored:
    truth = np.tile([1.0, 0, 0, np.nan, 0, 0, 0, 1.0], (3, 1))
    return Scored(name, truth, np.linspace(0.1, 0.9, 24).reshape(3, 8), {}, 0, UIDS)


SCORES = pd.DataFrame(
    {
        "cohort": "heldout",
        "measure": ["loss", "auc", "auc"],
        "normalisation": ["pooled", "", ""],
        "label": ["", "C1", "C2"],
        "value": [0.4, 0.75, np.nan],
    }
)


@pytest.mark.filterwarnings("default")  # the client's own
def test_studies_are_named_in_tables_only_when_asked_for_and_then_hashed_or_plain(
    tracked: Set, workplace: Path
) -> None:
    for number, ids in enumerate(("none", "hashed", "plain")):
        tracked(ids=ids)
        at = "method=semi_supervised"
        _track(SCORES, [cohort("heldout")], folder_of("score", str(number) * 20, at), ScoreConfig("m", [0]))
    runs = {ids: offline_runs(workplace, f"score-{n}*")[0] for n, ids in enumerate(("none", "hashed", "plain"))}
    assert runs["none"].run.display_name == "score semi_supervised"
    assert runs["none"].run.run_group == "semi_supervised"
    figures = {name: value for name, value in runs["none"].history[0].items() if name != "_step"}
    assert figures == {"heldout/loss pooled": 0.4, "heldout/auc C1": 0.75} == score_figures(SCORES)
    assert [row["value"] for row in runs["none"].table("scores")][:2] == [0.4, 0.75]
    assert runs["none"].tables() == {"scores"} and not Path("home").exists()
    for ids in ("none", "hashed"):
        assert_anonymous(runs[ids], workplace)
    hashed, plain = (runs[ids].table("answers") for ids in ("hashed", "plain"))
    assert [row["study"] for row in plain] == sorted(UIDS)
    names = [row["study"] for row in hashed]
    assert names == sorted(names) and len(set(names)) == 3 and all(name.startswith("2.25.") for name in names)
    probabilities = {row["patient_overall_probability"] for row in hashed}
    assert (
        probabilities == {row["patient_overall_probability"] for row in plain} == {0.1, *cohort("").probability[1:, 0]}
    )
    assert tracking.KEY.stat().st_mode & 0o077 == 0
    key = tracking.KEY.read_bytes().strip()
    assert all(key not in run.uploaded() for run in runs.values())


@pytest.mark.filterwarnings("default")  # the client's own
def test_a_resumed_training_is_the_same_run_and_its_last_file_holds_the_whole_curve(
    tracked: Set, workplace: Path
) -> None:
    tracked()
    folder, losses = folder_of("train"), [0.9, 0.5, 0.4]
    before = tracker("train", folder, {})
    before.log({"loss": losses[0]}, step=0)
    before.finish()
    began = time.strftime("%H:%M:%S")
    while time.strftime("%H:%M:%S") == began:  # the client names its folders by the second
        time.sleep(0.01)
    after = tracker("train", folder, {})
    for step, loss in enumerate(losses):  # as a training tells again what an earlier process had told
        after.log({"loss": loss}, step=step)
    after.finish()
    (last,) = offline_runs(workplace)  # of `wandb sync` only the whole one is seen
    first = OfflineRun(next((workplace / "logs/wandb" / tracking.EARLIER).iterdir()))
    assert first.run.run_id == last.run.run_id and last.run.resume
    assert [(row["_step"], row["loss"]) for row in first.history] == [(0, 0.9)]
    assert [(row["_step"], row["loss"]) for row in last.history] == list(enumerate(losses))
    assert synced(workplace) == [(0, list(range(3)))]  # lines on the server, and the steps that follow


def synced(place: Path) -> list[tuple[int, list[int]]]:
    """Sync the offline runs of ``place`` with a server of our own; the history that it is sent."""
    with stand_in_server() as (address, history):
        environment = {**os.environ, "WANDB_BASE_URL": address, "WANDB_API_KEY": "0" * 40}
        command = [sys.executable, "-m", "wandb", "sync", "--yes", *map(str, place.glob("logs/wandb/offline-run-*"))]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    return history


class Server(SimpleNamespace):
    """A run that the server knows up to a step, as the client shows it after resuming online."""

    def log(self, figures: dict[str, float], step: int, commit: bool) -> None:
        self.told.append((step, figures))

    def finish(self) -> None:
        self.told.append("finished")


def test_online_a_resumed_run_sends_no_step_twice_and_none_is_missing(
    tracked: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(starting_step=2, told=[], dir="logs/wandb/run-1/files")
    monkeypatch.setattr(wandb, "init", lambda **_: server)
    tracked(images=1)
    run = tracker("train", Path("work/train/key"), {})
    run.show(lambda: [np.zeros((4, 4), np.uint8)])
    for step in range(4):
        run.log({"loss": float(step)}, step)
    run.finish()
    assert server.told == [(2, {"loss": 2.0}), (3, {"loss": 3.0}), "finished"]


class Told(Silent):
    """A tracker that keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log(self, figures: dict[str, float], step: int) -> None:
        self.rows.append((step, figures))


def test_a_training_that_goes_on_after_a_kill_tells_the_whole_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(runtime.VARIABLE, '{"device": "cpu", "checkpoint_steps": 1}')
    config = config_of(epochs=3)

    def train(dies_at: int | None) -> tuple[Told, Callable[[], Any]]:
        told, data = Told(), Noise(16, dies_at)
        kept = Checkpoints(tmp_path)
        return told, lambda: fit(Task(network(), FractureLoss(config), data, Noise(6), config, 3, kept, told))

    before, first = train(dies_at=40)  # in the third epoch
    with pytest.raises(KeyboardInterrupt):
        first()
    after, second = train(dies_at=None)
    history = second().history
    assert [step for step, _ in before.rows] == [0, 1]
    assert after.rows == list(enumerate(history)) and len(history) == 3


# -- the pieces --------------------------------------------------------------------------------------------------------


def test_a_config_is_sent_without_paths(workplace: Path) -> None:
    Path("weights.safetensors").touch()
    network = {
        "name": "tf_b0",
        "weights": "/home/jane/w.pt",
        "init": "weights.safetensors",
        "dropout": 0.2,
    }
    assert without_paths({"network": network, "folds": [0, "../x"], "none": None}) == {
        "network": {"name": "tf_b0", "weights": "a file", "init": "a file", "dropout": 0.2},
        "folds": [0, "a file"],
        "none": None,
    }


def test_hashed_names_stay_the_same_in_one_project_and_differ_in_another(workplace: Path) -> None:
    block = {"mode": "offline", "ids": "hashed"}

    def names() -> list[str]:
        run = WeightsAndBiases.__new__(WeightsAndBiases)
        run._ids = block["ids"]
        return run.ids_of(UIDS)

    first = names()
    assert names() == first
    tracking.KEY.unlink()
    assert not set(names()) & set(first)


@pytest.mark.parametrize(
    ("shape", "slices"), [((3, 8, 8), 3), ((1, 8, 8), 1), ((24, 8, 8), MOST_SLICES), ((1, 9, 8, 8), MOST_SLICES)]
)
def test_an_example_is_shown_by_its_middle_slices(shape: tuple[int, ...], slices: int) -> None:
    pixels = np.zeros(shape, np.uint8)
    pixels[..., pixels.shape[-3] // 2, :, :] = 255
    image = example_image(pixels)
    assert image.shape == (8, 8 * slices) and image.max() == 255


def test_vertebrae_that_are_taught_are_counted_by_whether_they_are_fractured() -> None:
    table = pd.DataFrame({UID: ["a", "a", "b"], "role": "train", "source": "study", "fractured": [1.0, 0.0, 1.0]})
    (row,) = class_counts(table).to_dict("records")
    assert (row["examples"], row["studies"], row["fractured_positive"]) == (3, 2, 2)


def test_what_is_taught_is_counted_by_role_and_source() -> None:
    rows = [
        ("a", "train", "box", 1.0),
        ("a", "train", "box", 0.2),
        ("b", "train", "pseudo", 0.7),
        ("c", "select", "box", 0.0),
    ]
    table = pd.DataFrame(rows, columns=[UID, "role", "source", "C1"]).assign(weight=0.5)
    assert class_counts(table).to_dict("records") == [
        {"role": "select", "source": "box", "examples": 1, "studies": 1, "weight": 0.5, "C1_positive": 0},
        {"role": "train", "source": "box", "examples": 2, "studies": 1, "weight": 1.0, "C1_positive": 1},
        {"role": "train", "source": "pseudo", "examples": 1, "studies": 1, "weight": 0.5, "C1_positive": 1},
    ]

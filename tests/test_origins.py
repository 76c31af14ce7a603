"""Where weights come from: a training starts from a checkpoint or from the end of another, and every model says so."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cspine import runtime, training
from cspine.checkpoint import Checkpoints
from cspine.cli import main
from cspine.commands.lineage import lineage
from cspine.end_state import read_end
from cspine.errors import CspineError
from cspine.hashing import file_digest
from cspine.methods.slice_cnn import NetworkConfig, build
from cspine.models import read_model
from cspine.origins import description_of, take_over
from small_trainings import FEW, NETWORK, trained, write_files
from training_makers import equal, network


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small cache and its training set."""
    monkeypatch.setenv(runtime.VARIABLE, '{"device": "cpu", "checkpoint_steps": 2}')
    write_files(tmp_path)
    return tmp_path


@pytest.fixture
def dies_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Stops the process, as Ctrl-C does, at the n-th pass through a fault point."""

    def set_to(name: str, number: int) -> None:
        left = [number]

        def pass_by(passed: str) -> None:
            left[0] -= passed == name
            if left[0] == 0 and passed == name:
                raise KeyboardInterrupt

        monkeypatch.setattr(training, "fault_point", pass_by)

    return set_to


def network_of_the_stage() -> torch.nn.Module:
    return build(NetworkConfig(**NETWORK))  # type: ignore[arg-type]


def test_a_training_starts_from_the_averaged_weights_of_a_checkpoint_with_other_settings(
    place: Path, dies_at: Callable[[str, int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    dies_at("train-step", 6)
    with pytest.raises(KeyboardInterrupt):
        trained(place, "first", **FEW | {"epochs": 4})
    checkpoint = sorted((place / "first/scratch").glob("step-*.pt"))[-1]
    saved = torch.load(checkpoint, weights_only=True)
    model = network_of_the_stage()
    take_over(model, checkpoint)
    assert equal(model.state_dict(), saved["average"]) and not equal(saved["average"], saved["network"])
    second = trained(place, "second", init_from=checkpoint, **FEW | {"optimizer": "lion"})
    origin = read_model(second)[1]["init_from"]
    assert origin["sha256"] == file_digest(checkpoint)
    about = origin["description"]
    assert (about["steps"], about["key"], about["network"]["name"]) == (4, "first", "test_efficientnet")
    assert about["training"]["learning_rate"] == 0.01
    words = "\n".join(lineage(description_of(second)))
    assert "1 epoch, 4 steps, not at its end: test_efficientnet" in words


def test_a_training_starts_from_the_end_of_another(place: Path) -> None:
    state = trained(place, "first", **FEW).with_name("state.safetensors")
    model = network_of_the_stage()
    origin = take_over(model, state)
    assert equal(model.state_dict(), read_end(state).state["average"])
    assert origin["description"]["steps"] == 3


def test_what_is_no_checkpoint_of_this_network_is_refused_in_words(tmp_path: Path) -> None:
    Checkpoints(tmp_path, {"network": {"name": "other"}}).save(
        {"network": {"a": torch.ones(1)}, "progress": {"epoch": 0, "total_steps": 3}}, 3
    )
    with pytest.raises(CspineError, match=r"init_from: no weight of .*step-00000003.pt \(other\) has a name and shape"):
        take_over(network(), tmp_path / "step-00000003.pt")
    torch.save({"network": {}}, tmp_path / "foreign.pt")
    with pytest.raises(CspineError, match=r"foreign.pt is not a checkpoint of cspine"):
        take_over(network(), tmp_path / "foreign.pt")
    (tmp_path / "torn.pt").write_bytes(b"half of it")
    with pytest.raises(CspineError, match=r"torn.pt cannot be read as a checkpoint"):
        take_over(network(), tmp_path / "torn.pt")


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return (tmp_path / "ran").touch, ()

    torch.save({"network": Runs(), "description": {}, "progress": {}}, tmp_path / "bad.pt")
    (tmp_path / "worse.pt").write_bytes(pickle.dumps(Runs()))
    for name in ("bad.pt", "worse.pt"):
        with pytest.raises(CspineError, match="tensors and plain values only"):
            take_over(network(), tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_the_lineage_leads_from_a_continued_student_back_to_random_weights(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = trained(place, "teacher", seed=1, **FEW)
    student = trained(place, "student", seed=2, init_from=teacher, **FEW)
    state = student.with_name("state.safetensors")
    more = trained(place, "more", seed=3, continue_from=state, **FEW | {"learning_rate": 1e-4, "epochs": 2})
    capsys.readouterr()
    assert main(["lineage", str(more)]) == 0
    settings = "optimizer adamw, learning_rate 0.01, schedule cosine, batch_size 4, ema 0.9, keep last"
    assert capsys.readouterr().out.splitlines() == [
        f"{more} (sha256 {file_digest(more)[:12]})",
        "  part 1 of a training: 2 epochs, 6 steps: test_efficientnet, 7 outputs",
        "  changed: epochs 1 -> 2, learning_rate 0.01 -> 0.0001",
        f"  goes on from the state (sha256 {file_digest(state)[:12]})",
        "    a training: 1 epoch, 3 steps: test_efficientnet, 7 outputs",
        f"    {settings}",
        f"    starts from (sha256 {file_digest(teacher)[:12]})",
        "      a training: 1 epoch, 3 steps: test_efficientnet, 7 outputs",
        f"      {settings}",
        "      starts from random weights (seed 1)",
        "    where nothing of that fits: random weights (seed 2)",
    ]
    assert main(["lineage", "nowhere.safetensors"]) == 1
    assert "no file nowhere.safetensors; expected a model" in capsys.readouterr().err

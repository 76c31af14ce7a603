"""The stages train and predict_slices on a small cache: all keys, and a chain of models that says where it began."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cspine import runtime
from cspine.errors import CspineError
from cspine.hashing import file_digest
from cspine.losses import OUTPUTS
from cspine.models import read_model
from cspine.stages.predict_slices import PredictConfig, predict_slices
from cspine.studies import PRESENCE, VERTEBRAE
from cspine.tables import read_table, write_table
from small_trainings import EVERYTHING, trained, write_files


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small cache, its training set and its index."""
    monkeypatch.setenv(runtime.VARIABLE, '{"device": "cpu"}')
    write_files(tmp_path)
    return tmp_path


def test_all_ways_of_training_together_give_a_model_that_predicts_seven_fractures(place: Path) -> None:
    model = trained(place, "all", **EVERYTHING)
    description = read_model(model)[1]
    assert description["outputs"] == list(OUTPUTS)
    assert description["training"]["batch_size"] == 32 and description["training"]["ema"] == 0.9
    assert description["seed"] == 7 and description["init_from"] is None
    history = read_table(model.with_name("history.parquet"))
    assert {"steps", "learning_rate", "select_presence_loss", "select_any_fracture_loss"} <= set(history.columns)
    assert history["learning_rate"].is_monotonic_decreasing and np.isfinite(history["select_loss"]).all()
    parts = place / "parts"
    parts.mkdir()
    config = PredictConfig("slice_cnn", "slice", "auto", "auto", 1)
    out = place / "predictions.parquet"
    predict_slices([model], place / "slices.parquet", [place / "shard-0.parquet"], out, parts, config=config)
    found = read_table(out)
    assert found[list(VERTEBRAE)].shape == (48, 7) and found[list(VERTEBRAE)].to_numpy().std() > 0


def test_the_same_training_gives_the_same_bytes(place: Path) -> None:
    one, other = (trained(place, name, **EVERYTHING, epochs=1) for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
    assert one.with_name("history.parquet").read_bytes() == other.with_name("history.parquet").read_bytes()


def test_a_model_says_where_it_began_and_its_origin_where_that_began(place: Path) -> None:
    first = trained(place, "first", epochs=1)
    second = trained(place, "second", init_from=first, epochs=1)
    third = trained(place, "third", init_from=second, epochs=1, presence_weight=0.2)
    origin = read_model(third)[1]["init_from"]
    assert origin["sha256"] == file_digest(second)
    assert origin["description"]["init_from"]["sha256"] == file_digest(first)
    assert origin["description"]["outputs"] == list(VERTEBRAE)


def test_vertebrae_of_which_nothing_is_known_cannot_be_taught(place: Path) -> None:
    table = read_table(place / "training_set.parquet").drop(columns=list(PRESENCE))
    write_table(table, place / "training_set.parquet")
    trained(place, "without", epochs=1)
    with pytest.raises(
        CspineError, match=r"training.presence_weight: found 0.5, but no slice of .* says which vertebrae"
    ):
        trained(place, "asked", presence_weight=0.5)


@pytest.mark.gpu
def test_a_gpu_finds_its_batch_trains_in_half_precision_and_goes_on_after_a_kill(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(runtime.VARIABLE, '{"device": "cuda", "checkpoint_steps": 1}')
    model = trained(place, "gpu", **EVERYTHING | {"precision": "auto"})
    said = capsys.readouterr().err
    assert "compute capability" in said and ("bf16" in said or "fp16" in said)
    assert "train: batch_size auto: 32" in said  # 40 examples
    model.unlink()
    trained(place, "gpu", **EVERYTHING | {"precision": "auto"})
    assert "train: goes on at epoch" in capsys.readouterr().err

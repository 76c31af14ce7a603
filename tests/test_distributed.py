"""Two processes do the training of one: the same curve, the same batches, and one that dies takes nothing with it.

TOLERANCE is that of the order of summation: two parts of a batch are added up otherwise than the whole of it. It holds
for networks that draw nothing (no dropout) and look at no batch (no batch normalisation); with these, two processes are
held against themselves.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from cspine import budget, faults, peers, runtime
from cspine.batching import Batch
from cspine.cli import main
from cspine.errors import CspineError
from cspine.methods import volume_cnn
from cspine.mixup import blend_of
from cspine.models import read_model, save_model
from cspine.stages.predict_slices import predict_slices
from cspine.studies import LABELS, UID
from cspine.tables import read_table, write_table
from small_cohort import studies_table, study
from small_cubes import NETWORK as VOLUMES
from small_cubes import write_cubes
from small_trainings import AUGMENT, EVERYTHING, FILES, NETWORK, trained, write_files
from training_makers import config_of, equal
from two_processes import EXACT, PLAIN, PREDICT, Weighted, in_two, paused, plain_network, run, studies_predicted

TOLERANCE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}
COARSE: dict[str, dict[str, Any]] = {"a scaled loss": {"rtol": 1e-3, "atol": 1e-4}}  # fp16 has three digits


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.VARIABLE, '{"device": "cpu"}')
    monkeypatch.setenv(budget.VARIABLE, "")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes have done everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(runtime.VARIABLE, '{"device": "cpu"}')
        patch.setenv(budget.VARIABLE, "")
        folder = tmp_path_factory.mktemp("two")
        write_files(folder)
        trained(folder, "alone", epochs=1).rename(folder / "one.safetensors")
        paused(folder / "one, then two", PLAIN, 13)
        write_studies(folder / "volumes")
        in_two("everything", folder)
    return folder


def write_studies(folder: Path) -> None:
    """Studies as cubes, one more without pixels, and a network that judges them."""
    folder.mkdir()
    uids = write_cubes(folder)[UID]
    write_table(studies_table(*(study(uid) for uid in [*uids, "9"])), folder / "studies.parquet")
    torch.manual_seed(0)
    description = {"family": "volume_cnn", "view": "volume", "network": VOLUMES, "outputs": list(LABELS)}
    save_model(volume_cnn.build(volume_cnn.NetworkConfig(**VOLUMES)), folder / "model.safetensors", description)


def command(files: Path) -> list[str]:
    """The command line of the training that ``two`` has done with the stage's function."""
    training = asdict(config_of(**EVERYTHING))
    config = {"family": "slice_cnn", "view": "slice", "seed": 7, "network": NETWORK, "training": training}
    words = ["train", "--training-set", str(files / "training_set.parquet"), "--shards", str(files / "shard-0.parquet")]
    words += [
        word for name, file in zip(("model", "history", "state"), FILES, strict=True) for word in (f"--{name}", file)
    ]
    return [*words, "--config", json.dumps(config | {"augment": AUGMENT})]


def noted(folder: Path, name: str, rank: int = 0) -> Any:
    return torch.load(folder / f"{name}-{rank}.pt", weights_only=True)


def close(one: dict[str, Any], other: dict[str, Any], tolerance: dict[str, Any] = TOLERANCE) -> bool:
    return all(torch.allclose(one[name], other[name], **tolerance) for name in one)


@pytest.mark.parametrize("name", EXACT)
def test_two_processes_have_the_curve_and_the_weights_of_one(two: Path, tmp_path: Path, name: str) -> None:
    config, count = EXACT[name]
    model = plain_network(config)
    alone = run(model, tmp_path, config, Weighted(count))
    both, tolerance = noted(two, name), COARSE.get(name, TOLERANCE)
    for expected, found in zip(alone.history, both["history"], strict=True):
        for key, value in expected.items():
            assert math.isclose(found[key], value, rel_tol=tolerance["rtol"]) or math.isnan(value), (
                key,
                found,
                expected,
            )
    assert close(model.state_dict(), both["weights"], tolerance)


@pytest.mark.parametrize("name", EXACT)
def test_both_processes_end_with_the_same_weights_and_figures(two: Path, name: str) -> None:
    first, second = noted(two, name), noted(two, name, 1)
    assert equal(first["weights"], second["weights"]) and repr(first["history"]) == repr(second["history"])


def test_with_dropout_and_batch_normalisation_two_processes_repeat_themselves_to_the_bit(two: Path) -> None:
    assert equal(noted(two, "drawn"), noted(two, "drawn again"))
    running = [name for name in noted(two, "drawn") if "running" in name]
    assert running and all(torch.equal(noted(two, "drawn")[n], noted(two, "drawn", 1)[n]) for n in running)


def test_begun_by_two_a_training_ends_alone_and_begun_alone_by_two(two: Path, tmp_path: Path) -> None:
    whole = plain_network(PLAIN)
    run(whole, tmp_path, PLAIN, Weighted(22))
    data, model = Weighted(22), plain_network(PLAIN)
    run(model, two / "two, then one", PLAIN, data)
    assert close(model.state_dict(), whole.state_dict())
    assert close(noted(two, "one, then two")["weights"], whole.state_dict())


def test_what_stops_one_process_stops_both_at_the_same_step(two: Path) -> None:
    assert {torch.load(two / f"why-{rank}.pt") for rank in (0, 1)} == {"the time budget is used up"}


def test_a_batch_that_not_all_devices_hold_is_made_smaller_on_all(two: Path) -> None:
    for rank in (0, 1):
        assert noted(two, "decisions", rank) == {"batch": [16, 2], "said": [None, "the second", "0"], "most": 6}


def test_the_stage_gives_the_model_that_one_process_gives(two: Path, tmp_path: Path) -> None:
    write_files(tmp_path)
    alone = trained(tmp_path, "stage", **EVERYTHING)
    one, both = (read_model(path)[1] for path in (alone, two / "stage/model.safetensors"))
    assert one == both


def test_predictions_of_two_processes_are_those_of_one_to_the_bit(two: Path, tmp_path: Path) -> None:
    out = tmp_path / "predictions.parquet"
    (tmp_path / "parts").mkdir()
    places = two / "slices.parquet", [two / "shard-0.parquet"]
    predict_slices([two / "one.safetensors"], *places, out, tmp_path / "parts", config=PREDICT)
    assert out.read_bytes() == (two / "predictions.parquet").read_bytes()
    write_studies(tmp_path / "volumes")
    studies = studies_predicted(tmp_path / "volumes")
    assert studies.read_bytes() == (two / "volumes/predictions.parquet").read_bytes()
    assert read_table(studies)["C3"].nunique() == 6 and read_table(studies)["C3"].isna().sum() == 1


def test_a_process_that_is_killed_ends_the_job_with_its_name_and_the_same_command_ends_in_the_same_bytes(
    two: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(runtime.VARIABLE, '{"device": "cpu", "devices": 2}')
    monkeypatch.setenv(faults.VARIABLE, "peer-step:3")
    assert main(command(two)) == 1
    said = capfd.readouterr().err
    assert re.search(r"process 2 of 2 was killed by SIGKILL; is memory short\?; .* the same command goes on", said)
    steps = int(re.search(r"another process is gone; saved after step (\d)", said)[1])  # type: ignore[index]
    assert steps in (2, 3) and said.count("train: 2 processes, each with its part of every batch of 32") == 1
    monkeypatch.delenv(faults.VARIABLE)
    assert main(command(two)) == 0
    assert f"({steps} steps done)" in capfd.readouterr().err
    assert Path("model.safetensors").read_bytes() == (two / "stage/model.safetensors").read_bytes()
    (done,) = Path("work/train").glob("*/done.json")
    assert json.loads(done.read_text())["device"] == "2 x cpu"


@pytest.mark.slow  # each of four processes imports torch anew
def test_stopped_by_a_signal_both_save_and_torchrun_goes_on_to_the_same_bytes(two: Path, workplace: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", runtime.VARIABLE: '{"device": "cpu", "devices": 2}'}
    python = [sys.executable, "-m"]
    stopped = subprocess.run(
        [*python, "cspine", *command(two)],
        env=environment | {faults.VARIABLE: "train-step:2:SIGTERM"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert stopped.returncode == 75 and "train: paused at 2 of 4 steps: asked to stop (SIGTERM)" in stopped.stderr
    torchrun = [*python, "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "cspine"]
    ended = subprocess.run([*torchrun, *command(two)], env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("(2 steps done)") == ended.stderr.count("train: done in") == 1
    assert Path("model.safetensors").read_bytes() == (two / "stage/model.safetensors").read_bytes()
    again = subprocess.run([*torchrun, *command(two)], env=environment, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0 and again.stderr.count("found in the store") == 1


def test_an_error_of_another_process_is_told_by_the_first(tmp_path: Path) -> None:
    with pytest.raises(CspineError, match=r"(?s)process 2 of 2: .*a bug of the second"):
        in_two("failing", tmp_path)
    assert peers.size() == 1


@pytest.mark.parametrize("examples", range(2, 13))
@pytest.mark.parametrize("processes", [1, 2, 3, 4])
@pytest.mark.parametrize("parts", [1, 2, 5])
def test_every_example_of_a_batch_counts_once_whoever_has_it(examples: int, processes: int, parts: int) -> None:
    batch = Batch(12, -(-parts // processes) * processes, processes)
    blend = blend_of(examples, 0.4, torch.device("cpu"), 7)
    assert blend is not None
    counted: list[int] = []
    for rank in range(processes):
        share = batch.share(rank, examples, blend)
        own = share.places[: share.parts[-1].stop]
        assert min(part.stop - part.start for part in share.parts) >= min(2, examples)
        assert share.blend is not None
        partners = [share.places[i] for i in share.blend.partner.tolist()]
        assert partners == [int(blend.partner[i]) for i in own]
        counted += own if share.counts else []
    assert sorted(counted) == list(range(examples))
    shares = [batch.share(rank, examples, blend) for rank in range(processes)]
    assert len({len(share.parts) for share in shares}) == 1  # nobody waits for a pass that another does not make

"""The training loop: order and draws are functions of the seed, and a cut-off run ends in the same bytes."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cspine import batching, runtime
from cspine.checkpoint import KEPT
from cspine.errors import CspineError
from cspine.histories import best_epoch
from cspine.losses import FractureLoss
from cspine.mixup import blend_of
from cspine.optimisation import Optimisation, teach
from cspine.precision import Precision
from cspine.training_config import TrainingConfig
from training_makers import Noise, config_of, equal, network, run, trained

PLAIN = config_of()
FULL = config_of(
    epochs=3,
    batch_size=5,
    accumulate=2,
    optimizer="adamw",
    weight_decay=0.05,
    schedule="cosine",
    warmup_steps=3,
    ema=0.9,
    mixup=0.4,
    sampling="balanced",
    presence_weight=0.5,
    any_fracture_weight=0.5,
    keep="best",
    clip_gradient=1.0,
)
WAYS = {
    "plain": PLAIN,
    "cosine, ema, balanced, mixup, auxiliary outputs, best kept": FULL,
    "fixed steps, focal, patience": config_of(
        epochs=4, epoch_steps=4, loss="focal", optimizer="sgd", schedule="poly", patience=2, keep="best"
    ),
    "half precision with a scaled loss": config_of(precision="fp16", ema=0.99),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[TrainingConfig], dict[str, Tensor]]:
    """The weights of trainings that nothing interrupts; each is done once."""
    return cache(lambda config: trained(tmp_path_factory.mktemp("whole"), Noise(22), config))


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.VARIABLE, '{"checkpoint_steps": 2, "device": "cpu"}')


@pytest.mark.parametrize("dies_at", [1, 9, 13, 21, 26, 30, 43])
@pytest.mark.parametrize("config", WAYS.values(), ids=list(WAYS))
def test_a_training_cut_off_anywhere_ends_in_the_same_weights(
    tmp_path: Path, whole: Callable[[TrainingConfig], dict[str, Tensor]], config: TrainingConfig, dies_at: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, Noise(22, dies_at), config)
    assert equal(trained(tmp_path, Noise(22), config), whole(config))


def test_the_figures_of_a_cut_off_training_are_those_of_a_whole_one(tmp_path: Path) -> None:
    outputs = len(FractureLoss(FULL).outputs)
    whole = run(network(outputs), tmp_path / "whole", Noise(22), FULL)
    with pytest.raises(KeyboardInterrupt):
        run(network(outputs), tmp_path / "cut", Noise(22, dies_at=41), FULL)
    again = run(network(outputs), tmp_path / "cut", Noise(22), FULL)
    assert repr(again.history) == repr(whole.history)


def test_a_resumed_training_repeats_at_most_one_checkpoint_interval(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, Noise(22, dies_at=13), PLAIN)  # within the fourth step of four slices
    again = Noise(22)
    trained(tmp_path, again, PLAIN)
    assert len(again.asked) == 2 * 22 - 2 * 4  # all but the first two steps


def test_the_best_weights_survive_a_kill_in_a_later_epoch(tmp_path: Path) -> None:
    config = config_of(epochs=7, keep="best", learning_rate=0.1)
    model = network()
    whole = run(model, tmp_path / "whole", Noise(22), config)
    assert best_epoch(whole.history) == 4
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", Noise(22, dies_at=22 * 6 + 5), config)
    assert equal(trained(tmp_path / "cut", Noise(22), config), model.state_dict())


def test_a_torn_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", Noise(22), PLAIN)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", Noise(22, dies_at=30), PLAIN)
    newest = sorted((tmp_path / "cut").glob("*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    assert equal(trained(tmp_path / "cut", Noise(22), PLAIN), whole)


def test_only_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    trained(tmp_path, Noise(22), FULL)
    assert len(list(tmp_path.glob("*.pt"))) == KEPT
    assert {path.suffix for path in tmp_path.iterdir()} == {".pt", ".json"}


def test_checkpoint_intervals_change_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for steps in ("0", "1"):
        monkeypatch.setenv(runtime.VARIABLE, f'{{"checkpoint_steps": {steps}, "device": "cpu"}}')
        results.append(trained(tmp_path / steps, Noise(22), FULL))
    assert equal(*results)


@pytest.mark.slow  # each of two processes imports torch anew
def test_processes_that_load_change_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(tmp_path / "whole", Noise(22), FULL)
    monkeypatch.setenv(runtime.VARIABLE, '{"loader_workers": 1, "device": "cpu"}')
    assert equal(trained(tmp_path / "workers", Noise(22), FULL), whole)


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    assert not equal(trained(tmp_path / "a", Noise(22), PLAIN), trained(tmp_path / "b", Noise(22), PLAIN, seed=4))


def test_the_history_has_a_row_per_epoch_with_accuracy_beside_all_negative(tmp_path: Path) -> None:
    rows = run(network(), tmp_path, Noise(22), PLAIN).history
    assert [(row["epoch"], row["steps"], row["learning_rate"]) for row in rows] == [(0, 6, 0.01), (1, 12, 0.01)]
    assert {"train_loss", "select_loss", "select_accuracy", "select_accuracy_all_negative"} <= set(rows[0])


def test_the_select_loss_is_that_of_all_slices_at_once(tmp_path: Path) -> None:
    model = network()
    row = run(model, tmp_path, Noise(22), PLAIN, select=6).history[-1]  # batches of four and two
    pixels, target, weight = (torch.stack(column) for column in zip(*[Noise(6)[0, i] for i in range(6)], strict=True))
    with torch.inference_mode():
        expected = FractureLoss(PLAIN)(model.eval()(pixels), target, weight)
    assert math.isclose(row["select_loss"], float(expected), rel_tol=1e-6)


def gradient(parts: int, config: Any) -> dict[str, Tensor]:
    """The gradient of one step without what is drawn, in so many parts."""
    torch.manual_seed(0)
    loss = FractureLoss(config)
    model = nn.Linear(6, len(loss.outputs))
    batch = [torch.stack(column) for column in zip(*[Noise(11)[0, i] for i in range(11)], strict=True)]
    batch[2] = torch.linspace(0, 2, 11)  # weights far from equal
    exact = Precision("fp32", "cpu")
    blend = blend_of(11, config.mixup, torch.device("cpu"), 1)
    rows = batching.Batch(11, parts).rows(11)
    assert len(rows) == parts and len({r.stop - r.start for r in rows}) == (1 if parts == 1 else 2)
    teach(Optimisation(model, config, exact, 10), loss, batch, rows, exact, blend)
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("parts", [2, 3, 5])
@pytest.mark.parametrize(
    "changes",
    [
        {"patient_term": True},
        {"loss": "focal", "presence_weight": 0.3, "any_fracture_weight": 0.7, "mixup": 0.5},
    ],
)
def test_unequal_parts_give_the_gradient_of_the_whole_weighted_batch(parts: int, changes: dict[str, Any]) -> None:
    config = config_of(**changes)
    whole, added = gradient(1, config), gradient(parts, config)
    assert all(torch.allclose(whole[name], added[name], rtol=1e-4, atol=1e-7) for name in whole)


def test_training_stops_when_the_select_loss_has_not_fallen_for_patience_epochs(tmp_path: Path) -> None:
    config = config_of(epochs=40, patience=2, learning_rate=0.1)
    history = run(network(), tmp_path, Noise(22), config).history
    assert len(history) < 40 and len(history) == best_epoch(history) + 1 + 2


def test_the_best_epochs_weights_become_the_model(tmp_path: Path) -> None:
    config = config_of(epochs=6, learning_rate=0.1, keep="best")
    model = network()
    history = run(model, tmp_path / "best", Noise(22), config).history
    best = best_epoch(history)
    assert best < 5
    same = config_of(epochs=best + 1, learning_rate=0.1)
    assert equal(model.state_dict(), trained(tmp_path / "same", Noise(22), same))


@pytest.mark.parametrize("changes", [{"patience": 3}, {"keep": "best"}])
def test_choosing_by_select_without_select_slices_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(CspineError, match=r"no slice has that role; expected patience: 0 and keep: last"):
        run(network(), tmp_path, Noise(22), config_of(**changes), select=0)


def test_a_loss_that_is_no_number_stops_the_training_and_says_what_to_change(tmp_path: Path) -> None:
    model = network()
    model[0].weight.data.fill_(float("inf"))  # type: ignore[index]
    with pytest.raises(CspineError, match=r"the loss is nan in step 1 of epoch 1; .* lower training.learning_rate"):
        run(model, tmp_path, Noise(22), PLAIN)


def test_memory_that_runs_out_is_answered_with_the_keys_to_change(tmp_path: Path) -> None:
    class Full(nn.Linear):
        def forward(self, _: Tensor) -> Tensor:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(
        CspineError, match=r"with 2 slices at once \(a batch of 4 in 2 parts\); raise training.accumulate"
    ):
        run(Full(6, 7), tmp_path, Noise(22), config_of(accumulate=2))


def test_the_averaged_weights_are_the_ones_that_are_judged_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decay rises to its value as 1 - (1 + step) ** (-2 / 3), timm's warm-up."""
    seen: list[Tensor] = []
    model = network()
    step = torch.optim.Adam.step

    def watched(self: torch.optim.Adam, *args: Any, **options: Any) -> Any:
        step(self, *args, **options)
        seen.append(model.state_dict()["0.weight"].clone())

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    run(model, tmp_path, Noise(22), config_of(epochs=1, ema=0.999))
    average = seen[0]
    for number, weights in enumerate(seen[1:], start=1):
        decay = min(0.999, 1 - (1 + number) ** (-2 / 3))
        average = decay * average + (1 - decay) * weights
    assert len(seen) == 6 and torch.allclose(model.state_dict()["0.weight"], average, atol=1e-6)
    assert not torch.allclose(model.state_dict()["0.weight"], seen[-1], atol=1e-4)


def test_a_job_whose_workflow_died_saves_and_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime.announce_main_process()
    assert not runtime.orphaned()
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    host = os.environ[runtime.MAIN_PROCESS].split()[0]
    monkeypatch.setenv(runtime.MAIN_PROCESS, f"{host} {gone.stdout.strip()} 12345")
    with pytest.raises(SystemExit) as caught:
        trained(tmp_path, Noise(22), PLAIN)
    assert caught.value.code == 75 and len(list(tmp_path.glob("*.pt"))) == 1

"""The training loop: order and draws are functions of the seed, and a cut-off run ends in the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cspine import runtime
from cspine.checkpoint import KEPT, Checkpoints, read_model, save_model
from cspine.devices import device_of
from cspine.errors import CspineError
from cspine.examples import Examples
from cspine.methods import slice_cnn
from cspine.methods.slice_cnn import NetworkConfig
from cspine.tracking import Silent
from cspine.training import TrainingConfig, fit

CONFIG = TrainingConfig(epochs=2, batch_size=4, learning_rate=1e-2, patient_term=False, threads=1)
LOSS = partial(slice_cnn.loss, patient_term=False)


class Noise(Examples):
    """Examples drawn from (epoch, i); dies once at the item ``dies_at`` is asked for the n-th time."""

    def __init__(self, count: int, dies_at: int | None = None) -> None:
        self.count, self.left = count, dies_at

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        generator = torch.Generator().manual_seed(1000 * item[0] + item[1])
        target = (torch.rand(7, generator=generator) < 0.3).float()
        return torch.rand(6, generator=generator) + target[:6], target, torch.tensor(1.0)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 7))


def trained(folder: Path, data: Noise, seed: int = 3, config: TrainingConfig = CONFIG) -> dict[str, Tensor]:
    model = network()
    fit(model, LOSS, data, Noise(6), config, seed, Checkpoints(folder), Silent())
    return model.state_dict()


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.VARIABLE, '{"checkpoint_steps": 2, "device": "cpu"}')


@pytest.mark.parametrize("dies_at", [1, 9, 13, 21, 26, 30, 43])
def test_a_training_cut_off_anywhere_ends_in_the_same_weights(often: None, tmp_path: Path, dies_at: int) -> None:
    whole = trained(tmp_path / "whole", Noise(22))
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", Noise(22, dies_at))
    assert equal(trained(tmp_path / "cut", Noise(22)), whole)


def test_a_resumed_training_repeats_at_most_one_checkpoint_interval(often: None, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, Noise(22, dies_at=13))  # within the fourth step of four slices
    again = Noise(22, dies_at=10**6)
    trained(tmp_path, again)
    taught = 10**6 - (again.left or 0)
    assert taught == 2 * 22 - 2 * CONFIG.batch_size  # all but the first two steps


def test_a_torn_checkpoint_falls_back_to_the_one_before(often: None, tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", Noise(22))
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", Noise(22, dies_at=30))
    newest = sorted((tmp_path / "cut").glob("*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    assert equal(trained(tmp_path / "cut", Noise(22)), whole)


def test_only_the_last_checkpoints_are_kept(often: None, tmp_path: Path) -> None:
    trained(tmp_path, Noise(22))
    assert len(list(tmp_path.iterdir())) == KEPT


def test_checkpoint_intervals_change_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for steps in ("0", "1"):
        monkeypatch.setenv(runtime.VARIABLE, f'{{"checkpoint_steps": {steps}, "device": "cpu"}}')
        results.append(trained(tmp_path / steps, Noise(22)))
    assert equal(*results)


def test_another_seed_gives_other_weights(often: None, tmp_path: Path) -> None:
    assert not equal(trained(tmp_path / "a", Noise(22)), trained(tmp_path / "b", Noise(22), seed=4))


def test_a_last_batch_of_one_slice_is_left_out(often: None, tmp_path: Path) -> None:
    trained(tmp_path, Noise(21))  # 5 steps of 4, one slice over: batch normalisation would raise


def test_the_history_has_a_row_per_epoch_with_accuracy_beside_all_negative(often: None, tmp_path: Path) -> None:
    rows = fit(network(), LOSS, Noise(22), Noise(6), CONFIG, 3, Checkpoints(tmp_path), Silent())
    assert [row["epoch"] for row in rows] == [0, 1]
    assert {"train_loss", "select_loss", "select_accuracy", "select_accuracy_all_negative"} <= set(rows[0])


def test_a_job_whose_workflow_died_saves_and_stops(
    often: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.announce_main_process()
    assert not runtime.orphaned()
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    host = os.environ[runtime.MAIN_PROCESS].split()[0]
    monkeypatch.setenv(runtime.MAIN_PROCESS, f"{host} {gone.stdout.strip()} 12345")
    with pytest.raises(SystemExit) as caught:
        trained(tmp_path, Noise(22))
    assert caught.value.code == 75 and len(list(tmp_path.iterdir())) == 1


def test_a_device_that_cannot_compute_is_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert device_of("auto") == torch.device("cpu")
    with pytest.raises(CspineError, match=r"runtime.device: cuda:7: torch cannot compute there"):
        device_of("cuda:7")


def test_the_loss_is_the_metrics_weighted_mean() -> None:
    logits, target = (
        torch.tensor([[0.0] * 7, [2.0] + [0.0] * 6]),
        torch.tensor([[0.0] * 7, [1.0] + [0.0] * 6]),
    )
    losses = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    expected = (losses.sum() + losses[1, 0]) / (14 + 1)  # a fractured vertebra counts twice
    assert torch.isclose(LOSS(logits, target, torch.ones(2)), expected)
    weighted = LOSS(logits, target, torch.tensor([1.0, 0.0]))
    assert torch.isclose(weighted, losses[0].mean())


def test_the_patient_term_is_the_loss_of_the_noisy_or() -> None:
    logits, target = torch.randn(5, 7, generator=torch.Generator().manual_seed(1)), torch.zeros(5, 7)
    target[2, 3] = 1
    p = torch.sigmoid(logits)
    patient = 1 - (1 - p).prod(1)
    truth = target.amax(1)
    losses = nn.functional.binary_cross_entropy(p, target, reduction="none")
    weights = 1 + target
    patient_losses = nn.functional.binary_cross_entropy(patient, truth, reduction="none")
    patient_weights = 7 + 7 * truth
    expected = ((weights * losses).sum() + (patient_weights * patient_losses).sum()) / (
        weights.sum() + patient_weights.sum()
    )
    assert torch.isclose(slice_cnn.loss(logits, target, torch.ones(5), patient_term=True), expected, atol=1e-5)


SMALL = NetworkConfig(name="test_efficientnet", weights="none", trainable="all", dropout=0.2)


def test_a_model_is_rebuilt_from_its_file_alone(tmp_path: Path) -> None:
    model = slice_cnn.build(SMALL).eval()
    save_model(model, tmp_path / "m.safetensors", {"family": "slice_cnn", "network": slice_cnn.describe(SMALL)})
    slices = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(slice_cnn.load(tmp_path / "m.safetensors").eval()(slices), model(slices))


def test_equal_models_are_equal_bytes(tmp_path: Path) -> None:
    model = slice_cnn.build(SMALL)
    for name in "ab":
        save_model(
            model,
            tmp_path / name,
            {"network": slice_cnn.describe(SMALL), "family": "slice_cnn", "view": "slice"},
        )
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert set(read_model(tmp_path / "a")[1]) == {"network", "family", "view"}


def test_a_local_weights_file_is_loaded_and_only_the_head_is_new(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    source = timm.create_model("test_efficientnet", num_classes=1000)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    config = NetworkConfig("test_efficientnet", str(tmp_path / "weights.safetensors"), "head", 0.2)
    model = slice_cnn.build(config, tmp_path / "weights.safetensors")
    body = {k: v for k, v in model.encoder.state_dict().items() if not k.startswith("classifier")}
    assert all(torch.equal(v, source.state_dict()[k]) for k, v in body.items())
    taught = {name for name, p in model.named_parameters() if p.requires_grad}
    assert taught == {"encoder.classifier.weight", "encoder.classifier.bias"}


def test_an_unknown_network_is_answered_with_near_names() -> None:
    with pytest.raises(CspineError, match=r"no network 'tf_efficientnetv2_x'; near it: .*tf_efficientnetv2_xl"):
        slice_cnn.build(NetworkConfig("tf_efficientnetv2_x", "none", "all", 0.0))


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    with pytest.raises(CspineError, match=r"network.weights: .*w.safetensors' cannot be loaded into test_efficientnet"):
        slice_cnn.build(
            NetworkConfig("test_efficientnet", str(tmp_path / "w.safetensors"), "all", 0.0),
            tmp_path / "w.safetensors",
        )

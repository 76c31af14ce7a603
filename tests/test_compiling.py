"""torch.compile: names in files stay, results are those of eager to within rounding, no machine is taken on trust."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cspine.checkpoint import Checkpoints
from cspine.errors import CspineError
from cspine.losses import FractureLoss
from cspine.on_device import compiling
from cspine.tracking import Silent
from cspine.training import Task, Trained, fit
from training_makers import Noise, config_of, network

CPU = torch.device("cpu")
NO_COMPILER = not (shutil.which("g++") or shutil.which("clang++"))
# pickle, by which inductor makes its keys, looks at every name of every module, deprecated ones of jsonargparse too
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
COMPILER = pytest.mark.skipif(NO_COMPILER, reason="no C++ compiler: inductor needs one on a CPU")


def trained(folder: Path, compile: bool, model: nn.Module, **changes: Any) -> Trained:
    # not Adam, which makes whole steps of gradients that are nothing but rounding
    config = config_of(epochs=1, ema=0.5, optimizer="sgd", compile=compile, **changes)
    data, kept = Noise(10), Checkpoints(folder)
    return fit(Task(model, FractureLoss(config), data, Noise(6), config, 3, kept, Silent()))


def without_dropout() -> nn.Module:
    """What dropout leaves out is drawn otherwise by compiled code."""
    model = network()
    assert isinstance(model, nn.Sequential)
    model[2] = nn.Identity()
    return model


def test_a_machine_that_cannot_compile_is_told_so_by_the_name_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no working compiler\nand more")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(
        CspineError, match=r"training.compile: .* on this machine \(cpu\): no working compiler; expected"
    ):
        compiling.compiled(network(), CPU)


def test_a_compiled_network_has_its_own_names_and_its_copies_run_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)  # nothing is compiled before it is called
    model = network()
    names = list(model.state_dict())
    compiling.compiled(model, CPU)
    assert model._compiled_call_impl is not None and list(model.state_dict()) == names
    assert copy.deepcopy(model)._compiled_call_impl is None
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in network().named_parameters()]


@COMPILER
@pytest.mark.slow  # half a minute of compiling
def test_compiled_and_not_a_training_gives_the_same_to_within_rounding(tmp_path: Path) -> None:
    models = [without_dropout(), without_dropout()]
    one, other = (trained(tmp_path / str(on), on, model) for on, model in zip((False, True), models, strict=True))
    for (name, weights), same in zip(models[0].state_dict().items(), models[1].state_dict().values(), strict=True):
        assert torch.allclose(weights.float(), same.float(), rtol=1e-3, atol=1e-5), name
    assert one.history[-1]["select_loss"] == pytest.approx(other.history[-1]["select_loss"], rel=1e-3)
    checkpoint = torch.load(sorted((tmp_path / "True").glob("*.pt"))[-1], weights_only=True)
    assert checkpoint["network"].keys() == models[0].state_dict().keys() == checkpoint["average"].keys()
    assert not any("_orig_mod" in name for name in other.end["network"])


@COMPILER
@pytest.mark.slow  # a minute of compiling
def test_the_slice_network_gives_the_same_logits_and_gradients_compiled() -> None:
    from cspine.methods import slice_cnn

    settings = slice_cnn.NetworkConfig("test_efficientnet", "none", "all", 0.0, 1)
    plain = slice_cnn.build(settings)
    model = copy.deepcopy(plain)
    compiling.compiled(model, CPU)
    slices = torch.randint(0, 256, (4, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", enabled=False):
        expected, found = plain.train()(slices), model.train()(slices)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4)
    expected.sum().backward()
    found.sum().backward()
    for (name, weights), same in zip(plain.named_parameters(), model.parameters(), strict=True):
        assert weights.grad is not None and same.grad is not None
        near = 1e-3 * float(weights.grad.abs().max()) + 1e-5
        assert torch.allclose(weights.grad, same.grad, rtol=1e-2, atol=near), name

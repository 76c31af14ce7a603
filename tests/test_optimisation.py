"""Optimisers, schedules and precision by name; an unknown name is answered with near ones."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from cspine.errors import CspineError
from cspine.optimisation import SCHEDULES, Optimisation, optimiser_of
from cspine.precision import Precision, precision_of
from training_makers import config_of, network

EXACT = Precision("fp32", "cpu")


def rates(steps: int, **changes: Any) -> list[float]:
    """The learning rate of each step."""
    model = nn.Linear(2, 1)
    optimisation = Optimisation(model, config_of(learning_rate=1.0, **changes), EXACT, steps)
    found = []
    for number in range(1, steps + 1):
        found.append(optimisation.learning_rate)
        optimisation.backward(model(torch.ones(3, 2)).sum())
        optimisation.step(number)
    return found


def test_a_constant_rate_stays() -> None:
    assert rates(5) == [1.0] * 5


def test_a_warm_up_rises_from_its_first_step_and_then_the_schedule_goes_on() -> None:
    assert rates(6, warmup_steps=4) == pytest.approx([0.25, 0.4375, 0.625, 0.8125, 1.0, 1.0])


@pytest.mark.parametrize("schedule", sorted(set(SCHEDULES) - {"constant"}))
def test_a_falling_schedule_falls_all_the_way_over_all_steps(schedule: str) -> None:
    found = rates(50, schedule=schedule, min_learning_rate=0.1)
    assert found[0] == pytest.approx(1.0, abs=0.01) and all(a > b for a, b in pairwise(found))
    assert 0.1 < found[-1] < 0.13


def test_a_schedule_of_two_cycles_falls_twice_from_the_highest_rate() -> None:
    once, twice = rates(20, schedule="cosine"), rates(40, schedule="cosine", cycles=2)
    assert twice == pytest.approx([*once, *once])
    with pytest.raises(CspineError, match=r"warmup_steps: found 20, but the training has 40 steps in all, in 2 cycles"):
        rates(40, schedule="cosine", cycles=2, warmup_steps=20)


def test_poly_is_a_straight_line() -> None:
    assert rates(4, schedule="poly") == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_a_schedule_is_a_function_of_the_step_alone() -> None:
    config = config_of(learning_rate=1.0, schedule="cosine", warmup_steps=3)
    first = Optimisation(network(), config, EXACT, 20)
    for number in range(1, 8):
        first.schedule.step_update(number)
    resumed = Optimisation(network(), config, EXACT, 20)
    resumed.restore(Optimisation(network(), config, EXACT, 20).state(), 7)
    assert resumed.learning_rate == first.learning_rate


def test_unknown_names_are_answered_with_near_ones() -> None:
    with pytest.raises(CspineError, match=r"training.optimizer: timm has no optimiser 'adamm'; near it: .*adamw"):
        optimiser_of(network(), config_of(optimizer="adamm"))
    with pytest.raises(CspineError, match=r"training.schedule: no schedule 'cosin'; near it: cosine"):
        Optimisation(network(), config_of(schedule="cosin"), EXACT, 10)


def test_a_warm_up_as_long_as_the_training_is_refused() -> None:
    with pytest.raises(CspineError, match=r"training.warmup_steps: found 10, but the training has 10 steps in all"):
        Optimisation(network(), config_of(warmup_steps=10), EXACT, 10)


def test_an_optimiser_of_second_order_is_refused() -> None:
    with pytest.raises(CspineError, match="adahessian needs second derivatives"):
        optimiser_of(network(), config_of(optimizer="adahessian"))


def test_adam_is_torchs() -> None:
    assert type(optimiser_of(network(), config_of())) is torch.optim.Adam


def test_biases_and_normalisation_layers_do_not_decay_and_frozen_weights_are_left_out() -> None:
    model = network()
    model.get_submodule("0").requires_grad_(False)
    groups = optimiser_of(model, config_of(optimizer="adamw", weight_decay=0.1)).param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    names = {name: decays.get(id(p)) for name, p in model.named_parameters()}
    assert names == {
        "0.weight": None,
        "0.bias": None,
        "1.weight": 0.0,
        "1.bias": 0.0,
        "3.weight": 0.1,
        "3.bias": 0.0,
    }


def test_a_gradient_is_clipped_at_its_norm() -> None:
    model = nn.Linear(2, 1)
    optimisation = Optimisation(model, config_of(optimizer="momentum", clip_gradient=0.5, learning_rate=1.0), EXACT, 5)
    before = [p.detach().clone() for p in model.parameters()]
    optimisation.backward(1000 * model(torch.ones(3, 2)).sum())
    optimisation.step(1)
    moved = torch.cat([(a - b).flatten() for a, b in zip(before, model.parameters(), strict=True)])
    assert float(moved.detach().norm()) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize(
    ("capability", "wanted", "found"),
    [((9, 0), "auto", "bf16"), ((8, 0), "auto", "bf16"), ((7, 5), "auto", "fp16"), ((7, 5), "fp32", "fp32")],
)
def test_a_gpu_computes_in_bf16_where_it_has_it_and_else_in_fp16(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], wanted: Any, found: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert precision_of(torch.device("cuda"), wanted).name == found


def test_a_cpu_computes_in_fp32_unless_told_otherwise() -> None:
    assert precision_of(torch.device("cpu"), "auto").name == "fp32"
    half = precision_of(torch.device("cpu"), "bf16")
    with half.autocast():
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.bfloat16
    assert not half.scaler().is_enabled() and Precision("fp16", "cpu").scaler().is_enabled()

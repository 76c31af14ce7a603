"""A training that is asked to stop, or whose time is up: it saves, and ends in the same bytes however often."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cspine import budget, pace, pausing, runtime, training
from cspine.optimisation import teach
from cspine.training_config import TrainingConfig
from training_makers import Noise, config_of, equal, network, run, trained

PLAIN = config_of()  # two epochs of six steps
FULL = config_of(batch_size=5, optimizer="adamw", ema=0.9, mixup=0.4, keep="best", sampling="balanced")


class Ends(Noise):
    """Examples; when the n-th is asked for, the time budget is used up."""

    def __init__(self, count: int, ends_at: int) -> None:
        super().__init__(count)
        self.ends_at = ends_at

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        self.ends_at -= 1
        if self.ends_at == 0:
            os.environ[budget.VARIABLE] = "1"
        return super().__getitem__(item)


@pytest.fixture(autouse=True)
def rare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No checkpoint but those of epochs and pauses; no deadline."""
    monkeypatch.setenv(runtime.VARIABLE, '{"device": "cpu"}')
    monkeypatch.setenv(budget.VARIABLE, "")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[TrainingConfig], dict[str, Tensor]]:
    """The weights of trainings that nothing interrupts; each is done once."""
    return cache(lambda config: trained(tmp_path_factory.mktemp("whole"), Noise(22), config))


@pytest.mark.parametrize("ends_at", [1, 9, 22, 23, 40])
@pytest.mark.parametrize("config", [PLAIN, FULL], ids=["plain", "full"])
def test_at_the_deadline_it_saves_and_no_step_is_taken_twice(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: Callable[[TrainingConfig], dict[str, Tensor]],
    config: TrainingConfig,
    ends_at: int,
) -> None:
    first, second, batch = Ends(22, ends_at), Noise(22), int(config.batch_size)
    with pytest.raises(SystemExit) as caught:
        trained(tmp_path, first, config)
    assert caught.value.code == 75
    monkeypatch.setenv(budget.VARIABLE, "")
    assert equal(trained(tmp_path, second, config), whole(config))
    assert len(first.asked) % batch in (0, 22 % batch)  # whole steps
    assert not set(first.asked) & set(second.asked)


@pytest.mark.parametrize("config", [PLAIN, FULL], ids=["plain", "full"])
def test_with_no_time_at_all_every_process_still_gets_one_step_or_evaluation_further(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: Callable[[TrainingConfig], dict[str, Tensor]],
    config: TrainingConfig,
) -> None:
    monkeypatch.setenv(budget.VARIABLE, "1")
    for _ in range(2 * (22 // int(config.batch_size) + 1) + 1):
        with pytest.raises(pausing.Paused):
            trained(tmp_path, Noise(22), config)
    assert equal(trained(tmp_path, Noise(22), config), whole(config))


def test_it_stops_before_the_step_that_would_end_after_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of 10 seconds, a save of 5: with 32 left there is time for two steps and a save, with 22 there is not."""
    now = 0.0

    def slow(*arguments: Any) -> float:
        nonlocal now
        now += 10
        return teach(*arguments)

    monkeypatch.setattr(training, "teach", slow)
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(pace, "SLOW_DISK", 4 * sum(p.nbytes for p in network().parameters()) / 5)
    monkeypatch.setattr(pace, "seconds_left", lambda: 52 - now)
    data = Noise(22)
    with pytest.raises(pausing.Paused) as caught:
        trained(tmp_path, data, PLAIN)
    assert caught.value.why == "the time budget is used up"
    assert len(data.asked) == 3 * PLAIN.batch_size


def test_an_evaluation_that_does_not_fit_any_more_is_left_to_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Callable[[TrainingConfig], dict[str, Tensor]]
) -> None:
    monkeypatch.setattr(pace.Pace, "has_time", lambda _, evaluates: not evaluates)
    first = Noise(22)
    with pytest.raises(pausing.Paused):
        trained(tmp_path, first, PLAIN)
    assert len(first.asked) == 22 and (tmp_path / "step-00000012.pt").exists()  # 6 steps, not evaluated
    second = Noise(22)
    with pytest.raises(pausing.Paused):  # evaluates first, then trains the second epoch
        trained(tmp_path, second, PLAIN)
    assert len(second.asked) == 22
    third = Noise(22)
    assert equal(trained(tmp_path, third, PLAIN), whole(PLAIN)) and third.asked == []


def test_a_stop_during_the_evaluation_repeats_the_evaluation_and_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Callable[[TrainingConfig], dict[str, Tensor]]
) -> None:
    stop = tmp_path / "stop"
    monkeypatch.setenv(pausing.STOP, str(stop))

    class Watched(Noise):
        def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
            stop.write_text("SIGTERM", encoding="utf-8")
            return super().__getitem__(item)

    with monkeypatch.context() as patched, pytest.raises(pausing.Paused) as caught:
        patched.setattr("training_makers.Noise", Watched)
        run(network(), tmp_path / "kept", Noise(22), PLAIN)
    assert caught.value.why == "the run was asked to stop (SIGTERM)"
    assert [path.name for path in (tmp_path / "kept").glob("*.pt")] == ["step-00000012.pt"]
    stop.unlink()
    again = Noise(22)
    assert equal(trained(tmp_path / "kept", again, PLAIN), whole(PLAIN)) and len(again.asked) == 22


def test_until_it_is_measured_a_save_takes_as_long_as_its_size_on_a_slow_disk() -> None:
    assert pace.Pace(saved_bytes=500_000_000, evaluation_batches=1).saves[0] == 10.0


def test_a_part_that_is_broken_off_is_not_measured() -> None:
    measured = pace.Pace(0, 1)
    with pytest.raises(ValueError, match="broken"), measured.timed(measured.steps):
        raise ValueError("broken")
    assert not measured.steps


@pytest.mark.parametrize(("left", "evaluates", "has_time"), [(26, False, True), (24, False, False), (26, True, False)])
def test_the_slowest_of_the_last_steps_counts(
    left: float, evaluates: bool, has_time: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "seconds_left", lambda: left)
    measured = pace.Pace(0, evaluation_batches=100)
    measured.steps.extend([100, 1, 10, 2, 3, 4])  # the first has left the window
    measured.saves.append(5)
    assert measured.has_time(evaluates) == has_time


def test_an_evaluation_is_estimated_from_the_steps_until_it_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "seconds_left", lambda: 60.0)
    measured = pace.Pace(0, evaluation_batches=100)
    measured.steps.append(1.0)
    measured.saves.append(5.0)
    assert measured.has_time(evaluates=True)  # 2 + 5 + 50
    measured.evaluations.append(54.0)
    assert not measured.has_time(evaluates=True)


def test_the_last_state_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.VARIABLE, '{"checkpoint_steps": 1, "device": "cpu"}')
    monkeypatch.setenv(budget.VARIABLE, "1")
    saves: list[int] = []
    save = torch.save

    def counted(*arguments: Any) -> None:
        saves.append(1)
        save(*arguments)

    monkeypatch.setattr(torch, "save", counted)
    with pytest.raises(pausing.Paused):
        trained(tmp_path, Noise(22), PLAIN)
    assert len(saves) == 1

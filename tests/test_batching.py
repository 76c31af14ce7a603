"""The batch: found out once, and met by parts where a device holds less of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cspine.batching import CPU_BATCH, Batch, batch_of, fitted, is_out_of_memory, resolved_size, trial_of
from cspine.checkpoint import Checkpoints
from cspine.errors import CspineError
from cspine.losses import FractureLoss
from cspine.precision import Precision
from training_makers import Noise, config_of, equal, network


def room_for(most: int) -> Callable[[int], bool]:
    """A device that holds so many examples at once."""
    return lambda examples: examples <= most


@pytest.mark.parametrize(("most", "size"), [(10_000, 512), (576, 512), (575, 256), (40, 32), (3, 2)])
def test_auto_is_the_largest_power_of_two_that_fits_with_an_eighth_to_spare(most: int, size: int) -> None:
    assert resolved_size("auto", 10_000, 1, room_for(most)) == size


def test_auto_asks_for_a_part_of_the_batch_when_it_comes_in_parts() -> None:
    assert resolved_size("auto", 10_000, 4, room_for(40)) == 128


def test_auto_is_no_larger_than_the_training_set_and_32_on_a_cpu() -> None:
    assert resolved_size("auto", 100, 1, room_for(10_000)) == 64
    assert resolved_size("auto", 10_000, 1, None) == CPU_BATCH == 32


def test_a_number_is_taken_at_its_word() -> None:
    assert resolved_size(48, 10_000, 1, room_for(1)) == 48


def test_a_batch_that_does_not_fit_comes_in_more_parts_and_one_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert fitted(128, 1, room_for(40)) == Batch(128, 4)
    assert capsys.readouterr().err == (
        "train: 128 examples at once do not fit this device; the batch of 128 goes through the network in 4 parts "
        "instead of 1\n"
    )
    assert fitted(128, 2, room_for(64)) == Batch(128, 2) and fitted(128, 1, None) == Batch(128, 1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("act", [lambda f: resolved_size("auto", 99, 1, f), lambda f: fitted(8, 1, f)])
def test_a_device_that_holds_no_two_examples_is_refused(act: Callable[[Callable[[int], bool]], object]) -> None:
    with pytest.raises(CspineError, match=r"holds not even two examples at once; use a smaller network.name"):
        act(room_for(1))


def test_the_size_is_decided_once_and_another_device_meets_it_by_parts(tmp_path: Path) -> None:
    config = config_of(batch_size="auto")
    assert batch_of(config, 9999, Checkpoints(tmp_path), room_for(300)) == Batch(256, 1)
    assert batch_of(config, 9999, Checkpoints(tmp_path), room_for(9999)) == Batch(256, 1)
    assert batch_of(config, 9999, Checkpoints(tmp_path), room_for(100)) == Batch(256, 4)
    assert batch_of(config, 9999, Checkpoints(tmp_path), None) == Batch(256, 1)


@pytest.mark.parametrize(("examples", "sizes"), [(11, [3, 4, 4]), (6, [2, 2, 2]), (5, [2, 3]), (3, [3]), (2, [2])])
def test_parts_are_even_and_never_a_single_example(examples: int, sizes: list[int]) -> None:
    rows = Batch(11, 3).rows(examples)
    assert [r.stop - r.start for r in rows] == sizes
    assert [i for r in rows for i in range(r.start, r.stop)] == list(range(examples))


class Bounded(nn.Module):
    """A network for which a device holds six examples at once."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = network()

    def forward(self, pixels: Tensor) -> Tensor:
        if len(pixels) > 6:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return self.layers(pixels)


def test_a_trial_takes_a_real_step_and_leaves_the_network_as_it_was() -> None:
    config, model = config_of(ema=0.9, mixup=0.4, warmup_steps=5), Bounded()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fits = trial_of(model, FractureLoss(config), Noise(9), config, Precision("fp32", "cpu"))
    assert [fits(examples) for examples in (2, 6, 7, 600, 6)] == [True, True, False, False, True]
    assert equal(model.state_dict(), before) and all(p.grad is None for p in model.parameters())


def test_a_trial_that_fails_otherwise_is_not_taken_for_full_memory() -> None:
    fits = trial_of(nn.Linear(5, 7), FractureLoss(config_of()), Noise(9), config_of(), Precision("fp32", "cpu"))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fits(2)


def test_memory_errors_are_told_from_others() -> None:
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    assert not is_out_of_memory(RuntimeError("shape mismatch")) and not is_out_of_memory(ValueError("out of memory"))
